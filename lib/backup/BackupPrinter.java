package lib.backup;

import java.nio.file.Path;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import lib.cli.Console;
import lib.cli.Script;
import lib.files.Text;

/** Prints backups for people, and as JSON events. */
public final class BackupPrinter {
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss");

    private BackupPrinter() {}

    static void printCreated(Console console, Backup backup) {
        var manifest = backup.manifest();
        var size = manifest.file().bytes();
        var databaseSize = manifest.source().databaseBytes();
        var percent = Math.round(100.0 * size / Math.max(1, databaseSize));
        backup.warnings().forEach(console::warn);
        console.success("backed up: " + backup.file());
        console.note("  %s, %d %% of the database's %s; %s; %.1f s".formatted(Text.size(size), percent,
                Text.size(databaseSize), manifest.content().counts(), manifest.source().seconds()));
        console.note("restore it in place of the database, which is kept, or beside it:");
        console.note("  " + restore(backup.file()));
        console.note("  " + restore(backup.file(), "--into", "NAME"));
        console.note("without this tool, in " + backup.file().getParent() + ":");
        manifest.restore().forEach(command -> console.note("  " + command));
        var event = facts(backup.file(), manifest);
        event.put("warnings", backup.warnings());
        event.put("restore", manifest.restore());
        console.event("backup", event);
    }

    /** The command that restores a backup, with a key when it needs one. @param more options */
    public static String restore(Path file, String... more) {
        var manifest = Manifest.read(file);
        var needsKey = manifest == null ? file.toString().endsWith(".age") : manifest.isEncrypted();
        var arguments = new ArrayList<>(List.of("restore", file.toString()));
        if (needsKey) arguments.addAll(List.of("--identity", "KEY_FILE"));
        arguments.addAll(List.of(more));
        return Script.BACKUP_DATABASE.command(arguments.toArray(String[]::new));
    }

    public static void printList(Console console, List<BackupFolder.Entry> backups) {
        console.note("backups:");
        for (var backup : backups) {
            console.note("  %s  %9s  %s  %s"
                    .formatted(TIME.format(backup.taken()), Text.size(backup.bytes()), backup.file(), backup.proof()));
            var event = new LinkedHashMap<String, Object>();
            event.put("file", backup.file().toString());
            event.put("database", backup.database());
            event.put("taken", backup.taken().toString());
            event.put("bytes", backup.bytes());
            event.put("proof", backup.level().id());
            if (backup.manifest() != null) event.putAll(facts(backup.file(), backup.manifest()));
            console.event("found", event);
        }
    }

    public static void printOffSite(Console console, String remote, List<OffSite.Copy> copies) {
        console.note(copies.isEmpty() ? "no backups in " + remote : "backups in " + remote + ":");
        for (var copy : copies) {
            var incomplete = copy.complete() ? "" : "  incomplete: it has no manifest";
            console.note("  %9s  %s%s".formatted(Text.size(copy.bytes()), copy.name(), incomplete));
            console.event("found",
                    Map.of("remote", remote, "file", copy.name(), "bytes", copy.bytes(), "whole", copy.complete()));
        }
    }

    public static void printVerified(Console console, Path file, Manifest manifest, boolean compared) {
        var result = compared ? ", and every table is the same" : "; there is nothing to compare it with";
        console.success("verified: %s restores%s".formatted(file, result));
        console.note("  %s; restored in %.1f s"
                .formatted(manifest.content().counts(), manifest.proof().restoreSeconds()));
        console.event("verified", facts(file, manifest));
    }

    public static void printStatus(Console console, String database, BackupStatus status) {
        console.heading("Backups of " + database);
        var newest = status.newest();
        if (newest == null) {
            console.note("  no good backup");
        } else {
            var age = status.age() == null ? "dated in the future" : Text.duration(status.age()) + " old";
            var proof = newest.level() == Manifest.Level.RESTORED ? "restored and compared" : "read back";
            console.note("  newest good backup:  %s, %s, %s, %,d rows, %s"
                    .formatted(newest.name(), age, Text.size(newest.bytes()), newest.rows(), proof));
            var restored = status.lastRestore() == null
                    ? "never; to restore and compare one: " + Script.BACKUP_DATABASE.command("verify")
                    : "%s, %s ago".formatted(status.lastRestore().name(), Text.duration(status.restoreAge()));
            console.note("  last restored:       " + restored);
        }
        console.note(
                "  %d good of %d, %s on disk".formatted(status.good(), status.all(), Text.size(status.diskBytes())));
        status.problems().forEach(console::warn);
        console.event("status", status.json());
    }

    private static Map<String, Object> facts(Path file, Manifest manifest) {
        var facts = new LinkedHashMap<String, Object>();
        facts.put("file", file.toString());
        facts.put("database", manifest.source().database());
        facts.put("bytes", manifest.file().bytes());
        facts.put("database_bytes", manifest.source().databaseBytes());
        facts.put("sha256", manifest.file().sha256());
        facts.put("tables", manifest.content().tables().size());
        facts.put("rows", manifest.content().rows());
        facts.put("started", manifest.source().started().toString());
        facts.put("seconds", manifest.source().seconds());
        var proof = manifest.proof();
        if (proof == null) return facts;
        facts.put("proof", proof.level().id());
        facts.put("verified_at", proof.verifiedAt().toString());
        if (proof.restoreSeconds() != null) facts.put("restore_seconds", proof.restoreSeconds());
        return facts;
    }
}
