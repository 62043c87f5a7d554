package lib.backup.encryption;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.exceptionfactory.jagged.x25519.X25519KeyPairGenerator;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import lib.error.ExitCode;
import lib.error.Failure;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.Samples;
import support.Tool;

/** Encrypted files open with the right key and with the age program, and with no other key. */
class AgeTest {
    private static final String PASSPHRASE = "corréct horse — battery";

    /** The name of the encrypted file in messages. */
    private static final Path FILE = Path.of("/srv/my shop/crm.dump.zst.age");

    /** A key file, and its recipient for --encrypt-to. */
    private record Owner(Path file, String recipient) {}

    @TempDir static Path temp;
    private static Owner anna;
    private static Owner ben;

    @BeforeAll static void two_owners() throws Exception {
        anna = owner("anna");
        ben = owner("ben");
    }

    /** A file as age-keygen writes it. */
    private static Owner owner(String name) throws Exception {
        var pair = new X25519KeyPairGenerator().generateKeyPair();
        var recipient = new String(pair.getPublic().getEncoded(), StandardCharsets.US_ASCII);
        var secret = new String(pair.getPrivate().getEncoded(), StandardCharsets.US_ASCII);
        var file = temp.resolve(name + ".txt");
        Files.writeString(file, "# created: 2026-11-22T10:00:00Z\n# public key: " + recipient + "\n" + secret + "\n");
        return new Owner(file, recipient);
    }

    // ---- round trips -------------------------------------------------------------------------

    @Test void data_of_every_size_is_decrypted_with_the_key_and_read_back_without() throws IOException {
        var key = Age.key(anna.file);
        for (var size : new int[] {0, 1, 15, 16, 17, 65535, 65536, 65537, 131071, 131072, 131073}) {
            var plain = Samples.random(size);
            var age = Age.to(List.of(anna.recipient));
            var sealed = sealed(age, plain);
            assertArrayEquals(plain, opened(age::readingBack, sealed), "by the one that made it: " + size);
            assertArrayEquals(plain, opened(key, sealed), "by its owner: " + size);
            assertArrayEquals(
                    plain,
                    key.decrypting(FILE, new Samples.Dribble(sealed)).readAllBytes(),
                    "little by little: " + size);
        }
    }

    @Test void twenty_megabytes_are_processed_fast() throws IOException {
        var plain = Samples.random(20 << 20);
        var age = Age.to(List.of(anna.recipient));
        sealed(age, plain); // warms up the JVM
        var began = System.nanoTime();
        var sealed = sealed(age, plain);
        var between = System.nanoTime();
        assertArrayEquals(plain, opened(age::readingBack, sealed));
        System.out.printf(
                "sealing and opening 20 MB: %.0f and %.0f MB/s, %,d bytes more%n",
                20e9 / (between - began), 20e9 / (System.nanoTime() - between), sealed.length - plain.length);
    }

    @Test void each_of_several_recipients_can_decrypt_and_nobody_else() throws Exception {
        var plain = Samples.random(1000);
        var age = Age.to(List.of(anna.recipient + ", " + ben.recipient, anna.recipient));
        assertEquals(List.of(anna.recipient, ben.recipient), age.recipients());
        var sealed = sealed(age, plain);
        for (var owner : List.of(anna, ben)) assertArrayEquals(plain, opened(Age.key(owner.file), sealed));
        var head = new String(sealed, 0, 700, StandardCharsets.ISO_8859_1);
        assertEquals(4, head.split("-> X25519 ").length, "two owners and the one key of this run");
        var carla = owner("carla");
        var failure = assertThrows(Failure.class, () -> opened(Age.key(carla.file), sealed));
        assertEquals(ExitCode.USAGE, failure.problem().exit());
        assertEquals("no key in " + carla.file + " decrypts " + FILE, failure.problem().what());
        assertEquals(List.of("give the key of one of the recipients that its manifest names: --identity FILE",
                "the recipients of a key file: age-keygen -y " + carla.file), failure.problem().next());
        assertThrows(
                IOException.class,
                () -> opened(Age.to(List.of(anna.recipient))::readingBack, sealed),
                "the key of another run does not open it");
    }

    @Test void an_identity_file_with_several_keys_decrypts_with_any_of_them() throws IOException {
        var both = temp.resolve("both.txt");
        Files.writeString(
                both,
                "# mine\r\n\r\n" + Files.readString(ben.file).replace("\n", "\r\n") + "   \n"
                        + Files.readString(anna.file));
        var plain = Samples.random(1000);
        for (var owner : List.of(anna, ben))
            assertArrayEquals(plain, opened(Age.key(both), sealed(Age.to(List.of(owner.recipient)), plain)));
    }

