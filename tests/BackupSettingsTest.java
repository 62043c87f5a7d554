import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.exceptionfactory.jagged.x25519.X25519KeyPairGenerator;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import lib.backup.archive.Compression;
import lib.process.Program;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.Postgres;
import support.Snapshot;
import support.Victim;

/** The backups of reset_migrations use the same settings as those of backup_database. */
class BackupSettingsTest {
    private static final String ROW = "Ada Example, 12 Sample Street";

    @TempDir Path temp;
    private Victim victim;
    private Path elsewhere;
    private Path identity;
    private String recipient;

    @BeforeEach void a_project_with_a_row_to_look_for() throws Exception {
        victim = new Victim(temp.resolve("v"));
        victim.sql("INSERT INTO shop_note (id, words) VALUES (4711, '" + ROW + "')");
        elsewhere = victim.folder().resolve("elsewhere");
        var pair = new X25519KeyPairGenerator().generateKeyPair();
        recipient = new String(pair.getPublic().getEncoded(), StandardCharsets.US_ASCII);
        identity = Files.writeString(
                temp.resolve("key.txt"), new String(pair.getPrivate().getEncoded(), StandardCharsets.US_ASCII));
    }

    private void set(String... lines) throws IOException {
        Files.write(victim.root().resolve(".env"), List.of(lines), StandardOpenOption.APPEND);
    }

    private void encrypted() throws IOException {
        set("BACKUP_DIR=../elsewhere", "BACKUP_ENCRYPT_TO=" + recipient, "BACKUP_COMPRESS=gzip:1");
    }

