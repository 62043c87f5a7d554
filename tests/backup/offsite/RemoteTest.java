package lib.backup.offsite;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.files.Disk;
import lib.process.Interruption;
import lib.process.Program;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.S3;

/** rclone's own local backend, and a real S3 server on loopback. */
class RemoteTest {
    private static final String NAME = "crm_20261122_020000.dump.zst";
    private static S3 s3;

    @TempDir static Path buckets;
    @TempDir Path here;

    @BeforeAll
    static void rclone_and_a_server() throws Exception {
        try {
            Program.of("rclone").with("version").output();
        } catch (Failure e) {
            assumeTrue(false, "rclone is not installed: apt install rclone");
        }
        if (S3.jar() == null) return;
        s3 = S3.start(buckets);
        assertEquals(0, s3.rclone("rclone").with("mkdir", "off:crm-backups").run().code());
    }

    @AfterAll
    static void stop() throws Exception {
        if (s3 != null) s3.close();
    }

    private static S3 s3() {
        assumeTrue(s3 != null, "S3Proxy cannot be fetched from Maven Central");
        return s3;
    }

    // ---- what works --------------------------------------------------------------------------

    @Test
    void a_backup_is_uploaded_to_a_folder_and_fetched() throws Exception {
        var proof = thereAndBack(plain("rclone"), folder().toString(), NAME);
        assertEquals("sha256 compared", proof);
    }

    @Test
    void a_backup_is_uploaded_to_s3_and_fetched() throws Exception {
        var proof = thereAndBack(s3().rclone("rclone"), "off:crm-backups/crm", NAME);
        assertEquals("md5 compared", proof);
    }

    @Tag("exhaustive")
    @Test
    void names_may_have_spaces_percent_signs_and_umlauts() throws Exception {
        var name = "crm 100%41 [a]* Zähler #1_20261122_020000.dump";
        thereAndBack(plain("rclone"), folder() + "/sub 1/", name);
        thereAndBack(s3().rclone("rclone"), "off:crm-backups/with space/%41/", name);
    }

