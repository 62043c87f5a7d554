package lib.backup;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import java.util.zip.GZIPInputStream;
import lib.backup.archive.Compression;
import lib.error.ExitCode;
import lib.error.Failure;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.Samples;
import support.Tool;

/** Compressed data is decompressed completely or not at all. */
class CompressionTest {
    private static final List<String> PACKING = List.of("zstd", "zstd:1", "zstd:19", "gzip", "gzip:1", "gzip:9");

    @TempDir Path temp;

    @Test void the_setting_is_parsed_and_printed_again() {
        assertEquals(new Compression(Compression.Kind.ZSTD, 3), Compression.parse("zstd"));
        assertEquals(new Compression(Compression.Kind.GZIP, 6), Compression.parse(" gzip "));
        for (var text : List.of("zstd:1", "zstd:19", "gzip:1", "gzip:9", "none"))
            assertEquals(text, Compression.parse(text).toString());
        assertEquals(
                List.of(".zst", ".gz", ""),
                List.of("zstd", "gzip", "none").stream()
                        .map(text -> Compression.parse(text).suffix())
                        .toList());
        for (var text : List.of(
                "",
                "lz4",
                "zstd:",
                "zstd:0",
                "zstd:20",
                "zstd:-1",
                "gzip:10",
                "none:1",
                "zstd:3x",
                "ZSTD",
                "zstd:003",
                "zstd:3\n4")) {
            var failure = assertThrows(Failure.class, () -> Compression.parse(text), text);
            assertEquals(ExitCode.USAGE, failure.problem().exit());
            assertTrue(failure.problem().what().contains(text));
        }
    }

    @Test void data_of_every_size_is_restored() throws IOException {
        for (var text : List.of("zstd", "zstd:9", "gzip", "none")) {
            for (var size : new int[] {0, 1, 2, 3, 4, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, 3_000_000}) {
                var plain = Samples.realistic(size);
                for (var workers : new int[] {0, 2})
                    assertArrayEquals(plain, unpacked(packed(text, plain, workers)), text + " " + size);
            }
        }
    }

    @Test void twenty_megabytes_are_processed_fast() throws IOException {
        var plain = Samples.realistic(20 << 20);
        var figures = new StringBuilder();
        for (var text : List.of("zstd", "zstd:1", "gzip", "none")) {
            var began = System.nanoTime();
            var packed = packed(text, plain, 1);
            var between = System.nanoTime();
            assertArrayEquals(plain, unpacked(packed));
            figures.append(" %s %.1f:1, %.0f and %.0f MB/s;"
                    .formatted(
                            text,
                            (double) plain.length / packed.length,
                            20e9 / (between - began),
                            20e9 / (System.nanoTime() - between)));
        }
        System.out.println("packing and unpacking 20 MB:" + figures);
    }

    @Test void a_file_cut_off_at_any_place_is_an_error() throws IOException {
        var plain = Samples.realistic(2000);
        for (var text : PACKING) {
            var packed = packed(text, plain, 0);
            assertArrayEquals(plain, unpacked(packed), "the control");
            for (int cut = 1; cut < packed.length; cut++) {
                var part = Arrays.copyOf(packed, cut);
                assertThrows(IOException.class, () -> unpacked(part), text + " cut at " + cut + " of " + packed.length);
            }
        }
        var large = packed("zstd", Samples.random(1 << 20), 2); // several blocks
        for (int cut = 1; cut < large.length; cut += cut < 300 || cut > large.length - 300 ? 1 : 10_007) {
            var part = Arrays.copyOf(large, cut);
            assertThrows(IOException.class, () -> unpacked(part), "cut at " + cut);
        }
    }