    @Test void a_missing_key_is_reported_with_the_command_that_helps() throws IOException {
        var toAnna = sealed(Age.to(List.of(anna.recipient)), new byte[9]);
        assertEquals(
                FILE + " is encrypted, and no identity file is given\n"
                        + "give the file with its secret key: --identity FILE, or BACKUP_IDENTITY in .env",
                wrong(Age.key(null), toAnna));
        for (var key : List.of(Age.key(null), Age.key(anna.file)))
            assertEquals(
                    FILE
                            + " is encrypted with a passphrase, which is not supported\n"
                            + "decrypt it, then give the decrypted file: ( umask 077 && age --decrypt --output"
                            + " '/srv/my shop/crm.dump.zst' '/srv/my shop/crm.dump.zst.age' )",
                    wrong(key, stanza("scrypt")));
        assertEquals(
                FILE
                        + " is encrypted for recipients of a type that is not supported: ssh-ed25519\n"
                        + "decrypt it, then give the decrypted file: ( umask 077 && age --decrypt --identity KEY_FILE"
                        + " --output '/srv/my shop/crm.dump.zst' '/srv/my shop/crm.dump.zst.age' )",
                wrong(Age.key(anna.file), stanza("ssh-ed25519")));
    }

    /** The head of a file with one stanza of that type. */
    private static byte[] stanza(String type) {
        return ("age-encryption.org/v1\n-> " + type + " AAAAAAAAAAAAAAAAAAAAAA 18\n" + "A".repeat(43) + "\n--- "
                        + "A".repeat(43) + "\n0123456789abcdef0123456789abcdef")
                .getBytes(StandardCharsets.US_ASCII);
    }

    private static String wrong(Age.Key key, byte[] sealed) {
        var problem = assertThrows(Failure.class, () -> opened(key, sealed)).problem();
        assertEquals(ExitCode.USAGE, problem.exit());
        return problem.what() + "\n" + String.join("\n", problem.next());
    }

    // ---- failures ----------------------------------------------------------------------------

    @Test void a_file_cut_off_at_any_place_is_an_error() throws IOException {
        for (var size : new int[] {0, 1, 1000, 65536, 3 * 65536, 3 * 65536 + 5}) {
            var plain = Samples.random(size);
            var age = Age.to(List.of(anna.recipient));
            var sealed = sealed(age, plain);
            assertArrayEquals(plain, opened(age::readingBack, sealed), "the control");
            var payload = sealed.length - size - 16 * Math.max(1, (size + 65535) / 65536);
            for (int cut = 0; cut < sealed.length; cut++) {
                var near = cut < payload ? cut : (cut - payload) % 65552;
                if (cut > 300 && cut < sealed.length - 300 && near > 40 && near < 65552 - 40) continue;
                var part = Arrays.copyOf(sealed, cut);
                assertThrows(
                        IOException.class,
                        () -> opened(age::readingBack, part),
                        size + " cut at " + cut + " of " + sealed.length);
            }
            // at the end of a block: the hardest case, because all that is there is intact
            for (int cut = payload; cut < sealed.length; cut += 65552) {
                var part = Arrays.copyOf(sealed, cut);
                assertThrows(
                        IOException.class,
                        () -> opened(Age.key(anna.file), part),
                        size + " cut at the end of a block, " + cut);
            }
            for (var more : new int[] {1, 16, 17, 100_000})
                assertThrows(
                        IOException.class,
                        () -> opened(age::readingBack, Arrays.copyOf(sealed, sealed.length + more)),
                        "followed by " + more);
            assertThrows(IOException.class, () -> opened(age::readingBack, Samples.join(sealed, sealed)), "twice");
        }
    }

    @Test void a_flipped_bit_is_an_error() throws IOException {
        var plain = Samples.random(2 * 65536 + 99);
        var age = Age.to(List.of(anna.recipient));
        var sealed = sealed(age, plain);
        assertArrayEquals(plain, opened(age::readingBack, sealed), "the control");
        for (int at = 0; at < sealed.length; at += at < 400 || at > sealed.length - 300 ? 1 : 997) {
            var flipped = sealed.clone();
            flipped[at] ^= (byte) (1 << at % 8);
            assertThrows(IOException.class, () -> opened(age::readingBack, flipped), "at " + at);
            // with a key file, a damaged stanza may look like that of another recipient
            try {
                opened(Age.key(anna.file), flipped);
                throw new AssertionError("opened with a bit flipped at " + at);
            } catch (IOException damaged) {
                // expected
            } catch (Failure e) {
                var expected = List.of(
                        "no key in " + anna.file + " decrypts " + FILE,
                        FILE + " is encrypted for recipients of a type that is not supported: ");
                assertTrue(
                        at < 500 && expected.stream().anyMatch(e.problem().what()::startsWith),
                        "at " + at + ": " + e.problem().what());
            }
        }
    }

