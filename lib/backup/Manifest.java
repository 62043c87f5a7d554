package lib.backup;

import com.google.gson.FieldNamingPolicy;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonDeserializer;
import com.google.gson.JsonParseException;
import com.google.gson.JsonPrimitive;
import com.google.gson.JsonSerializer;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.DateTimeException;
import java.time.OffsetDateTime;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Objects;
import java.util.SortedMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.backup.archive.Contents;
import lib.files.Disk;

/**
 * What is known of a backup; it lies beside it as {@code NAME.json}, and all but the name of its machine's moment can be
 * read from the backup again.
 *
 * @param formatVersion of the manifest: 1
 * @param number        of the backup in its folder, by the order they were made in: clocks are set back
 * @param bytes         of the file
 * @param sha256        of the file, in hexadecimal digits
 * @param origin        {@code host:port} of the database's server as it was addressed, or null where that is not known: two servers may share a folder
 * @param server        its version; {@code pgDump} likewise
 * @param started       with the offset from UTC that the machine had
 * @param seconds       from the start to the durable file
 * @param databaseBytes as PostgreSQL counts them
 * @param format        {@code custom} or {@code plain}
 * @param compression   {@code zstd:3}, {@code gzip:6}, {@code none}
 * @param encryptedTo   age's recipients, {@code passphrase}, or nobody
 * @param restore       commands that need none of our programs
 */
public record Manifest(int formatVersion, long number, String file, long bytes, String sha256, String database, String origin, String server, String pgDump,
        OffsetDateTime started, double seconds, long databaseBytes, String format, String compression, List<String> encryptedTo,
        List<Table> tables, SortedMap<String, String> sequences, Table largeObjects, SortedMap<String, Long> objects,
        List<Extension> extensions, Contents.Migration lastMigration, List<String> restore, Proof proof) {
    public static final int FORMAT = 1;
    public static final String SUFFIX = ".json";

    /** @param hash see {@link Contents.Rows}, 16 hexadecimal digits */
    public record Table(String name, long rows, String hash, long bytes) {
        static Table of(String name, Contents.Rows rows) {
            return new Table(name, rows.rows(), rows.hex(), rows.bytes());
        }
    }

    public record Extension(String name, String version) {}

    /** How well a backup is proven. */
    public enum Level {
        /** Nobody has looked: a file that bears the name of a backup. */
        NONE,
        /** Decoded to its end while it was written, and read back from the disk with the same result. */
        STREAM,
        /** Restored, and every table compared. */
        RESTORED
    }

    /**
     * @param restoreSeconds null below {@link Level#RESTORED}
     * @param failure        what was found wrong when it was looked at last, or null
     */
    public record Proof(Level level, OffsetDateTime verifiedAt, Double restoreSeconds, String failure) {
        private boolean isWhole() {
            return level != null && verifiedAt != null && (level != Level.RESTORED || restoreSeconds != null);
        }

        static Proof now(Level level, Double restoreSeconds, String failure) {
            return new Proof(level, OffsetDateTime.now().truncatedTo(ChronoUnit.SECONDS), restoreSeconds, failure);
        }
    }

    static Manifest of(Contents contents, String origin, long number, String file, long bytes, String sha256, OffsetDateTime started, double seconds, long databaseBytes, boolean plain,
            String compression, List<String> encryptedTo, List<Extension> extensions, List<String> restore, Proof proof) {
        var tables = contents.tables().entrySet().stream().map(t -> Table.of(t.getKey(), t.getValue())).toList();
        return new Manifest(FORMAT, number, file, bytes, sha256, contents.database(), origin, contents.server(), contents.pgDump(), started, seconds, databaseBytes,
                plain ? "plain" : "custom", compression, encryptedTo, tables, contents.sequences(), Table.of("large objects", contents.largeObjects()), contents.kinds(),
                extensions, contents.lastMigration(), restore, proof);
    }

    public boolean isGood() {
        return proof != null && proof.level != Level.NONE;
    }

    public long rows() {
        return tables.stream().filter(t -> t.rows >= 0).mapToLong(Table::rows).sum();
    }

    /** What a later backup is compared with. */
    public ShrinkageAlarm.Seen seen() {
        var rows = tables.stream().collect(Collectors.toMap(Table::name, Table::rows, (a, b) -> a));
        return new ShrinkageAlarm.Seen(rows, bytes, "%s %s %s".formatted(format, compression, encryptedTo.isEmpty() ? "" : "encrypted"));
    }

    public Manifest proven(Proof proof) {
        return new Manifest(formatVersion, number, file, bytes, sha256, database, origin, server, pgDump, started, seconds, databaseBytes, format, compression, encryptedTo,
                tables, sequences, largeObjects, objects, extensions, lastMigration, restore, proof);
    }

    // ---- its file ----------------------------------------------------------------------------

    public static Path fileOf(Path backup) {
        return backup.resolveSibling(backup.getFileName() + SUFFIX);
    }

    /** Beside the backup, 0600, durable; over an older one in one act. */
    void writeBeside(Path backup) throws IOException {
        Disk.writePrivate(fileOf(backup), (GSON.toJson(this) + "\n").getBytes(StandardCharsets.UTF_8));
    }

    /** @return null when there is none, or none that can be understood: what it would say has to be proven again then */
    static Manifest beside(Path backup) {
        try {
            var text = Files.readString(fileOf(backup));
            return of(text, backup.getFileName().toString());
        } catch (IOException missing) {
            return null;
        }
    }

    /** @return null when the text is no manifest of this file */
    public static Manifest of(String text, String file) {
        try {
            var read = GSON.fromJson(text, Manifest.class);
            var whole = read != null && read.formatVersion == FORMAT && file.equals(read.file)
                    && Stream.of(read.sha256, read.database, read.server, read.pgDump, read.started, read.format, read.compression, read.largeObjects).allMatch(Objects::nonNull)
                    && Stream.of(read.tables, read.extensions, read.encryptedTo, read.restore).allMatch(list -> list != null && list.stream().allMatch(Objects::nonNull))
                    && Stream.of(read.sequences, read.objects).allMatch(map -> map != null && map.values().stream().allMatch(Objects::nonNull))
                    && read.tables.stream().allMatch(table -> table.name != null && table.hash != null) && (read.proof == null || read.proof.isWhole());
            return whole ? read : null;
        } catch (JsonParseException | DateTimeException | IllegalStateException | UnsupportedOperationException | NumberFormatException damaged) {
            return null;
        }
    }

    private static final Gson GSON = new GsonBuilder().setPrettyPrinting().disableHtmlEscaping().setFieldNamingPolicy(FieldNamingPolicy.LOWER_CASE_WITH_UNDERSCORES)
            .registerTypeAdapter(OffsetDateTime.class, (JsonSerializer<OffsetDateTime>) (time, type, context) -> new JsonPrimitive(time.toString()))
            .registerTypeAdapter(OffsetDateTime.class, (JsonDeserializer<OffsetDateTime>) (json, type, context) -> OffsetDateTime.parse(json.getAsString()))
            .create();
}
