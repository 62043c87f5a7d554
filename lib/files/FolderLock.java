package lib.files;

import com.google.gson.Gson;
import com.google.gson.JsonParseException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import java.util.stream.Stream;
import lib.error.ExitCode;
import lib.error.Failure;

/**
 * Keeps other runs out of a project: a lock of the operating system on {@code .reset/lock}, which ends with its owner's
 * process. The file names the owner; a file that is left over means that a run ended abnormally.
 */
public final class FolderLock implements AutoCloseable {
    /** The owner of a lock, for messages. @param since ISO 8601, UTC @param command without its arguments */
    public record Owner(long pid, String host, String since, String command) {
        /** This process. */
        public static Owner current(String command) {
            var now = Instant.now().truncatedTo(ChronoUnit.SECONDS);
            return new Owner(ProcessHandle.current().pid(), Host.name(), now.toString(), command);
        }

        /** "pid 4711 on web1, since 2026-11-22T10:15:00Z, reset_migrations undo". */
        @Override public String toString() {
            return "pid %d on %s, since %s, %s".formatted(pid, host, since, command);
        }
    }

    private static final Gson JSON = new Gson();
    private static final String NAME = "lock";
    // Closing any second channel on the file would release this process's lock, so the second one is never opened.
    private static final Map<Path, FolderLock> OURS = new ConcurrentHashMap<>();

    /** @param key of the file: after a clean-up by git, another process's file may have its name */
    private record Held(Path file, FileChannel channel, Object key, boolean ownFolder) {}

    private final List<Held> held = new ArrayList<>();
    private final Owner us;
    private final Consumer<String> warn;

    private FolderLock(Owner us, Consumer<String> warn) {
        this.us = us;
        this.warn = warn;
    }

    /**
     * @param command for others to read: "reset_migrations undo"
     * @param warn    gets a warning when an earlier run ended abnormally
     * @throws Failure busy (5) naming the owner; failed (1) where nothing can be written
     */
    public static FolderLock take(Path root, String command, Consumer<String> warn) {
        return new FolderLock(Owner.current(command), warn).takeAlso(root);
    }

    /**
     * For a command that writes nothing there. Where nothing can be written it warns and returns null: no reset can run
     * there either.
     */
    public static FolderLock takeIfWritable(Path root, String command, Consumer<String> warn) {
        try {
            return take(root, command, warn);
        } catch (Failure failure) {
            if (failure.problem().exit() != ExitCode.FAILED) throw failure;
            warn.accept(failure.problem().what());
            return null;
        }
    }

    /** @param owner null when it has not written its name yet */
    private static Failure busy(Path root, Owner owner) {
        var who = owner == null ? "it has not written its name yet" : owner.toString();
        return Failure.busy("another run is at work in %s: %s".formatted(root, who)).next("wait until it has ended");
    }

    private static Failure cannotLock(Path root, String why) {
        var failure = Failure.failed("cannot lock the project %s for this run: %s".formatted(root, why));
        if (why.contains("No space left"))
            return failure.next("make room in %s, then start again: df -h shows how full each file system is"
                    .formatted(root.resolve(".reset")));
        return failure.next("give %s write access to %s: the lock, the records of runs and the migrations are there"
                .formatted(System.getProperty("user.name"), root),
                "if .reset is a link or a mount there, its target has to exist");
    }

    /** For a command that only reads: nothing is created or removed. @throws Failure busy (5) */
    public static void refuseIfHeld(Path root) {
        if (!OURS.isEmpty()) return; // the comment there says why
        try (var channel = open(root.resolve(".reset").resolve(NAME))) {
            if (channel.tryLock() == null) throw busy(root, awaitOwner(channel));
        } catch (IOException noFile) {
            // so it is not locked
        }
    }

    /** Another checkout's folder too; both are released together. What is held already is fine. */
    public FolderLock takeAlso(Path root) {
        var file = root.resolve(".reset").resolve(NAME);
        try {
            for (int i = 0; i < 100; i++) { // its last holder may remove file and folder meanwhile
                try {
                    if (lock(root, file)) return this;
                } catch (NoSuchFileException removed) {
                    if (!Files.isDirectory(root)
                            || Files.isSymbolicLink(file.getParent()) && !Files.exists(file.getParent())) throw removed;
                }
            }
            throw new FileSystemException(file.toString(), null, "it keeps being removed");
        } catch (IOException e) {
            close();
            throw cannotLock(root, Failure.firstLine(e)).causedBy(e);
        } catch (RuntimeException e) {
            close();
            throw e;
        }
    }