    @Test void data_after_the_end_is_an_error() throws IOException {
        for (var text : PACKING) {
            var packed = packed(text, Samples.realistic(2000), 0);
            for (var more : List.of(
                    new byte[1],
                    new byte[2],
                    new byte[3],
                    new byte[4],
                    new byte[9],
                    new byte[100_000],
                    new byte[] {0x28},
                    new byte[] {0x1f},
                    new byte[] {0x1f, (byte) 0x8b},
                    "-- end".getBytes(StandardCharsets.US_ASCII))) {
                assertThrows(
                        IOException.class,
                        () -> unpacked(Samples.join(packed, more)),
                        text + " with " + more.length + " more");
            }
        }
        assertArrayEquals(
                Samples.realistic(9),
                new GZIPInputStream(new ByteArrayInputStream(
                                Samples.join(packed("gzip", Samples.realistic(9), 0), new byte[5])))
                        .readAllBytes(),
                "Java's own says nothing: why there is another");
    }

    @Test void a_flipped_bit_is_an_error_or_changes_nothing() throws IOException {
        var plain = Samples.realistic(3000);
        for (var text : List.of("zstd", "gzip")) {
            var packed = packed(text, plain, 0);
            var harmless = 0;
            for (int bit = 0; bit < packed.length * 8; bit++) {
                var flipped = packed.clone();
                flipped[bit / 8] ^= (byte) (1 << bit % 8);
                try {
                    var back = unpacked(flipped);
                    if (bit >= 32)
                        assertArrayEquals(
                                plain,
                                back,
                                text + " bit " + bit); // with other first four bytes it is another kind of file
                    else if (!Arrays.equals(plain, back)) assertArrayEquals(flipped, back, text + " bit " + bit);
                    harmless++;
                } catch (IOException e) {
                    // expected
                }
            }
            assertTrue(
                    harmless < 32 + 10 * 8,
                    text + " harmless: " + harmless); // the first four bytes, and gzip's time and system
        }
        assertThrows(
                IOException.class,
                () -> unpacked(withoutChecksum(plain)),
                "the control: something else than the checksum is wrong in it");
    }

    /** Flips the last bit of the checksum: only the checksum itself can show this. */
    private static byte[] withoutChecksum(byte[] plain) throws IOException {
        var packed = packed("zstd", plain, 0);
        packed[packed.length - 1] ^= 1;
        return packed;
    }

    @Test void gzip_members_one_after_another_are_one_file() throws IOException {
        var one = Samples.realistic(100_000);
        var two = Samples.random(70_000);
        var both = Samples.join(packed("gzip", one, 0), packed("gzip:1", two, 0));
        assertArrayEquals(Samples.join(one, two), unpacked(both));
        assertArrayEquals(Samples.join(one, two), Compression.decompressing(new Samples.Dribble(both)).readAllBytes());
        for (int cut = both.length - 300; cut < both.length; cut++) {
            var part = Arrays.copyOf(both, cut);
            assertThrows(EOFException.class, () -> unpacked(part));
        }
    }

    @Test void a_file_of_the_gzip_program_with_a_name_in_its_header_is_read() throws Exception {
        var file = Files.write(temp.resolve("some name.sql"), Samples.realistic(50_000));
        assertEquals(0, new ProcessBuilder("gzip", file.toString()).inheritIO().start().waitFor());
        try (var in = Compression.decompressing(Files.newInputStream(temp.resolve("some name.sql.gz")))) {
            assertArrayEquals(Samples.realistic(50_000), in.readAllBytes());
        }
    }

    @Test void the_gzip_and_zstd_programs_read_our_files() throws Exception {
        for (var program : List.of("gzip", "zstd")) {
            assumeTrue(Tool.isInstalled(program), program + " is not installed");
            var file = temp.resolve("x" + Compression.parse(program).suffix());
            Files.write(file, packed(program, Samples.realistic(500_000), 2));
            var process = new ProcessBuilder(program, "-dc", file.toString())
                    .redirectError(ProcessBuilder.Redirect.INHERIT)
                    .start();
            assertArrayEquals(Samples.realistic(500_000), process.getInputStream().readAllBytes());
            assertEquals(0, process.waitFor());
        }
        var listed = new ProcessBuilder("zstd", "-lv", temp.resolve("x.zst").toString())
                .redirectErrorStream(true)
                .start();
        assertTrue(
                new String(listed.getInputStream().readAllBytes(), StandardCharsets.UTF_8).contains("XXH64"),
                "has a checksum");
    }

