package lib.files;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFileAttributeView;
import java.nio.file.attribute.PosixFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** Files that survive a power cut: written beside, fsynced, renamed, and the folder fsynced. */
public final class Disk {
    /** Whether files have permissions and an owner here. */
    public static final boolean POSIX = Path.of("").getFileSystem().supportedFileAttributeViews().contains("posix");

    private Disk() {}

    /** Without symbolic links where it exists, else absolute. */
    public static Path real(Path path) {
        try {
            return path.toRealPath();
        } catch (IOException notThere) {
            return path.toAbsolutePath().normalize();
        }
    }

    public static String sha256(byte[] content) {
        return HexFormat.of().formatHex(sha256Digest().digest(content));
    }

    public static MessageDigest sha256Digest() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e); // every JDK has it
        }
    }

    /** Whether this is a file with this content; false for a symbolic link to one. */
    public static boolean hasContent(Path file, String sha256) throws IOException {
        return Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS) && sha256(Files.readAllBytes(file)).equals(sha256);
    }

    /** Creates the folder and those above it; new ones are accessible to their owner only. */
    public static void createPrivateFolder(Path folder) throws IOException {
        if (Files.isDirectory(folder)) return;
        if (folder.getParent() != null) createPrivateFolder(folder.getParent());
        try {
            Files.createDirectory(folder);
        } catch (FileAlreadyExistsException createdMeanwhile) {
            return;
        }
        setMode(folder, "rwx------");
        fsync(folder.getParent());
    }

    public static void setMode(Path path, String permissions) throws IOException {
        if (POSIX) Files.setPosixFilePermissions(path, PosixFilePermissions.fromString(permissions));
    }

    /** As {@link #replace}, with mode 0600. */
    public static void writePrivate(Path file, byte[] content) throws IOException {
        replace(file, content, "rw-------", null);
    }

    /**
     * Replaces whatever has the name; a symbolic link is replaced, never written through. The content is durable at
     * once; its name is once the folder is fsynced, which callers do once for many files.
     *
     * @param permissions "rw-r--r--", or null: the folder's without its execute bits
     * @param like        whose owner and group the file gets, as far as this user may set them; null: this user's
     */
    public static void replace(Path file, byte[] content, String permissions, Path like) throws IOException {
        var beside = beside(file);
        Files.deleteIfExists(beside);
        try {
            try (var out = FileChannel.open(beside, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                setMode(beside, permissions != null ? permissions : permissionsIn(file.getParent()));
                var buffer = ByteBuffer.wrap(content);
                while (buffer.hasRemaining()) out.write(buffer);
                out.force(true);
            }
            if (like != null) copyOwner(beside, like);
            Checkpoint.reached("written beside " + file.getFileName());
            Files.move(beside, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (FileSystemException saysWhere) {
            throw saysWhere;
        } catch (IOException e) { // a full disk: the channel does not say which file it was
            throw (IOException) new FileSystemException(file.toString(), null, e.getMessage()).initCause(e);
        } finally {
            Files.deleteIfExists(beside);
        }
    }

    private static Path beside(Path file) {
        var name = file.getFileName().toString();
        var room = name.getBytes(StandardCharsets.UTF_8).length < 240; // a name may have 255 bytes
        return file.resolveSibling("~" + (room ? name : sha256(name.getBytes(StandardCharsets.UTF_8)))
                + ".partial"); // ~: Django never takes it for a migration
    }

    /** Removes what a kill in the middle of {@link #replace} has left. */
    public static void removePartial(Path file) throws IOException {
        Files.deleteIfExists(beside(file));
    }

    private static String permissionsIn(Path folder) throws IOException {
        if (!POSIX) return "rw-------";
        return PosixFilePermissions.toString(Files.getPosixFilePermissions(folder)).replace('x', '-');
    }

    /** Sets the owner and group of {@code like}, as far as this user may. */
    public static void copyOwner(Path path, Path like) throws IOException {
        if (!POSIX) return;
        var from = Files.readAttributes(like, PosixFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
        var is = Files.readAttributes(path, PosixFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
        var view = Files.getFileAttributeView(path, PosixFileAttributeView.class, LinkOption.NOFOLLOW_LINKS);
        try {
            if (!is.owner().equals(from.owner())) view.setOwner(from.owner());
            if (!is.group().equals(from.group())) view.setGroup(from.group());
        } catch (IOException notAllowed) {
            // the user has access to another owner's files through a group: the content counts
        }
    }

    /** Makes a rename or removal in this folder durable. */
    public static void fsync(Path folder) throws IOException {
        if (!POSIX) return; // Windows cannot open a folder for this
        try (var channel = FileChannel.open(folder, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }

    /** Why we may not write there: "owned by root, rwxr-xr-x". */
    public static String ownerAndMode(Path folder) {
        try {
            if (Files.getFileStore(folder).isReadOnly()) return "on a read-only file system";
            if (!POSIX) return "write-protected";
            var is = Files.readAttributes(folder, PosixFileAttributes.class);
            return "owned by %s, %s".formatted(is.owner().getName(), PosixFilePermissions.toString(is.permissions()));
        } catch (IOException hidden) {
            return "its owner cannot be read";
        }
    }

    /** Removes a folder, if it exists, and everything in it, without following links. */
    public static void removeTree(Path folder) throws IOException {
        try {
            Files.walkFileTree(folder, new SimpleFileVisitor<>() {
                @Override
                public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                    Files.delete(file);
                    return FileVisitResult.CONTINUE;
                }

                @Override public FileVisitResult postVisitDirectory(Path dir, IOException e) throws IOException {
                    Files.delete(dir);
                    return FileVisitResult.CONTINUE;
                }
            });
        } catch (NoSuchFileException alreadyGone) {
            // as wanted
        }
    }
}