    @Test void swapped_blocks_are_an_error() throws IOException {
        var plain = Samples.random(3 * 65536);
        var age = Age.to(List.of(anna.recipient));
        var sealed = sealed(age, plain);
        var payload = sealed.length - 3 * 65552;
        var swapped = sealed.clone();
        System.arraycopy(sealed, payload, swapped, payload + 65552, 65552);
        System.arraycopy(sealed, payload + 65552, swapped, payload, 65552);
        assertThrows(IOException.class, () -> opened(age::readingBack, swapped));
        var without = Samples.join(
                Arrays.copyOf(sealed, payload + 65552), Arrays.copyOfRange(sealed, payload + 2 * 65552, sealed.length));
        assertThrows(IOException.class, () -> opened(age::readingBack, without));
    }

    @Test void after_an_error_every_further_read_fails() throws IOException {
        var age = Age.to(List.of(anna.recipient));
        var sealed = sealed(age, Samples.random(200_000));
        sealed[sealed.length - 1] ^= 1;
        try (var in = age.readingBack(new ByteArrayInputStream(sealed))) {
            in.readNBytes(3 * 65536);
            for (int i = 0; i < 3; i++) assertThrows(IOException.class, () -> in.read(new byte[1000]));
            assertThrows(IOException.class, in::read);
        }
    }

    @Test void an_abandoned_file_never_looks_complete() throws IOException {
        var age = Age.to(List.of(anna.recipient));
        for (var size : new int[] {0, 1, 65536, 65537, 200_000}) {
            var file = new ByteArrayOutputStream();
            age.encrypting(file).write(Samples.random(size)); // and not closed
            assertThrows(
                    IOException.class, () -> opened(age::readingBack, file.toByteArray()), "given up after " + size);
        }
    }

    @Test void after_a_failed_write_close_writes_no_end() throws IOException {
        var age = Age.to(List.of(anna.recipient));
        var disk = new ByteArrayOutputStream() {
            int full = 100_000;

            @Override
            public void write(byte[] from, int start, int length) {
                if (size() + length > full)
                    throw new java.io.UncheckedIOException(new IOException("No space left on device"));
                super.write(from, start, length);
            }
        };
        var out = age.encrypting(disk);
        assertThrows(Exception.class, () -> out.write(Samples.random(300_000)));
        disk.full = Integer.MAX_VALUE; // there is space again
        assertThrows(IOException.class, () -> out.write(1));
        assertThrows(IOException.class, out::close);
        assertThrows(IOException.class, () -> opened(age::readingBack, disk.toByteArray()));
    }

    @Test void the_file_contains_no_plain_text() throws IOException {
        var plain = Samples.realistic(200_000);
        var sealed = new String(sealed(Age.to(List.of(anna.recipient)), plain), StandardCharsets.ISO_8859_1);
        assertFalse(sealed.contains("customer"));
        assertTrue(new String(plain, StandardCharsets.ISO_8859_1).contains("customer"), "the control");
    }

    // ---- recipients and identities -----------------------------------------------------------

    @Test void a_bad_recipient_is_named_and_a_secret_is_never_shown() throws IOException {
        var secret = Files.readString(anna.file)
                .lines()
                .filter(line -> line.startsWith("AGE"))
                .findFirst()
                .orElseThrow();
        for (var bad : List.of(
                anna.recipient.substring(0, 61),
                anna.recipient.substring(0, 61) + (anna.recipient.endsWith("q") ? "p" : "q"),
                "age1",
                "anna@example.org",
                "ssh-ed25519",
                "age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t")) {
            var failure = assertThrows(Failure.class, () -> Age.to(List.of(ben.recipient, bad)), bad);
            assertEquals(ExitCode.USAGE, failure.problem().exit());
            assertTrue(
                    failure.problem().what().startsWith("cannot encrypt to " + bad + ": "),
                    failure.problem().what());
            assertEquals(
                    List.of("give an age1… recipient: the line \"public key\" of a file made by age-keygen -o key.txt"),
                    failure.problem().next());
        }
        for (var given : List.of(secret, secret.toLowerCase())) {
            var failure = assertThrows(Failure.class, () -> Age.to(List.of(given)));
            assertFalse(failure.toString().toUpperCase().contains(secret.substring(15, 40)));
        }
        for (var none : List.of(List.<String>of(), List.of("", " , ")))
            assertEquals(
                    "cannot encrypt to \"\": it is empty",
                    assertThrows(Failure.class, () -> Age.to(none)).problem().what());
    }