    @Test void a_disk_error_is_passed_on_and_no_end_is_written_after_it() throws IOException {
        for (var text : List.of("zstd", "gzip")) {
            var disk = new ByteArrayOutputStream() {
                boolean full;

                @Override public void write(byte[] from, int start, int length) {
                    if (full) throw new java.io.UncheckedIOException(new IOException("No space left on device"));
                    super.write(from, start, length);
                }
            };
            var out = Compression.parse(text).compressing(disk, 0);
            out.write(Samples.random(500_000));
            disk.full = true;
            assertThrows(Exception.class, () -> { for (int i = 0; i < 20; i++) out.write(Samples.random(500_000)); });
            assertThrows(IOException.class, () -> unpacked(disk.toByteArray()));
        }
    }

    /** The usual stream of zstd-jni writes the end when it is garbage-collected: ours must not. */
    @Test void an_abandoned_file_never_gets_an_end() throws Exception {
        var file = new ByteArrayOutputStream();
        begun(file);
        for (int i = 0; i < 5; i++) {
            System.gc();
            Thread.sleep(50);
        }
        assertThrows(IOException.class, () -> unpacked(file.toByteArray()));
    }

    private static void begun(OutputStream file) throws IOException {
        Compression.parse("zstd").compressing(file, 0).write(Samples.random(500_000));
    }

    /** In a JVM without zstd on its class path. */
    @Test void the_zstd_library_is_loaded_only_for_zstd() throws Exception {
        var without = Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
                .filter(jar -> !jar.contains("zstd-jni"))
                .collect(Collectors.joining(File.pathSeparator));
        assertEquals(
                "none 5 gzip 5 zstd 1: zstd's native library does not load", child(without, "none", "gzip", "zstd"));
        assertEquals("zstd 5", child(System.getProperty("java.class.path"), "zstd"), "the control");
        assertEquals(
                "gzip 5 zstd 1: zstd's native library does not load",
                child(
                        System.getProperty("java.class.path"),
                        "-DZstdTempFolder=" + temp.resolve("missing"),
                        "gzip",
                        "zstd"));
    }

    private static String child(String classPath, String... arguments) throws Exception {
        var command = new java.util.ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                classPath));
        for (var argument : arguments) if (argument.startsWith("-D")) command.add(argument);
        command.add(Child.class.getName());
        for (var argument : arguments) if (!argument.startsWith("-D")) command.add(argument);
        var process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        return new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
    }

    /** Compresses and decompresses five bytes with each. */
    static final class Child {
        public static void main(String... texts) throws IOException {
            for (var text : texts) {
                try {
                    System.out.print(text + " " + unpacked(packed(text, new byte[5], 0)).length + " ");
                } catch (Failure e) {
                    System.out.print(text + " " + e.problem().exit().code + ": "
                            + e.problem().what().replaceFirst("(?s): .*", "") + " ");
                }
            }
        }
    }

    // ---- support -----------------------------------------------------------------------------

    static byte[] packed(String text, byte[] plain, int workers) throws IOException {
        var file = new ByteArrayOutputStream();
        try (var out = Compression.parse(text).compressing(file, workers)) {
            for (int at = 0; at < plain.length; at += 50_000) out.write(plain, at, Math.min(50_000, plain.length - at));
        }
        return file.toByteArray();
    }

    static byte[] unpacked(byte[] packed) throws IOException {
        try (var in = Compression.decompressing(new ByteArrayInputStream(packed))) {
            return in.readAllBytes();
        }
    }
}