    private boolean lock(Path root, Path file) throws IOException {
        Disk.createPrivateFolder(file.getParent());
        try {
            var create = Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
            FileChannel.open(file, create, ownerOnly()).close();
        } catch (FileAlreadyExistsException there) {
            // of a run that holds it, or of one that has ended
        }
        var ownFolder = !Files.isSymbolicLink(file.getParent());
        file = file.getParent().toRealPath().resolve(NAME);
        var other = OURS.putIfAbsent(file, this);
        if (other == this) return true;
        if (other != null) throw busy(root, other.us);
        FileChannel channel = null;
        try {
            var before = key(file);
            channel = open(file);
            var locked = channel.tryLock() != null;
            if (!before.equals(key(file))) { // removed by its last holder; an open file's key is not used again
                release(file, channel);
                return false;
            }
            if (!locked) throw busy(root, awaitOwner(channel));
            held.add(new Held(file, channel, before, ownFolder));
        } catch (OverlappingFileLockException sameProcess) {
            release(file, channel);
            throw busy(root, us).causedBy(sameProcess);
        } catch (IOException | RuntimeException e) {
            release(file, channel);
            throw e;
        }
        try {
            warnOfAbnormalEnd(channel);
            write(channel, us);
            writeGitignore(file.getParent());
            return true;
        } catch (NoSuchFileException removed) { // the caller tries again; close() cleans up after any other failure
            held.removeLast();
            release(file, channel);
            throw removed;
        }
    }

    private static FileChannel open(Path file) throws IOException {
        return FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS);
    }

    private static void release(Path file, FileChannel channel) throws IOException {
        if (channel != null) channel.close();
        OURS.remove(file);
    }

    /** What identifies a file; the same for all where the platform has no such thing. */
    private static Object key(Path file) throws IOException {
        var key = Files.readAttributes(file, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS).fileKey();
        return key == null ? "" : key;
    }

    private static FileAttribute<?>[] ownerOnly() {
        if (!Disk.POSIX) return new FileAttribute<?>[0];
        var mode = PosixFilePermissions.fromString("rw-------");
        return new FileAttribute<?>[] {PosixFilePermissions.asFileAttribute(mode)};
    }

    public static void writeGitignore(Path runs) throws IOException {
        var ignore = runs.resolve(".gitignore");
        if (!Files.exists(ignore)) Disk.writePrivate(ignore, "*\n".getBytes(StandardCharsets.UTF_8));
    }

    private void warnOfAbnormalEnd(FileChannel channel) throws IOException {
        if (channel.size() == 0) return; // we have just created it
        var dead = read(channel);
        warn.accept("an earlier run ended abnormally" + (dead == null ? "" : ": " + dead));
    }

    private static void write(FileChannel channel, Owner holder) throws IOException {
        channel.truncate(0);
        var bytes = ByteBuffer.wrap(JSON.toJson(holder).getBytes(StandardCharsets.UTF_8));
        while (bytes.hasRemaining()) channel.write(bytes, bytes.position());
    }

    /** A process that has just taken the lock may not have written its name yet. */
    private static Owner awaitOwner(FileChannel channel) throws IOException {
        for (int i = 0; i < 40; i++) {
            var holder = read(channel);
            if (holder != null) return holder;
            try {
                Thread.sleep(25);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
        return null;
    }

    /** Null when it cannot be read. */
    private static Owner read(FileChannel channel) throws IOException {
        var bytes = ByteBuffer.allocate(4096);
        channel.read(bytes, 0);
        try {
            var text = new String(bytes.array(), 0, bytes.position(), StandardCharsets.UTF_8);
            var holder = JSON.fromJson(text, Owner.class);
            return holder == null || holder.host() == null ? null : holder;
        } catch (JsonParseException halfWritten) {
            return null;
        }
    }

    /** Removes the file while it is still held, and a folder that holds nothing else. */
    @Override public void close() {
        for (var one : held) {
            try (var channel = one.channel) {
                if (!one.key.equals(key(one.file))) continue;
                var folder = one.file.getParent();
                var bare = one.ownFolder && isBare(folder);
                if (bare) Files.deleteIfExists(folder.resolve(".gitignore"));
                Files.deleteIfExists(one.file);
                if (bare) Files.deleteIfExists(folder);
            } catch (IOException stays) {
                // a mount cannot be removed; a file that stays is found unlocked by the next run
            } finally {
                OURS.remove(one.file);
            }
        }
        held.clear();
    }

    /** Before the process is halted: no lock file stays behind. */
    public static void releaseAll() { List.copyOf(OURS.values()).forEach(FolderLock::close); }

    private static boolean isBare(Path folder) throws IOException {
        try (Stream<Path> all = Files.list(folder)) {
            return all.map(file -> file.getFileName().toString()).allMatch(Set.of(NAME, ".gitignore")::contains);
        }
    }
}