    private static List<Path> files(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) return List.of();
        try (Stream<Path> all = Files.walk(folder)) {
            return all.filter(Files::isRegularFile).sorted().toList();
        }
    }

    private static List<Path> dumps(Path folder) throws IOException {
        return files(folder).stream()
                .filter(file -> file.toString().matches(".*\\.(dump|sql)(\\.zst|\\.gz)?(\\.age)?"))
                .toList();
    }

    /** The files of the project, the home folder and the backups that contain the row, as they are or decompressed. */
    private List<Path> filesWithTheRow() throws IOException {
        var found = new ArrayList<Path>();
        for (var file : files(victim.folder()))
            if (containsTheRow(Files.readAllBytes(file)) || containsTheRow(decompressed(file))) found.add(file);
        return found;
    }

    private static boolean containsTheRow(byte[] content) {
        return new String(content, StandardCharsets.ISO_8859_1).contains(ROW);
    }

    private static byte[] decompressed(Path file) {
        try (var in = Compression.decompressing(Files.newInputStream(file))) {
            return in.readAllBytes();
        } catch (IOException notPacked) {
            return new byte[0];
        }
    }

    private static List<String> rows(Postgres.Db db) throws Exception {
        return Snapshot.of(db).stream().filter(line -> line.startsWith("rows ")).toList();
    }

    /** The only backup, encrypted for the recipient in the other folder; it contains those rows. */
    private Path assertEncrypted(List<String> rows) throws Exception {
        assertEquals(1, dumps(elsewhere).size(), files(elsewhere).toString());
        var file = dumps(elsewhere).getFirst();
        assertTrue(file.toString().endsWith(".dump.gz.age"), file.toString());
        assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(file)));
        assertTrue(new String(Files.readAllBytes(file), StandardCharsets.ISO_8859_1)
                .startsWith("age-encryption.org/v1\n-> X25519 "));
        assertEquals(List.of(), filesWithTheRow());
        assertFalse(Files.exists(victim.root().resolve("backups")));
        victim.tool("backup_database").warmHere().run("list").ended(0, file.toString(), "read back");
        var into = victim.db.name() + "_back";
        victim.tool("backup_database")
                .warmHere()
                .run("restore", file.toString(), "--into", into, "--identity", identity.toString())
                .done();
        assertEquals(rows, rows(new Postgres.Db(victim.db.host(), victim.db.port(), into, victim.db.role())));
        return file;
    }

    @Test void backup_of_a_reset_is_encrypted_into_the_folder_of_the_settings() throws Exception {
        encrypted();
        var rows = rows(victim.db);
        victim.reset()
                .warmHere()
                .run("--dry-run", "--backup")
                .ended(0, "back up " + victim.db.name() + " into " + elsewhere);
        assertFalse(Files.exists(elsewhere));
        var reset = victim.reset().warmHere().run("--yes", "--backup").done();
        var file = assertEncrypted(rows);
        assertTrue(reset.out().contains("  backup     " + file + "\n"), reset.out());
        assertTrue(runs().contains('"' + file.toString() + '"'), runs());
    }

    private String runs() throws IOException {
        var all = new StringBuilder();
        for (var file : files(victim.root().resolve(".reset")))
            if (file.endsWith("run.json")) all.append(Files.readString(file));
        return all.toString();
    }

    @Test void drop_names_the_encrypted_backup_and_its_key_as_the_way_back() throws Exception {
        encrypted();
        var rows = rows(victim.db);
        var reset = victim.reset().warmHere().run("--yes", "--strategy", "drop").done();
        var file = assertEncrypted(rows);
        var back = "backup_database restore " + file + " --identity KEY_FILE --into " + victim.db.name() + "_old";
        assertTrue(reset.out().contains("  go back    " + back + "\n"), reset.out());
        victim.reset().warmHere().run("undo", "--yes").ended(4, back);
    }

    @Test void reset_with_purge_encrypts_into_the_folder_of_the_settings() throws Exception {
        encrypted();
        var rows = rows(victim.db);
        var reset = victim.reset().warmHere().run("--yes", "--purge", "--strategy", "swap").done();
        assertEncrypted(rows);
        var moved = migrations();
        assertTrue(reset.out().contains(", moved to " + moved + " next\n"), reset.out());
    }

    @Test void purge_encrypts_into_the_folder_of_the_settings_and_prunes_nothing() throws Exception {
        var rows = rows(victim.db);
        victim.reset().warmHere().run("--yes", "--strategy", "swap").done();
        var earlier = victim.folder().resolve("earlier");
        for (int i = 0; i < 2; i++)
            victim.tool("backup_database")
                    .warmHere()
                    .run("--quiet", "--dir", earlier.toString())
                    .done();
        Files.move(earlier, elsewhere);
        encrypted();
        set("BACKUP_KEEP_LAST=1");
        victim.reset().warmHere().run("purge", "--yes").ended(0, "into " + elsewhere);
        var others = dumps(elsewhere).stream().filter(file -> !file.toString().endsWith(".age")).toList();
        assertEquals(2, others.size(), others.toString());
        for (var file : others) { // of the new, empty tables
            Files.delete(file);
            Files.delete(Path.of(file + ".json"));
        }
        assertEncrypted(rows);
        migrations();
    }

    /** Where the old migration files are after a purge. */
    private Path migrations() throws IOException {
        var old = files(elsewhere).stream().filter(file -> file.endsWith("old/shop/migrations/0002_left.py")).toList();
        assertEquals(1, old.size(), files(elsewhere).toString());
        return elsewhere.resolve(elsewhere.relativize(old.getFirst()).getName(0));
    }

    @Test void the_scan_for_readable_rows_finds_them_in_a_backup_that_is_not_encrypted() throws Exception {
        for (var how : List.of("none", "gzip:1", "zstd")) {
            assertEquals(List.of(), filesWithTheRow());
            victim.tool("backup_database")
                    .warmHere()
                    .run("--quiet", "--compress", how, "--format", how.equals("none") ? "plain" : "custom")
                    .done();
            assertEquals(dumps(victim.root().resolve("backups")), filesWithTheRow());
            assertEquals(1, filesWithTheRow().size(), how);
            for (var file : files(victim.root().resolve("backups"))) Files.delete(file);
        }
    }

    @Test void a_wrong_setting_stops_a_reset_that_needs_a_backup_before_it_changes_anything() throws Exception {
        victim = new Victim(temp.resolve("w")); // the unchanged project is without the row
        victim.reset()
                .env("BACKUP_FORMAT", "tar")
                .run("--yes", "--backup")
                .ended(2, "BACKUP_FORMAT in environment is invalid");
        victim.isAsItWas();
        victim.reset().env("BACKUP_ENCRYPT_TO", "age1nobody").run("--yes", "--purge").ended(2, "age1nobody");
        victim.isAsItWas();
        victim.reset()
                .env("BACKUP_PASSPHRASE", "four words")
                .run("--yes", "--backup")
                .ended(2, "BACKUP_PASSPHRASE is set");
        victim.isAsItWas();
        victim.reset().env("BACKUP_COMPRESS", "rar").run("--yes", "--strategy", "drop").ended(2, "rar");
        victim.isAsItWas();
        victim.reset().env("BACKUP_FORMAT", "tar").run("--yes").done(); // the control: it reads no setting of backups
        victim.reset().env("BACKUP_FORMAT", "tar").run("purge", "--yes").ended(2, "BACKUP_FORMAT");
        victim.reset().warmHere().run("undo", "--yes").done();
        victim.rowsAreAsTheyWere();
    }

    @Test void the_backup_is_copied_to_the_remote_and_a_failed_copy_does_not_stop_the_reset() throws Exception {
        assumeTrue(Program.of("sh", "-c", "command -v rclone").run().code() == 0, "rclone is not installed");
        encrypted();
        var remote = victim.folder().resolve("remote");
        set("BACKUP_REMOTE=" + remote);
        var failed = victim.reset()
                .warmHere()
                .run("--yes", "--backup", "--strategy", "swap")
                .ended(0, ", with a copy in " + remote);
        var first = dumps(elsewhere).getFirst();
        assertTrue(failed.err().contains("warning: there is no off-site copy of " + first + ": "), failed.err());
        Files.createDirectory(remote);
        victim.reset().warmHere().run("purge", "--yes").done();
        var copies = dumps(remote);
        assertEquals(1, copies.size(), files(remote).toString());
        assertEquals(-1, Files.mismatch(copies.getFirst(), elsewhere.resolve(copies.getFirst().getFileName())));
    }
}