    @Test void a_bad_identity_file_is_named_and_its_secret_is_never_shown() throws IOException {
        var secret = Files.readString(anna.file)
                .lines()
                .filter(line -> line.startsWith("AGE"))
                .findFirst()
                .orElseThrow();
        assertEquals("line 2 does not begin with AGE-SECRET-KEY-1", why("# x\nsome words\n"));
        assertEquals("the key in line 1 is incomplete", why(secret.substring(0, 60) + "\n"));
        assertEquals("it has no line that begins with AGE-SECRET-KEY-1", why("# only a comment\n"));
        assertEquals("it has no line that begins with AGE-SECRET-KEY-1", why(""));
        assertEquals("line 1 is a public key, and decrypting needs the secret one", why(anna.recipient));
        assertEquals("line 1 is a key of a type that is not supported", why("AGE-PLUGIN-YUBIKEY-1ABCDEF"));
        assertEquals("ssh keys are not supported", why("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"));
        assertEquals("it is encrypted itself", why("age-encryption.org/v1\n-> scrypt"));
        assertEquals("it is encrypted itself", why("-----BEGIN AGE ENCRYPTED FILE-----\n"));
        assertEquals("it is not there", why(temp.resolve("missing")));
        var failure =
                assertThrows(Failure.class, () -> Age.key(Files.writeString(temp.resolve("bad.txt"), secret + "x")));
        assertFalse((failure + "" + failure.getCause()).contains(secret.substring(15, 40)));
    }

    private static String why(String text) throws IOException {
        return why(Files.writeString(temp.resolve("identity.txt"), text));
    }

    private static String why(Path file) {
        var problem = assertThrows(Failure.class, () -> Age.key(file)).problem();
        assertEquals(ExitCode.USAGE, problem.exit());
        assertFalse(problem.next().isEmpty());
        var start = "cannot use the identity file " + file + ": ";
        assertTrue(problem.what().startsWith(start), problem.what());
        return problem.what().substring(start.length());
    }

    @Test void an_encrypted_file_is_recognized_by_its_first_bytes() throws IOException {
        assertTrue(Age.isEncrypted(Arrays.copyOf(sealed(Age.to(List.of(anna.recipient)), new byte[9]), 34)));
        assertTrue(Age.isEncrypted("-----BEGIN AGE ENCRYPTED FILE-----".getBytes(StandardCharsets.US_ASCII)));
        for (var other : List.of("", "PGDMP", "age-encryption", "-- PostgreSQL database dump"))
            assertFalse(Age.isEncrypted(other.getBytes(StandardCharsets.US_ASCII)));
    }

    // ---- the age program ---------------------------------------------------------------------

    @Test void the_age_program_decrypts_our_files() throws Exception {
        needs("age");
        for (var size : new int[] {0, 1, 65536, 200_000}) {
            var plain = Samples.random(size);
            var file = Files.write(
                    temp.resolve("ours.age"), sealed(Age.to(List.of(anna.recipient, ben.recipient)), plain));
            assertArrayEquals(plain, run("age", "--decrypt", "--identity", ben.file.toString(), file.toString()));
        }
        Files.write(temp.resolve("cut.age"), Arrays.copyOf(Files.readAllBytes(temp.resolve("ours.age")), 100_000));
        assertThrows(
                AssertionError.class,
                () -> run(
                        "age",
                        "--decrypt",
                        "--identity",
                        ben.file.toString(),
                        temp.resolve("cut.age").toString()),
                "the control");
    }

