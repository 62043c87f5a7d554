package lib.backup;

import java.nio.file.Path;
import java.time.format.DateTimeFormatter;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import lib.cli.Console;
import lib.files.Text;

/** What people read of backups. */
public final class BackupPrinter {
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss");

    private BackupPrinter() {}

    public static void printMade(Console console, Backup backup) {
        var manifest = backup.manifest();
        backup.warnings().forEach(console::warn);
        console.success("backed up: " + backup.file());
        console.note("  %s, %d %% of the database's %s; %s; %.1f s".formatted(Text.size(manifest.bytes()),
                Math.round(100.0 * manifest.bytes() / Math.max(1, manifest.databaseBytes())), Text.size(manifest.databaseBytes()), counted(manifest), manifest.seconds()));
        console.note("restore it in place of the database, which is kept, or beside it:");
        console.note("  " + restore(backup.file()));
        console.note("  " + restore(backup.file()) + " --into NAME");
        console.note("without this tool, in " + backup.file().getParent() + ":");
        manifest.restore().forEach(command -> console.note("  " + command));
        var event = new LinkedHashMap<String, Object>(facts(backup.file(), manifest));
        event.put("warnings", backup.warnings());
        event.put("restore", manifest.restore());
        console.event("backup", event);
    }

    /** The command that restores a backup, with a key when it needs one. */
    public static String restore(Path file) {
        var manifest = Manifest.beside(file);
        var to = manifest != null ? manifest.encryptedTo() : List.of();
        var withoutKey = manifest != null ? to.isEmpty() : !file.toString().endsWith(".age");
        return "backup_database restore " + file + (withoutKey ? "" : " --identity KEY_FILE");
    }

    public static void print(Console console, List<BackupFolder.Found> backups) {
        console.note("backups:");
        for (var backup : backups) {
            console.note("  %s  %9s  %s  %s".formatted(TIME.format(backup.taken()), Text.size(backup.bytes()), backup.file(), proof(backup)));
            var event = new LinkedHashMap<String, Object>(Map.of("file", backup.file().toString(), "database", backup.database(), "taken", backup.taken().toString(), "bytes", backup.bytes(),
                    "proof", backup.level().name().toLowerCase(java.util.Locale.ROOT)));
            if (backup.manifest() != null) event.putAll(facts(backup.file(), backup.manifest()));
            console.event("found", event);
        }
    }

    public static void printOffSite(Console console, String remote, List<OffSite.There> backups) {
        console.note(backups.isEmpty() ? "no backups in " + remote : "backups in " + remote + ":");
        for (var there : backups) {
            console.note("  %9s  %s%s".formatted(Text.size(there.bytes()), there.name(), there.whole() ? "" : "  without its manifest: not known to be whole"));
            console.event("found", Map.of("remote", remote, "file", there.name(), "bytes", there.bytes(), "whole", there.whole()));
        }
    }

    public static void printVerified(Console console, Path file, Manifest manifest, boolean compared) {
        console.success("verified: %s restores%s".formatted(file, compared ? ", and every table is as it was" : "; there was nothing to compare it with"));
        console.note("  %s; restored in %.1f s".formatted(counted(manifest), manifest.proof().restoreSeconds()));
        console.event("verified", facts(file, manifest));
    }

    public static void print(Console console, String database, BackupStatus status) {
        console.heading("Backups of " + database);
        var newest = status.newest();
        if (newest == null) console.note("  none that is known to be good");
        else console.note("  the newest good one:  %s, %s old, %s, %,d rows, %s".formatted(newest.file(), status.age() == null ? "in the future, so nobody knows how" : Text.duration(status.age()),
                Text.size(newest.bytes()), newest.rows(), newest.proof().equals("restored") ? "restored and compared" : "read back"));
        if (status.lastRestore() != null) console.note("  last restored:        %s, %s ago".formatted(status.lastRestore().file(), Text.duration(status.restoreAge())));
        else if (newest != null) console.note("  last restored:        never: backup_database verify");
        console.note("  %d good of %d, %s on disk".formatted(status.good(), status.all(), Text.size(status.diskBytes())));
        status.problems().forEach(console::warn);
        console.event("status", status.json());
    }

    /** How well it is proven, for people. */
    static String proof(BackupFolder.Found backup) {
        var manifest = backup.manifest();
        if (manifest == null || manifest.proof() == null) return "not proven: backup_database verify looks";
        if (manifest.proof().failure() != null) return "NOT GOOD: " + manifest.proof().failure();
        if (manifest.bytes() != backup.bytes()) return "NOT GOOD: it had %,d bytes, and has %,d".formatted(manifest.bytes(), backup.bytes());
        return switch (manifest.proof().level()) {
            case NONE -> "not proven: backup_database verify looks";
            case STREAM -> counted(manifest) + ", read back";
            case RESTORED -> "%s, restored %s in %.1f s".formatted(counted(manifest), manifest.proof().verifiedAt().toLocalDate(), manifest.proof().restoreSeconds());
        };
    }

    private static String counted(Manifest manifest) {
        var tables = manifest.tables().size();
        return "%s, %,d rows".formatted(tables == 1 ? "1 table" : "%,d tables".formatted(tables), manifest.rows());
    }

    private static Map<String, Object> facts(Path file, Manifest manifest) {
        var facts = new LinkedHashMap<String, Object>();
        facts.put("file", file.toString());
        facts.put("database", manifest.database());
        facts.put("bytes", manifest.bytes());
        facts.put("database_bytes", manifest.databaseBytes());
        facts.put("sha256", manifest.sha256());
        facts.put("tables", manifest.tables().size());
        facts.put("rows", manifest.rows());
        facts.put("started", manifest.started().toString());
        facts.put("seconds", manifest.seconds());
        if (manifest.proof() == null) return facts;
        facts.put("proof", manifest.proof().level().name().toLowerCase(java.util.Locale.ROOT));
        facts.put("verified_at", manifest.proof().verifiedAt().toString());
        if (manifest.proof().restoreSeconds() != null) facts.put("restore_seconds", manifest.proof().restoreSeconds());
        return facts;
    }
}
