package lib.backup;

import static java.util.Objects.requireNonNull;

import com.google.gson.FieldNamingPolicy;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonDeserializer;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import com.google.gson.JsonSerializer;
import com.google.gson.annotations.SerializedName;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.OffsetDateTime;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SortedMap;
import java.util.stream.Collectors;
import lib.backup.archive.Contents;
import lib.files.Disk;
import lib.files.Text;


/**
 * What is known of a backup. It lies beside the backup as {@code NAME.json}: one flat JSON object with the fields of
 * the first four records. Most of it can be rebuilt from the backup. The records refuse what a damaged file may lack.
 *
 * @param restore commands that restore the backup without this toolkit
 * @param proof   null in a manifest that was rebuilt
 */
public record Manifest(
        StoredFile file, Source source, Encoding encoding, Content content, List<String> restore, Proof proof) {
    private static final int FORMAT = 1;
    public static final String SUFFIX = ".json";

    public Manifest {
        restore = List.copyOf(restore);
    }

    /**
     * @param number of the backup in its folder, in the order of creation: clocks are set back
     * @param sha256 in hexadecimal digits
     */
    public record StoredFile(long number, @SerializedName("file") String name, long bytes, String sha256) {
        public StoredFile {
            requireNonNull(name);
            requireNonNull(sha256);
        }
    }

    /**
     * @param origin        {@code host:port} of the server as it was addressed, or null: two servers may share a folder
     * @param server        its version; {@code pgDump} likewise
     * @param started       with the machine's offset from UTC
     * @param seconds       from the start to the durable file
     * @param databaseBytes as PostgreSQL counts them
     */
    public record Source(String database, String origin, String server, String pgDump, OffsetDateTime started,
            double seconds, long databaseBytes) {
        public Source {
            requireNonNull(database);
            requireNonNull(server);
            requireNonNull(pgDump);
            requireNonNull(started);
        }
    }

    /**
     * @param format      {@code custom} or {@code plain}
     * @param compression {@code zstd:3}, {@code gzip:6}, {@code none}
     * @param encryptedTo the recipients of age, or empty
     */
    public record Encoding(String format, String compression, List<String> encryptedTo) {
        public Encoding {
            requireNonNull(format);
            requireNonNull(compression);
            encryptedTo = List.copyOf(encryptedTo);
        }
    }

    /** @param objects how many there are of each kind */
    public record Content(List<Table> tables, SortedMap<String, String> sequences, Table largeObjects,
            SortedMap<String, Long> objects, List<Extension> extensions, Contents.Migration lastMigration) {
        public Content {
            tables = List.copyOf(tables);
            requireNonNull(largeObjects);
            extensions = List.copyOf(extensions);
            Map.copyOf(sequences); // fails when a value is null
            Map.copyOf(objects);
        }

        static Content of(Contents contents, List<Extension> extensions) {
            var tables = contents.tables().entrySet().stream().map(t -> Table.of(t.getKey(), t.getValue())).toList();
            return new Content(tables, contents.sequences(), Table.of("large objects", contents.largeObjects()),
                    contents.kinds(), extensions, contents.lastMigration());
        }

        /** The rows of the tables whose rows are known. */
        public long rows() {
            return tables.stream().mapToLong(Table::rows).filter(rows -> rows >= 0).sum();
        }

        /** "44 tables, 5,691 rows". */
        public String counts() {
            return "%s, %,d rows".formatted(Text.count(tables.size(), "table"), rows());
        }
    }

    /** @param hash see {@link Contents.Rows}, 16 hexadecimal digits */
    public record Table(String name, long rows, String hash, long bytes) {
        public Table {
            requireNonNull(name);
            requireNonNull(hash);
        }

        static Table of(String name, Contents.Rows rows) {
            return new Table(name, rows.rows(), rows.hex(), rows.bytes());
        }
    }

    public record Extension(String name, String version) {}

    /** How well a backup is proven. */
    public enum Level {
        /** Not checked: a file with the name of a backup. */
        NONE,
        /** Decoded to its end while it was written, and read back from the disk with the same result. */
        STREAM,
        /** Restored, and every table compared. */
        RESTORED;

        /** The name in JSON events. */
        String id() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /**
     * @param restoreSeconds null below {@link Level#RESTORED}
     * @param failure        why the last check failed, or null
     */
    public record Proof(Level level, OffsetDateTime verifiedAt, Double restoreSeconds, String failure) {
        public Proof {
            requireNonNull(level);
            requireNonNull(verifiedAt);
            if (level == Level.RESTORED) requireNonNull(restoreSeconds);
        }

        static Proof now(Level level, Double restoreSeconds, String failure) {
            return new Proof(level, OffsetDateTime.now().truncatedTo(ChronoUnit.SECONDS), restoreSeconds, failure);
        }
    }

    public boolean isGood() {
        return proof != null && proof.level != Level.NONE;
    }

    public boolean isEncrypted() {
        return !encoding.encryptedTo.isEmpty();
    }

    /** What a later backup is compared with. */
    public ShrinkageAlarm.Sizes sizes() {
        var rows = content.tables.stream().collect(Collectors.toMap(Table::name, Table::rows, (a, b) -> a));
        var form = "%s %s %s".formatted(encoding.format, encoding.compression, isEncrypted() ? "encrypted" : "");
        return new ShrinkageAlarm.Sizes(rows, file.bytes, form);
    }

    Manifest withProof(Proof proof) {
        return new Manifest(file, source, encoding, content, restore, proof);
    }

    // ---- its file ----------------------------------------------------------------------------

    private static final Gson GSON = new GsonBuilder().setPrettyPrinting().disableHtmlEscaping()
            .setFieldNamingPolicy(FieldNamingPolicy.LOWER_CASE_WITH_UNDERSCORES)
            .registerTypeAdapter(OffsetDateTime.class, (JsonSerializer<OffsetDateTime>)
                    (time, type, context) -> new JsonPrimitive(time.toString()))
            .registerTypeAdapter(OffsetDateTime.class, (JsonDeserializer<OffsetDateTime>)
                    (json, type, context) -> OffsetDateTime.parse(json.getAsString()))
            .create();

    /** The fields of the flat object that belong to none of the four records. */
    private record Rest(List<String> restore, Proof proof) {}

    public static Path fileOf(Path backup) {
        return backup.resolveSibling(backup.getFileName() + SUFFIX);
    }

    /** Beside the backup, 0600, durable; it replaces an older one atomically. */
    void write(Path backup) throws IOException {
        var json = new JsonObject();
        json.addProperty("format_version", FORMAT);
        for (var part : List.of(file, source, encoding, content, new Rest(restore, proof)))
            GSON.toJsonTree(part).getAsJsonObject().asMap().forEach(json::add);
        Disk.writePrivate(fileOf(backup), (GSON.toJson(json) + "\n").getBytes(StandardCharsets.UTF_8));
    }

    /** @return null when there is none, or none that can be parsed: then the backup counts as not proven */
    static Manifest read(Path backup) {
        try {
            return parse(Files.readString(fileOf(backup)), backup.getFileName().toString());
        } catch (IOException missing) {
            return null;
        }
    }

    /** @return null when the text is not a manifest of this file */
    static Manifest parse(String text, String file) {
        try {
            var json = GSON.fromJson(text, JsonObject.class);
            if (json.get("format_version").getAsInt() != FORMAT) return null;
            var rest = GSON.fromJson(json, Rest.class);
            var manifest = new Manifest(GSON.fromJson(json, StoredFile.class), GSON.fromJson(json, Source.class),
                    GSON.fromJson(json, Encoding.class), GSON.fromJson(json, Content.class), rest.restore, rest.proof);
            return file.equals(manifest.file.name) ? manifest : null;
        } catch (RuntimeException damaged) { // not JSON, or something is missing or of another type
            return null;
        }
    }
}