    private String thereAndBack(Program rclone, String path, String name) throws IOException {
        var remote = new Remote(rclone, path);
        if (!path.startsWith("off:")) Files.createDirectories(Path.of(path));
        remote.require();
        assertEquals(List.of(), remote.list());
        var before = Instant.now().minusSeconds(2);
        var data = backup(name, 300_000);
        var proof = remote.upload(data, sha256(data), manifest(data));
        var listed = remote.list();
        assertEquals(List.of(name, name + ".json"), listed.stream().map(Remote.RemoteFile::name).sorted().toList());
        var file = listed.stream().filter(f -> f.name().equals(name)).findFirst().orElseThrow();
        assertEquals(300_000, file.bytes());
        assertTrue(
                file.arrived().isAfter(before)
                        && file.arrived().isBefore(Instant.now().plusSeconds(2)),
                file.toString());
        assertEquals(Files.readString(manifest(data)), remote.read(name + ".json"));

        var back = Files.createTempDirectory(here, "back");
        var fetched = remote.fetch(name, sha256(data), back);
        assertArrayEquals(Files.readAllBytes(data), Files.readAllBytes(fetched));
        assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(fetched)));
        assertEquals(fetched, remote.fetch(name, sha256(data), back), "it exists already");
        assertEquals(List.of(name), names(back));

        remote.delete(name);
        assertEquals(List.of(), remote.list());
        remote.delete(name);
        return proof;
    }

    @Test
    void a_large_file_is_uploaded_in_parts_and_the_hash_of_s3_is_compared() throws Exception {
        var rclone = inParts();
        var data = backup(NAME, 30_000_000);
        assertEquals(
                "md5 compared",
                new Remote(rclone, "off:crm-backups/large")
                        .upload(data, sha256(data), manifest(data)),
                "S3 computed it for the rename");
    }

    @Tag("exhaustive")
    @Test
    void a_file_is_read_back_when_the_server_computes_no_hash() throws Exception {
        var rclone = inParts().env("RCLONE_S3_COPY_CUTOFF", "6M"); // the rename in parts too, as beyond 5 GB
        var data = backup(NAME, 30_000_000);
        assertEquals(
                "read back",
                new Remote(rclone, "off:crm-backups/larger")
                        .upload(data, sha256(data), manifest(data)));

        // Control: by default rclone returns the hash that it stored before the upload, whatever the file contains.
        var file = "off:crm-backups/echo/" + NAME;
        assertEquals(0, inParts().with("copyto", data.toString(), file).run().code());
        overwrite(s3().file("crm-backups", "echo/" + NAME), 5_000_000);
        assertTrue(inParts()
                .with("lsjson", "--hash", file)
                .output()
                .contains(rclone.with("md5sum", data.toString()).output().substring(0, 32)));
    }

    @Test
    void a_stored_hash_does_not_count() throws Exception {
        var there = folder();
        var rclone = plain("rclone")
                .env("RCLONE_CONFIG_REM_TYPE", "chunker")
                .env("RCLONE_CONFIG_REM_REMOTE", there.toString())
                .env("RCLONE_CONFIG_REM_HASH_TYPE", "md5all");
        var data = backup(NAME, 100_000);
        assertEquals("read back", new Remote(rclone, "rem:").upload(data, sha256(data), manifest(data)));
        // Control: rclone does return the hash of the uploaded file.
        var md5 = plain("rclone").with("md5sum", data.toString()).output().substring(0, 32);
        assertTrue(rclone.with("lsjson", "--hash", "rem:" + NAME).output().contains(md5));
        overwrite(there.resolve(NAME + ".rclone_chunk.001"), 50_000);
        assertTrue(rclone.with("lsjson", "--hash", "rem:" + NAME).output().contains(md5));
    }

    @Test
    void a_broken_download_is_resumed() throws Exception {
        var data = backup(NAME, 3_000_000);
        var there = folder();
        new Remote(plain("rclone"), there.toString()).upload(data, sha256(data), manifest(data));
        // the first two times only a part is downloaded
        var breaking = plain(script("""
            case " $* " in *" cat "*) echo x >>"$0.count"; [ $(wc -l <"$0.count") -gt 2 ] || { rclone "$@" | head -c \
            1000001; exit 1; } ;; esac
            exec rclone "$@"
            """));
        var fetched = new Remote(breaking, there.toString())
                .fetch(NAME, sha256(data), Files.createDirectory(here.resolve("back")));
        assertArrayEquals(Files.readAllBytes(data), Files.readAllBytes(fetched));
    }

    @Test
    void a_proven_copy_is_not_sent_again_and_a_damaged_one_is_replaced() throws Exception {
        var there = folder();
        var log = here.resolve("argv");
        var remote = new Remote(plain(script("echo \"$1\" >>" + log + "\nexec rclone \"$@\"\n")), there.toString());
        var data = backup(NAME, 100_000);
        remote.upload(data, sha256(data), manifest(data));
        Files.delete(log);
        assertEquals("sha256 compared", remote.upload(data, sha256(data), manifest(data)));
        assertFalse(Files.readString(log).contains("copyto"));

        overwrite(there.resolve(NAME), 70_000);
        remote.upload(data, sha256(data), manifest(data));
        assertEquals(sha256(data), sha256(there.resolve(NAME)));
        var done = Files.readAllLines(log).stream().filter(line -> line.matches("deletefile|copyto")).toList();
        assertEquals(List.of("deletefile", "copyto", "copyto"), done, "the manifest first");
    }

    @Test
    void only_our_own_stale_partial_files_are_removed() throws Exception {
        var there = folder();
        for (var name : List.of(NAME + ".partial", NAME, "crm_20261122_030000.dump.zst.partial", "film.mkv.partial"))
            Files.writeString(there.resolve(name), "x");
        for (var name : List.of(NAME + ".partial", NAME, "film.mkv.partial"))
            Files.setLastModifiedTime(there.resolve(name), FileTime.from(Instant.now().minus(Duration.ofHours(25))));
        var swept = new Remote(plain("rclone"), there.toString())
                .sweep(name -> name.startsWith("crm_"), Instant.now().minus(Duration.ofDays(1)));
        assertEquals(List.of(NAME + ".partial"), swept);
        assertEquals(
                List.of(NAME, "crm_20261122_030000.dump.zst.partial", "film.mkv.partial").stream()
                        .sorted()
                        .toList(),
                names(there));
    }

    @Test
    void the_manifest_is_uploaded_last_and_removed_first_and_no_secret_is_an_argument() throws Exception {
        var log = here.resolve("argv");
        var rclone = s3().rclone(script("echo \"$*\" >>" + log + "\nexec rclone \"$@\"\n"));
        var remote = new Remote(rclone, "off:crm-backups/order");
        var data = backup(NAME, 1000);
        remote.upload(data, sha256(data), manifest(data));
        remote.delete(NAME);
        var done = Files.readAllLines(log).stream().filter(line -> line.matches("(deletefile|copyto|moveto) .*"))
            .map(line -> line.split(" ")[0] + (line.contains(NAME + ".json") ? " manifest" : " data")).toList();
        assertEquals(
                List.of(
                        "copyto data",
                        "moveto data",
                        "copyto manifest",
                        "moveto manifest",
                        "deletefile manifest",
                        "deletefile data"),
                done);
        assertFalse(Files.readString(log).contains(S3.KEY));
        assertTrue(Files.readAllLines(log).stream().allMatch(line -> line.contains("--ask-password=false")));
    }

    // ---- what fails --------------------------------------------------------------------------

    @Test
    void an_altered_file_in_a_folder_is_noticed_by_its_hash() throws Exception {
        var there = folder();
        var tampering =
                plain(script("rclone \"$@\" || exit\ncase \" $* \" in *' moveto '*zst.partial*) printf X | dd of='"
                        + there.resolve(NAME) + "' bs=1 seek=500 conv=notrunc 2>&1 ;; esac\n"));
        notProven(new Remote(tampering, there.toString()), "its sha256 differs");
        assertEquals(List.of(), names(there));
    }

    @Test
    void an_altered_file_on_s3_is_noticed_by_its_hash() throws Exception {
        var other = Files.write(here.resolve("other"), new byte[50_000]);
        var path = "off:crm-backups/tampered";
        var tampering = s3().rclone(script(
                "rclone \"$@\" || exit\ncase \" $* \" in *' moveto '*zst.partial*) rclone copyto --ignore-times "
                        + other + " " + path + "/" + NAME + " ;; esac\n"));
        notProven(new Remote(tampering, path), "its md5 differs");
        assertEquals(List.of(), new Remote(s3().rclone("rclone"), path).list());
    }

    @Test
    void an_altered_file_is_noticed_when_it_is_read_back() throws Exception {
        var there = folder();
        var password = plain("rclone").with("obscure", "two words").output().strip();
        var good = plain("rclone").secret("RCLONE_CONFIG_SEC_TYPE", "crypt") // which has no hashes
            .secret("RCLONE_CONFIG_SEC_REMOTE", there.toString()).secret("RCLONE_CONFIG_SEC_PASSWORD", password);
        var data = backup(NAME, 50_000);
        assertEquals("read back", new Remote(good, "sec:").upload(data, sha256(data), manifest(data)));
        var fetched = new Remote(good, "sec:").fetch(NAME, sha256(data), Files.createDirectory(here.resolve("back")));
        assertArrayEquals(Files.readAllBytes(data), Files.readAllBytes(fetched));
        new Remote(good, "sec:").delete(NAME);

        var other = Files.write(here.resolve("other"), new byte[50_000]);
        var tampering = plain(script("rclone \"$@\" || exit\n"
                        + "case \" $* \" in *' moveto '*zst.partial*) rclone copyto --ignore-times "
                        + other + " sec:" + NAME + " ;; esac\n"))
                .secret("RCLONE_CONFIG_SEC_TYPE", "crypt")
                .secret("RCLONE_CONFIG_SEC_REMOTE", there.toString())
                .secret("RCLONE_CONFIG_SEC_PASSWORD", password);
        notProven(new Remote(tampering, "sec:"), "its content differs");
        assertEquals(List.of(), names(there));
    }

    private void notProven(Remote remote, String why) throws IOException {
        var data = backup(NAME, 50_000);
        var failure = fails(ExitCode.PARTLY, () -> remote.upload(data, sha256(data), manifest(data)));
        assertTrue(failure.contains(why), failure);
        assertTrue(failure.contains(data + " is good"), failure);
        assertTrue(Files.exists(data));
    }

    @Test
    void a_damaged_file_is_not_fetched() throws Exception {
        var data = backup(NAME, 200_000);
        var remote = new Remote(s3().rclone("rclone"), "off:crm-backups/damaged");
        remote.upload(data, sha256(data), manifest(data));
        overwrite(s3().file("crm-backups", "damaged/" + NAME), 100_000); // S3 still returns the old hash
        var back = Files.createDirectory(here.resolve("back"));
        assertTrue(fails(ExitCode.FAILED, () -> remote.fetch(NAME, sha256(data), back))
                .contains("its sha256 differs"));
        assertEquals(List.of(), names(back));
        assertTrue(fails(ExitCode.FAILED, () -> remote.fetch("crm_x.dump", sha256(data), back))
                .contains("crm_x.dump is not what its manifest says: it is missing"));
    }

    @Test
    void a_file_that_differs_from_its_manifest_is_not_uploaded() throws Exception {
        var there = folder();
        var data = backup(NAME, 1000);
        var sha256 = sha256(data);
        overwrite(data, 500);
        assertTrue(fails(ExitCode.FAILED, () -> new Remote(plain("rclone"), there.toString())
                        .upload(data, sha256, manifest(data)))
                .contains("it has changed since"));
        assertEquals(List.of(), names(there));
    }

    @Test
    void a_problem_with_the_remote_is_reported_before_the_backup_starts() throws Exception {
        new Remote(s3().rclone("rclone"), "off:crm-backups/not/yet").require(); // control
        requireFails(
                ExitCode.USAGE,
                "there is no bucket off:crm-backup, or it is not visible to this key",
                s3().rclone("rclone"),
                "off:crm-backup/crm");
        requireFails(
                ExitCode.USAGE,
                "SignatureDoesNotMatch",
                S3.rclone(s3().port(), S3.KEY_ID, "another-Secret-0123456789", "rclone"),
                "off:crm-backups/crm");
        requireFails(
                ExitCode.USAGE,
                "InvalidAccessKeyId",
                S3.rclone(s3().port(), "somebodyelse", S3.KEY, "rclone"),
                "off:crm-backups/crm");
        requireFails(ExitCode.USAGE, "didn't find section", s3().rclone("rclone"), "of:crm-backups/crm");
        requireFails(
                ExitCode.FAILED,
                "connection refused",
                S3.rclone(1, S3.KEY_ID, S3.KEY, "rclone").env("RCLONE_LOW_LEVEL_RETRIES", "1"),
                "off:crm-backups/crm");
        requireFails(ExitCode.USAGE, "names no bucket", s3().rclone("rclone"), "off:");
        requireFails(
                ExitCode.USAGE,
                "it may be an unmounted disk",
                plain("rclone"),
                here.resolve("nas/crm").toString());
        requireFails(ExitCode.USAGE, "not installed", plain(here.resolve("no-rclone").toString()), here.toString());
        for (var path : List.of(
                "",
                " ",
                "-v",
                "--config=/etc/shadow",
                "s3,access_key_id=a,secret_access_key=topsecret99:crm",
                ":s3,secret_access_key=topsecret99:crm"))
            assertFalse(fails(ExitCode.USAGE, () -> new Remote(plain("rclone"), path))
                    .contains("topsecret99"));
    }

    private void requireFails(ExitCode exit, String words, Program rclone, String path) {
        var failure = fails(exit, () -> new Remote(rclone, path).require());
        assertTrue(failure.contains(words), failure);
    }

    @Test
    void names_outside_the_folder_are_refused() throws Exception {
        var remote = new Remote(plain("rclone"), folder().toString());
        for (var name : List.of("", "../x", "a/b", "a\\b", "-x", ".x", "a\nb")) {
            fails(ExitCode.USAGE, () -> remote.read(name));
            fails(ExitCode.USAGE, () -> remote.delete(name));
            fails(ExitCode.USAGE, () -> remote.fetch(name, "", here));
        }
    }

    @Tag("exhaustive")
    @Test
    void a_server_that_dies_during_the_upload_leaves_nothing_that_looks_complete() throws Exception {
        s3();
        var folder = Files.createDirectory(here.resolve("buckets"));
        var data = backup(NAME, 20_000_000);
        int port;
        try (var dying = S3.start(folder)) {
            port = dying.port();
            assertEquals(0, dying.rclone("rclone").with("mkdir", "off:crm-two").run().code());
            var slow = dying.rclone("rclone")
                    .env("RCLONE_BWLIMIT", "4M")
                    .env("RCLONE_LOW_LEVEL_RETRIES", "1")
                    .env("RCLONE_RETRIES", "2");
            var killer = Thread.ofPlatform().start(() -> {
                try {
                    Thread.sleep(2000);
                    dying.kill();
                } catch (InterruptedException e) {
                    throw new IllegalStateException(e);
                }
            });
            var begin = System.nanoTime();
            var words = fails(ExitCode.PARTLY, () -> new Remote(slow, "off:crm-two/crm")
                    .upload(data, sha256(data), manifest(data)));
            killer.join();
            var seconds = TimeUnit.NANOSECONDS.toSeconds(System.nanoTime() - begin);
            assertTrue(seconds >= 1 && seconds < 60, seconds + " s");
            assertTrue(words.contains(NAME + ".partial"), words); // what may be left is named
            assertFalse(words.contains("and " + NAME), words); // a file that was not started is not named
            assertTrue(words.contains("once that is fixed, the next backup uploads this one too"), words);
            assertTrue(Files.exists(data));
        }
        try (var again = S3.start(folder, port)) {
            var remote = new Remote(again.rclone("rclone"), "off:crm-two/crm");
            assertTrue(
                    remote.list().stream()
                            .noneMatch(f -> f.name().equals(NAME) || f.name().endsWith(".json")),
                    remote.list().toString());
            remote.upload(data, sha256(data), manifest(data));
            assertEquals(
                    List.of(NAME, NAME + ".json"),
                    remote.list().stream()
                            .map(Remote.RemoteFile::name)
                            .filter(name -> !name.matches(".*\\.partial-[0-9a-f-]{36}"))
                            .sorted()
                            .toList()); // the unfinished file of the killed server
        }
    }

    @Tag("exhaustive")
    @Test
    void a_partial_file_is_removed_after_a_server_stops_before_the_rename() throws Exception {
        s3();
        var folder = Files.createDirectory(here.resolve("buckets"));
        var data = backup(NAME, 100_000);
        int port;
        try (var dying = S3.start(folder)) {
            port = dying.port();
            assertEquals(0, dying.rclone("rclone").with("mkdir", "off:crm-two").run().code());
            var killing = dying.rclone(script(
                            "case \" $* \" in *' moveto '*) kill -9 " + dying.pid() + " ;; esac\nexec rclone \"$@\"\n"))
                    .env("RCLONE_LOW_LEVEL_RETRIES", "1")
                    .env("RCLONE_RETRIES", "1");
            fails(ExitCode.PARTLY, () -> new Remote(killing, "off:crm-two/crm")
                    .upload(data, sha256(data), manifest(data)));
        }
        try (var again = S3.start(folder, port)) {
            var remote = new Remote(again.rclone("rclone"), "off:crm-two/crm");
            assertEquals(List.of(NAME + ".partial"), remote.list().stream().map(Remote.RemoteFile::name).toList());
            assertEquals(List.of(), remote.sweep(NAME::equals, Instant.now().minus(Duration.ofDays(1))));
            assertEquals(List.of(NAME + ".partial"), remote.sweep(NAME::equals, Instant.now().plusSeconds(60)));
            assertEquals(List.of(), remote.list());
        }
    }

    @Test
    void passwords_and_signatures_in_urls_and_known_secrets_are_hidden() throws Exception {
        var chatty = plain(script("""
            echo 'Failed to copy: Put \
            "https://me:pass99word@store.example/b/x?X-Amz-Credential=abc&X-Amz-Signature=deadbeef99": key \
            '"$RCLONE_CONFIG_OFF_SECRET_ACCESS_KEY"' refused' >&2
            exit 1
            """)).secret("RCLONE_CONFIG_OFF_SECRET_ACCESS_KEY", S3.KEY);
        var words = fails(ExitCode.FAILED, () -> new Remote(chatty, "off:crm-two").list());
        for (var secret : List.of("pass99word", "deadbeef99", S3.KEY)) assertFalse(words.contains(secret), words);
        assertTrue(words.contains("store.example/b/x"), words);
    }

    /** In a separate process, because a signal cannot be taken back. */
    static final class Uploading {
        public static void main(String... args) {
            Interruption.install();
            try {
                new Remote(plain("rclone").env("RCLONE_BWLIMIT", "1M"), args[0])
                        .upload(Path.of(args[1]), args[2], manifest(Path.of(args[1])));
                System.exit(0);
            } catch (Failure e) {
                System.out.println(e.problem().what());
                System.exit(e.problem().exit().code);
            }
        }
    }

    @Test
    void a_signal_stops_rclone_and_removes_the_unfinished_upload() throws Exception {
        var there = folder();
        var data = backup(NAME, 30_000_000);
        var process = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-XX:TieredStopAtLevel=1",
                        "-cp",
                        System.getProperty("java.class.path"),
                        Uploading.class.getName(),
                        there.toString(),
                        data.toString(),
                        sha256(data))
                .redirectErrorStream(true)
                .start();
        var deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (names(there).isEmpty() && System.nanoTime() < deadline) Thread.sleep(50);
        var children = process.descendants().toList();
        assertEquals(List.of(NAME + ".partial"), names(there));
        assertEquals(1, children.size());
        process.toHandle().destroy(); // its output can still be read
        assertTrue(process.waitFor(10, TimeUnit.SECONDS));
        assertEquals(130, process.exitValue(), new String(process.getInputStream().readAllBytes()));
        assertFalse(children.getFirst().isAlive());
        assertEquals(List.of(), names(there));
    }

    // ---- support -----------------------------------------------------------------------------

    private static Program plain(String rclone) {
        return Program.of(rclone).withoutEnv("AWS_").withoutEnv("RCLONE_").env("RCLONE_CONFIG", "/dev/null");
    }

    private static Program inParts() {
        return s3().rclone("rclone").env("RCLONE_S3_CHUNK_SIZE", "5M").env("RCLONE_S3_UPLOAD_CUTOFF", "5M");
    }

    /** A script in place of rclone. */
    private String script(String lines) throws IOException {
        var script = Files.writeString(Files.createTempFile(here, "rclone", ""), "#!/bin/bash\n" + lines);
        Files.setPosixFilePermissions(script, PosixFilePermissions.fromString("rwx------"));
        return script.toString();
    }

    private Path folder() throws IOException {
        return Files.createTempDirectory(here, "remote");
    }

    private Path backup(String name, int bytes) throws IOException {
        var content = new byte[bytes];
        new Random(bytes).nextBytes(content);
        var file = Files.write(Files.createTempDirectory(here, "backups").resolve(name), content);
        Files.writeString(file.resolveSibling(name + ".json"), "{\"sha256\": \"%s\"}\n".formatted(sha256(file)));
        return file;
    }

    private static Path manifest(Path data) {
        return data.resolveSibling(data.getFileName() + ".json");
    }

    private static String sha256(Path file) throws IOException {
        return Disk.sha256(Files.readAllBytes(file));
    }

    private static void overwrite(Path file, int at) throws IOException {
        try (var content = new java.io.RandomAccessFile(file.toFile(), "rw")) {
            content.seek(at);
            var was = content.read();
            content.seek(at);
            content.write(was ^ 1);
        }
    }

    private static List<String> names(Path folder) throws IOException {
        try (var all = Files.list(folder)) {
            return all.map(file -> file.getFileName().toString()).sorted().toList();
        }
    }

    /** The message and next steps that the user sees; they never contain a secret. */
    private static String fails(ExitCode exit, org.junit.jupiter.api.function.Executable code) {
        var problem = assertThrows(Failure.class, code).problem();
        var words = problem.what() + "\n" + String.join("\n", problem.next());
        assertEquals(exit, problem.exit(), words);
        for (var secret : List.of(S3.KEY, "another-Secret-0123456789", "X-Amz-Signature="))
            assertFalse(words.contains(secret), words);
        return words;
    }
}