    @Test void files_of_the_age_program_are_decrypted_armored_or_not() throws Exception {
        needs("age-keygen");
        var key = temp.resolve("carl.txt");
        run("age-keygen", "--output", key.toString());
        var recipient = new String(run("age-keygen", "-y", key.toString()), StandardCharsets.US_ASCII).strip();
        for (var size : new int[] {0, 1, 65536, 200_000}) {
            var plain = Files.write(temp.resolve("plain"), Samples.random(size));
            for (var armor : List.of(List.<String>of(), List.of("--armor"))) {
                var command = new java.util.ArrayList<>(
                        List.of("age", "--encrypt", "--recipient", recipient, "--recipient", anna.recipient));
                command.addAll(armor);
                command.add(plain.toString());
                var sealed = run(command.toArray(String[]::new));
                assertTrue(Age.isEncrypted(sealed));
                for (var file : List.of(key, anna.file))
                    assertArrayEquals(Files.readAllBytes(plain), opened(Age.key(file), sealed), armor + " " + size);
                for (int cut = 1;
                        size % 65536 > 0 && cut < sealed.length - 1;
                        cut += cut < 300 || cut > sealed.length - 300 ? 1 : 4999) {
                    var part = Arrays.copyOf(sealed, cut);
                    assertThrows(
                            IOException.class,
                            () -> opened(Age.key(key), part),
                            armor + " " + size + " cut at " + cut + " of " + sealed.length);
                }
                var wrong = assertThrows(Failure.class, () -> opened(Age.key(ben.file), sealed));
                assertEquals("no key in " + ben.file + " decrypts " + FILE, wrong.problem().what());
            }
        }
        run(
                "age",
                "--encrypt",
                "--recipient",
                recipient,
                "--output",
                temp.resolve("locked.txt").toString(),
                key.toString());
        assertEquals("it is encrypted itself", why(temp.resolve("locked.txt")));
    }

    /** age reads a passphrase only from a terminal, so the test provides one. */
    @Test void a_file_with_a_passphrase_is_refused_with_the_command_that_decrypts_it() throws Exception {
        needs("age");
        assumeTrue(Tool.isInstalled("python3"), "python3 is not installed, which provides a terminal");
        var plain = Files.write(temp.resolve("plain"), Samples.random(100_000));
        var locked = temp.resolve("of a friend.age");
        inTerminal("age", "--passphrase", "--output", locked.toString(), plain.toString());
        var failure =
                assertThrows(Failure.class, () -> Age.key(anna.file).decrypting(locked, Files.newInputStream(locked)));
        assertEquals(locked + " is encrypted with a passphrase, which is not supported", failure.problem().what());
        var next = "decrypt it, then give the decrypted file: ";
        assertTrue(failure.problem().next().getFirst().startsWith(next), failure.problem().next().toString());
        inTerminal("sh", "-c", failure.problem().next().getFirst().substring(next.length()));
        assertArrayEquals(Files.readAllBytes(plain), Files.readAllBytes(temp.resolve("of a friend")));
        assertEquals(
                "rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(temp.resolve("of a friend"))));
    }

    /** Answers each question for a passphrase; the terminal's size and echo do not matter. */
    private static void inTerminal(String... command) throws Exception {
        var script = """
            import os, pty, sys, time
            pid, fd = pty.fork()
            if pid == 0: os.execvp(sys.argv[1], sys.argv[1:])
            seen = b""
            while True:
                try: read = os.read(fd, 1000)
                except OSError: break
                if not read: break
                seen += read
                if seen.rstrip().endswith(b":"):
                    seen = b""
                    time.sleep(0.2)
                    os.write(fd, os.environb[b"ANSWER"] + b"\\n")
            sys.stderr.write(seen.decode(errors="replace"))
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            """;
        var argv = new java.util.ArrayList<>(List.of("python3", "-c", script));
        argv.addAll(List.of(command));
        var builder = new ProcessBuilder(argv).redirectErrorStream(true);
        builder.environment().put("ANSWER", PASSPHRASE);
        builder.environment().put("LC_ALL", "C.UTF-8");
        var process = builder.start();
        process.getOutputStream().close();
        if (!process.waitFor(60, TimeUnit.SECONDS)) process.destroyForcibly();
        var said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), said);
    }

    private static void needs(String program) {
        assumeTrue(Tool.isInstalled(program), program + " is not installed (Debian's package age)");
    }

    private static byte[] run(String... command) throws Exception {
        var process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
        process.getOutputStream().close();
        var out = process.getInputStream().readAllBytes();
        assertEquals(0, process.waitFor(), String.join(" ", command));
        return out;
    }

    // ---- support -----------------------------------------------------------------------------

    private static byte[] sealed(Age age, byte[] plain) throws IOException {
        var file = new ByteArrayOutputStream();
        try (OutputStream out = age.encrypting(file)) {
            for (int at = 0; at < plain.length; at += 50_000) out.write(plain, at, Math.min(50_000, plain.length - at));
        }
        return file.toByteArray();
    }

    private static byte[] opened(Age.Key key, byte[] sealed) throws IOException {
        return opened(in -> key.decrypting(FILE, in), sealed);
    }

    private interface Opening {
        InputStream of(InputStream sealed) throws IOException;
    }

    private static byte[] opened(Opening opening, byte[] sealed) throws IOException {
        try (InputStream in = opening.of(new ByteArrayInputStream(sealed))) {
            return in.readAllBytes();
        }
    }
}
