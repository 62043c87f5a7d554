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
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import java.util.stream.Stream;
import lib.error.Failure;
import lib.error.Problem;

/**
 * That nobody else changes this project meanwhile: a lock of the operating system's on {@code .reset/lock}, which ends with
 * its holder however that dies. The file says who holds it; one that is left over tells of a run that did not end.
 */
public final class FolderLock implements AutoCloseable {
    private static final Gson JSON = new Gson();
    private static final String NAME = "lock";
    // Closing any second channel on the file would release this process's lock, so the second one is never opened.
    private static final Map<Path, FolderLock> OURS = new ConcurrentHashMap<>();

    /** @param key which file it was: another process's may bear its name by now, when git has cleaned up here
     *  @param ownFolder not a link that somebody has put there */
    private record Held(Path file, FileChannel channel, Object key, boolean ownFolder) {}

    private final List<Held> held = new ArrayList<>();
    private final LockOwner us;
    private final Consumer<String> say;

    private FolderLock(LockOwner us, Consumer<String> say) {
        this.us = us;
        this.say = say;
    }

    /**
     * @param command for others to read: "reset_migrations undo"
     * @param say     gets a line when a run before did not end
     * @throws Failure {@link Problem.FolderBusy} naming the holder, {@link Problem.CannotLock} where nothing can be written
     */
    public static FolderLock take(Path root, String command, Consumer<String> say) {
        return new FolderLock(LockOwner.us(command), say).takeAlso(root);
    }

    /** For who only looks: nothing is made, nothing removed. @throws Failure {@link Problem.FolderBusy} */
    public static void refuseIfHeld(Path root) {
        if (!OURS.isEmpty()) return; // see there
        try (var channel = FileChannel.open(root.resolve(".reset").resolve(NAME), StandardOpenOption.READ, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS)) {
            if (channel.tryLock() == null) throw new Failure(new Problem.FolderBusy(root, patiently(channel)));
        } catch (IOException nobody) {
            // no file, no holder
        }
    }

    /** Another checkout's folder too; given up together. What is held already is fine. */
    public FolderLock takeAlso(Path root) {
        var file = root.resolve(".reset").resolve(NAME);
        try {
            for (int i = 0; i < 100; i++) { // whoever gives it up removes file and folder under our hands
                try {
                    if (lock(root, file)) return this;
                } catch (NoSuchFileException removed) {
                    if (!Files.isDirectory(root) || Files.isSymbolicLink(file.getParent()) && !Files.exists(file.getParent())) throw removed;
                }
            }
            throw new FileSystemException(file.toString(), null, "it keeps being removed");
        } catch (IOException e) {
            close();
            throw new Failure(new Problem.CannotLock(root, Failure.firstLine(e)), e);
        } catch (RuntimeException e) {
            close();
            throw e;
        }
    }

    private boolean lock(Path root, Path file) throws IOException {
        Disk.createPrivateFolder(file.getParent());
        try {
            FileChannel.open(file, Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE), privately()).close();
        } catch (FileAlreadyExistsException there) {
            // somebody's, alive or dead
        }
        var ownFolder = !Files.isSymbolicLink(file.getParent());
        file = file.getParent().toRealPath().resolve(NAME);
        var other = OURS.putIfAbsent(file, this);
        if (other == this) return true;
        if (other != null) throw new Failure(new Problem.FolderBusy(root, other.us));
        FileChannel channel = null;
        try {
            var before = key(file);
            channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS);
            var locked = channel.tryLock() != null;
            if (!before.equals(key(file))) { // removed by its last holder; an open file's key is nobody else's
                release(file, channel);
                return false;
            }
            if (!locked) throw new Failure(new Problem.FolderBusy(root, patiently(channel)));
            held.add(new Held(file, channel, before, ownFolder));
        } catch (OverlappingFileLockException sameProcess) {
            release(file, channel);
            throw new Failure(new Problem.FolderBusy(root, us), sameProcess);
        } catch (IOException | RuntimeException e) {
            release(file, channel);
            throw e;
        }
        try {
            remains(channel);
            write(channel, us);
            writeGitignore(file.getParent());
            return true;
        } catch (NoSuchFileException removed) { // to be taken again; any other failure is cleared away by close()
            held.removeLast();
            release(file, channel);
            throw removed;
        }
    }

    private static void release(Path file, FileChannel channel) throws IOException {
        if (channel != null) channel.close();
        OURS.remove(file);
    }

    /** Where the platform has no such thing, every file is the same as every other. */
    private static Object key(Path file) throws IOException {
        var key = Files.readAttributes(file, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS).fileKey();
        return key == null ? "" : key;
    }

    private static FileAttribute<?>[] privately() {
        return Disk.POSIX ? new FileAttribute<?>[] {PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"))} : new FileAttribute<?>[0];
    }

    public static void writeGitignore(Path runs) throws IOException {
        var ignore = runs.resolve(".gitignore");
        if (!Files.exists(ignore)) Disk.writePrivate(ignore, "*\n".getBytes(StandardCharsets.UTF_8));
    }

    private void remains(FileChannel channel) throws IOException {
        if (channel.size() == 0) return; // made by us just now
        var dead = read(channel);
        say.accept(dead == null ? "a run before did not end, and did not say which" : "a run did not end: " + dead.words());
    }

    private static void write(FileChannel channel, LockOwner holder) throws IOException {
        channel.truncate(0);
        var bytes = ByteBuffer.wrap(JSON.toJson(holder).getBytes(StandardCharsets.UTF_8));
        while (bytes.hasRemaining()) channel.write(bytes, bytes.position());
    }

    /** Who has just taken it may not have written yet who that is. */
    private static LockOwner patiently(FileChannel channel) throws IOException {
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
    private static LockOwner read(FileChannel channel) throws IOException {
        var bytes = ByteBuffer.allocate(4096);
        channel.read(bytes, 0);
        try {
            var holder = JSON.fromJson(new String(bytes.array(), 0, bytes.position(), StandardCharsets.UTF_8), LockOwner.class);
            return holder == null || holder.host() == null ? null : holder;
        } catch (JsonParseException halfWritten) {
            return null;
        }
    }

    /** The file goes while it is still held, and with it a folder that has nothing else to keep. */
    @Override
    public void close() {
        for (var one : held) {
            try (var channel = one.channel) {
                if (!one.key.equals(key(one.file))) continue;
                var folder = one.file.getParent();
                var bare = one.ownFolder && isBare(folder);
                if (bare) Files.deleteIfExists(folder.resolve(".gitignore"));
                Files.deleteIfExists(one.file);
                if (bare) Files.deleteIfExists(folder);
            } catch (IOException stays) {
                // a mount cannot be removed; a file that is left is one that the next run finds unlocked
            } finally {
                OURS.remove(one.file);
            }
        }
        held.clear();
    }

    /** Before the process is ended at once: nothing of ours stays behind. */
    public static void releaseAll() {
        List.copyOf(OURS.values()).forEach(FolderLock::close);
    }

    private static boolean isBare(Path folder) throws IOException {
        try (Stream<Path> all = Files.list(folder)) {
            return all.map(file -> file.getFileName().toString()).allMatch(Set.of(NAME, ".gitignore")::contains);
        }
    }
}
