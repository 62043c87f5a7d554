package lib.backup.offsite;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.DigestInputStream;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Predicate;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.cli.Script;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Checkpoint;
import lib.files.Disk;
import lib.postgres.RunningProgram;
import lib.process.Interruption;
import lib.process.Program;
import lib.process.Shell;

/**
 * A folder on any remote of the {@code rclone} program. A backup there is complete when its manifest, {@code
 * NAME.json}, is there: the manifest is uploaded last and removed first.
 */
public final class Remote {
    public static final String MANIFEST = ".json";
    private static final String PARTIAL = ".partial";
    private static final int NOT_FOUND = 3; // rclone's exit code for a missing folder
    private static final int LARGEST_MANIFEST = 64 << 20; // bytes; it has a line for each table
    private static final int TRIES = 3; // in a row without a byte
    /** Hashes that the JDK has too, the strongest first. CRC-32 proves too little. */
    private static final List<String> HASHES = List.of("sha256", "sha1", "md5");
    /**
     * Defaults; the user's variables win. By default rclone waits many minutes for a dead server, creates a bucket
     * whose name is mistyped, and (from 1.63 on) uploads under temporary names, which a kill would leave. The
     * uploader stores no checksum: rclone would return our own hash of a multipart upload, which proves nothing.
     */
    private static final Map<String, String> SETTINGS = Map.of(
            "RCLONE_CONTIMEOUT", "20s",
            "RCLONE_TIMEOUT", "2m",
            "RCLONE_RETRIES", "3",
            "RCLONE_LOW_LEVEL_RETRIES", "4",
            "RCLONE_INPLACE", "true",
            "RCLONE_S3_NO_CHECK_BUCKET", "true",
            "RCLONE_S3_DISABLE_CHECKSUM", "true",
            "RCLONE_B2_DISABLE_CHECKSUM", "true",
            "RCLONE_AZUREBLOB_DISABLE_CHECKSUM", "true");

    private static final String[] ALWAYS = {
        "--ask-password=false", "--stats=0", "--log-format=", "--dry-run=false", "--interactive=false"};
    private static final String[] BRIEFLY = {
        "--contimeout=5s", "--timeout=10s", "--retries=1", "--low-level-retries=1"};
    private static final Pattern REMOTE = Pattern.compile("(?<name>:?[^/:]*):(?<rest>.*)", Pattern.DOTALL);
    private static final Pattern CONFIGURATION_ERROR =
            Pattern.compile("(?i)didn't find section|didn't find backend|couldn't find type|SignatureDoesNotMatch"
                    + "|InvalidAccessKeyId|AccessDenied|Forbidden|Unauthorized|status code: 40[13]"
                    + "|unable to authenticate|permission denied|NoSuchBucket");

    private final Program rclone;
    private final String path;
    private final boolean local;
    private Features features;

    /** @param arrived when it was written there, by the remote's clock */
    public record RemoteFile(String name, long bytes, Instant arrived) {}

    /** A file to upload. @param hashes SHA-256 and the kinds that the remote has */
    private record LocalFile(Path path, Map<String, String> hashes) {
        String name() {
            return path.getFileName().toString();
        }

        String sha256() {
            return hashes.get("sha256");
        }
    }

    /** @param hashes that the remote computes itself */
    private record Features(List<String> hashes, boolean buckets) {}

    /** A file does not have the bytes that its manifest, or the original, has. */
    private record Mismatch(ExitCode exit, String what, List<String> next) implements Problem {}

    /** @param message of rclone, without secrets */
    private record RcloneFailed(ExitCode exit, String message, String what, List<String> next) implements Problem {}

    /**
     * @param rclone the program alone, with RCLONE_CONFIG_ variables as secrets; other RCLONE_ variables win over the
     *               defaults here
     * @param path   a remote and a folder in it ({@code s3:bucket/crm}), or a folder of this machine
     * @throws Failure usage
     */
    public Remote(Program rclone, String path) {
        var remote = REMOTE.matcher(path);
        if (path.isBlank() || path.startsWith("-")) throw unusable(path, "is not a remote");
        if (path.chars().anyMatch(Character::isISOControl))
            throw unusable(path.replaceAll("\\p{Cntrl}", "?"), "has a control character");
        if (remote.matches() && remote.group("name").contains(","))
            throw unusable(path.substring(0, path.indexOf(',')) + ",…", "has options, which belong in "
                    + "RCLONE_CONFIG_… variables: every user of the machine can read a command line");
        this.path = path.replaceAll("(?<=.)/+$", "");
        this.rclone = rclone.with();
        SETTINGS.forEach(this.rclone::envIfAbsent);
        var certificates = System.getenv("AWS_CA_BUNDLE");
        if (certificates != null) // older versions of rclone cannot connect to S3 when it is set
            this.rclone.withoutEnv("AWS_CA_BUNDLE").envIfAbsent("RCLONE_CA_CERT", certificates);
        var windowsDrive = remote.matches() && remote.group("name").length() == 1
                && System.getProperty("os.name").startsWith("Windows");
        local = !remote.matches() || windowsDrive;
    }

    private static Failure unusable(String path, String why) {
        return Failure.usage("--remote \"%s\" %s".formatted(path, why))
                .next("give a remote of rclone and a folder in it, as s3:bucket/crm, or a folder of this machine, as "
                        + "/mnt/nas/crm");
    }

    /**
     * Before a backup starts: rclone is there, and the remote can be listed.
     *
     * @throws Failure usage; 1 when it is not a matter of configuration
     */
    public void require() {
        if (local && !Files.isDirectory(Path.of(path)))
            throw Failure.usage("--remote %s: no such folder; it is not created, because it may be an unmounted disk"
                    .formatted(path)).next("mount it, or create it once: " + Shell.line("mkdir", "-p", path));
        var isThere = entries(path, "--no-modtime").isPresent();
        if (local || !features().buckets()) return;
        var remote = REMOTE.matcher(path);
        if (!remote.matches()) return;
        var bucket = remote.group("rest").replaceFirst("^/+", "").replaceFirst("/.*", "");
        if (bucket.isEmpty()) throw unusable(path, "names no bucket");
        // For a missing folder rclone reports the same as for a missing bucket.
        var where = remote.group("name") + ":" + bucket;
        if (isThere || run("lsjson", "--no-modtime", "--no-mimetype", where).code() != NOT_FOUND) return;
        throw Failure.usage("there is no bucket " + where + ", or it is not visible to this key").next(
                "check the name in --remote, or create the bucket once: " + Shell.line("rclone", "mkdir", where));
    }

    // ---- uploads -----------------------------------------------------------------------------

    /**
     * Uploads a backup: the data under a temporary name, renamed, proven; then the manifest in the same way. A backup
     * that is there and proven is not sent again.
     *
     * @param sha256 of the data, from the manifest
     * @return how the data was proven: "sha256 compared", or "read back" where the remote computes no hash
     * @throws Failure 3: the local backup is good; 1: it is not
     */
    public String upload(Path data, String sha256, Path manifest) {
        requireFileName(data.getFileName().toString());
        try {
            var ofData = localFile(data);
            if (!ofData.sha256().equals(sha256)) throw mismatch(data.toString(), "it has changed since");
            var ofManifest = localFile(manifest);
            try {
                if (stat(ofManifest.name()).isPresent()) {
                    var proof = proven(ofData, ofManifest);
                    if (proof.isPresent()) return proof.get();
                    remove(ofManifest.name()); // while the data changes, nothing there may look complete
                }
                var uploaded = put(ofData, data);
                put(ofManifest, data);
                return uploaded;
            } catch (Failure e) {
                var isFinal = e.problem() instanceof Problem.Interrupted || e.problem().exit() == ExitCode.PARTLY;
                throw isFinal ? e : uploadFailed(data, e, List.of());
            }
        } catch (IOException e) {
            throw Failure.of(e);
        }
    }

    private LocalFile localFile(Path file) throws IOException {
        var hashes = new LinkedHashMap<String, String>();
        for (var kind : HASHES)
            if (kind.equals("sha256") || features().hashes().contains(kind)) hashes.put(kind, hash(file, kind));
        return new LocalFile(file, hashes);
    }

    private static String hash(Path file, String kind) throws IOException {
        try (var in = new DigestInputStream(
                Files.newInputStream(file), MessageDigest.getInstance(kind.replace("sha", "SHA-")))) {
            in.transferTo(OutputStream.nullOutputStream());
            return hex(in.getMessageDigest());
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e); // every JDK has these
        }
    }

    private static String hex(MessageDigest digest) {
        return HexFormat.of().formatHex(digest.digest());
    }

    private Optional<String> proven(LocalFile data, LocalFile manifest) throws IOException {
        try {
            prove(manifest);
            return Optional.of(prove(data));
        } catch (Failure e) {
            if (e.problem() instanceof Mismatch) return Optional.empty();
            throw e;
        }
    }

    /** @param backup whose data or manifest the file is */
    private String put(LocalFile file, Path backup) throws IOException {
        var partial = file.name() + PARTIAL;
        var written = new ArrayList<>(List.of(partial));
        try {
            ok("copyto", "--ignore-times", file.path().toAbsolutePath().toString(), at(partial));
            Checkpoint.reached("uploaded " + partial);
            written.add(file.name());
            ok("moveto", "--ignore-times", at(partial), at(file.name()));
            return prove(file);
        } catch (RuntimeException e) {
            var remaining = new ArrayList<String>();
            Interruption.uninterruptibly(() -> written.stream().filter(this::remains).forEach(remaining::add));
            if (e instanceof Failure f && !remaining.isEmpty() && !(f.problem() instanceof Problem.Interrupted))
                throw uploadFailed(backup, f, remaining);
            throw e;
        }
    }

    /** Tries to remove an incomplete file, with short timeouts: the connection may be dead. */
    private boolean remains(String name) {
        try {
            remove(name, BRIEFLY);
            return false;
        } catch (RuntimeException unreachable) {
            return true;
        }
    }

    /** Proves that the remote file has the same bytes. */
    private String prove(LocalFile file) throws IOException {
        var where = at(file.name());
        var bytes = Files.size(file.path());
        var found = stat(file.name()).orElseThrow(() -> mismatch(where, "it is missing"));
        if (size(found) != bytes) throw mismatch(where, "%,d bytes instead of %,d".formatted(size(found), bytes));
        for (var kind : features().hashes()) {
            if (!(found.get("Hashes") instanceof JsonObject hashes) || !hashes.has(kind)) continue;
            var hash = hashes.get(kind).getAsString();
            if (hash.isEmpty()) continue;
            if (!hash.equalsIgnoreCase(file.hashes().get(kind))) throw mismatch(where, "its " + kind + " differs");
            return kind + " compared";
        }
        var read = Disk.sha256Digest();
        stream(file.name(), bytes, new DigestOutputStream(OutputStream.nullOutputStream(), read));
        if (!hex(read).equals(file.sha256())) throw mismatch(where, "its content differs");
        return "read back";
    }

    // ---- downloads ---------------------------------------------------------------------------

    /** The files in the folder itself; a folder that does not exist yet is empty. */
    public List<RemoteFile> list() {
        return entries(path, "--use-server-modtime").orElse(List.of()).stream().map(file -> {
            var arrived = OffsetDateTime.parse(file.get("ModTime").getAsString()).toInstant();
            return new RemoteFile(file.get("Name").getAsString(), size(file), arrived);
        }).toList();
    }

    /** A small text file: a manifest. */
    public String read(String name) {
        requireFileName(name);
        var bytes = size(stat(name).orElseThrow(() -> mismatch(at(name), "it is missing")));
        if (bytes > LARGEST_MANIFEST)
            throw mismatch(at(name), "%,d bytes are too many for a manifest".formatted(bytes));
        var text = new ByteArrayOutputStream();
        try {
            stream(name, bytes, text);
        } catch (IOException e) {
            throw Failure.of(e);
        }
        return text.toString(StandardCharsets.UTF_8);
    }

    /**
     * Downloads a file to the folder under its own name, mode 0600, when it has this hash. A broken download is
     * resumed.
     *
     * @throws Failure no file is left in the folder
     */
    public Path fetch(String name, String sha256, Path folder) {
        requireFileName(name);
        var file = folder.resolve(name);
        var partial = folder.resolve(name + PARTIAL);
        try {
            if (Files.exists(file)) {
                if (hash(file, "sha256").equals(sha256)) return file;
                throw Failure.usage("%s exists, and differs from %s".formatted(file, at(name)))
                        .next("move it away, or use another folder: --dir DIR");
            }
            var bytes = size(stat(name).orElseThrow(() -> mismatch(at(name), "it is missing")));
            Files.deleteIfExists(partial);
            try (var channel = FileChannel.open(partial, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                Disk.setMode(partial, "rw-------");
                var read = Disk.sha256Digest();
                stream(name, bytes, new DigestOutputStream(Channels.newOutputStream(channel), read));
                if (!hex(read).equals(sha256)) throw mismatch(at(name), "its sha256 differs");
                channel.force(true);
            }
            Files.move(partial, file, StandardCopyOption.ATOMIC_MOVE);
            Disk.fsync(folder);
            return file;
        } catch (IOException e) {
            throw Failure.of(e);
        } finally {
            partial.toFile().delete(); // without an exception: the next download of this name replaces it
        }
    }

    // ---- removals ----------------------------------------------------------------------------

    /** Removes a backup, its manifest first: after a broken connection the rest does not look complete. */
    public void delete(String name) {
        requireFileName(name);
        if (!name.endsWith(MANIFEST)) remove(name + MANIFEST);
        remove(name);
    }

    /** Removes unfinished uploads. @param isBackup whether it is the name of a backup @return the names */
    public List<String> sweep(Predicate<String> isBackup, Instant olderThan) {
        var stale = list().stream()
                .filter(file -> file.name().endsWith(PARTIAL) && file.arrived().isBefore(olderThan))
                .map(RemoteFile::name)
                .filter(name -> isBackup.test(name.substring(0, name.length() - PARTIAL.length())))
                .toList();
        stale.forEach(this::remove);
        return stale;
    }

    private void remove(String name, String... flags) {
        var removal = run(withFlags(flags, "deletefile", "--retries=1", at(name)));
        if (removal.code() == 0) return;
        var remains = flags.length > 0 ? !removal.err().contains("doesn't exist") : stat(name).isPresent();
        if (remains) throw rcloneFailed(removal.err());
    }

    // ---- rclone ------------------------------------------------------------------------------

    private String at(String name) {
        return path.endsWith(":") || path.endsWith("/") ? path + name : path + "/" + name;
    }

    /** No other folder, no option. */
    private static void requireFileName(String name) {
        var hasSeparator = name.chars().anyMatch(c -> c == '/' || c == '\\' || Character.isISOControl(c));
        if (hasSeparator || name.isBlank() || name.startsWith("-") || name.startsWith("."))
            throw Failure.usage("\"" + name.replaceAll("\\p{Cntrl}", "?") + "\" is not a file name")
                    .next("list the backups: " + Script.BACKUP_DATABASE.command("list", "--off-site"));
    }

    private Optional<JsonObject> stat(String name) {
        return entries(at(name), "--hash", "--no-modtime").flatMap(files -> files.stream().findFirst());
    }

    private static long size(JsonObject file) {
        return file.get("Size").getAsLong();
    }

    /** The files at a path; empty when there is no such file or folder. */
    private Optional<List<JsonObject>> entries(String where, String... flags) {
        var listed = run(withFlags(flags, "lsjson", "--files-only", "--no-mimetype", where));
        if (listed.code() == NOT_FOUND) return Optional.empty();
        if (listed.code() != 0) throw rcloneFailed(listed.err());
        try {
            var files = JsonParser.parseString(listed.out()).getAsJsonArray();
            return Optional.of(files.asList().stream().map(JsonElement::getAsJsonObject).toList());
        } catch (JsonParseException | IllegalStateException e) {
            throw rcloneFailed("its list is not JSON: " + listed.out().lines().findFirst().orElse("")).causedBy(e);
        }
    }

    private static String[] withFlags(String[] flags, String... command) {
        return Stream.concat(Stream.of(command), Stream.of(flags)).toArray(String[]::new);
    }

    /** An overlay (hasher, chunker, compress) may return a stored hash: only a computed one counts. */
    private Features features() {
        if (features != null) return features;
        var output = run("backend", "features", path);
        if (output.code() != 0) // versions before 1.55 lack the command: all is read back
            return features = new Features(List.of(), false);
        var json = JsonParser.parseString(output.out()).getAsJsonObject();
        var has = json.getAsJsonObject("Features");
        var offered = json.get("Hashes") instanceof JsonArray all
                ? all.asList().stream().map(JsonElement::getAsString).toList() : List.<String>of();
        var computed = has.get("UnWrap").getAsBoolean() ? List.<String>of()
                : HASHES.stream().filter(offered::contains).toList();
        return features = new Features(computed, has.get("BucketBased").getAsBoolean());
    }

    /** Writes the bytes of a file; a broken connection is resumed. */
    private void stream(String name, long bytes, OutputStream to) throws IOException {
        var tries = 0;
        var message = "";
        for (long have = 0; have < bytes; ) {
            if (tries == TRIES) throw rcloneFailed(message);
            Interruption.pause(Duration.ofSeconds(tries));
            var cat = program("cat", "--offset=" + have, "--count=" + (bytes - have), at(name));
            try (var running = RunningProgram.start(cat)) {
                running.closeInput();
                var got = running.out().transferTo(to);
                have += got;
                tries = got > 0 ? 1 : tries + 1;
                message = running.stderr();
                Interruption.check();
            }
        }
    }

    private Program program(String... args) {
        return rclone.with(args).with(ALWAYS);
    }

    private Program.Output run(String... args) {
        try {
            var output = program(args).run();
            if (output.code() != 0) Interruption.check(); // a terminal's Ctrl-C reaches rclone too
            return output;
        } catch (Failure e) {
            if (!(e.problem() instanceof Program.Missing missing)) throw e;
            throw Failure.usage(missing.program()
                            + " is not installed, or not on PATH (cron's is short); off-site copies need it")
                    .next("apt install rclone, dnf install rclone, brew install rclone, or https://rclone.org/install/",
                            "or leave --remote out").causedBy(e);
        }
    }

    private void ok(String... args) {
        var output = run(args);
        if (output.code() != 0) throw rcloneFailed(output.err());
    }

    /** The path only: the credentials are in the environment. */
    @Override public String toString() {
        return path;
    }

    // ---- failures ----------------------------------------------------------------------------

    /** The next step when a copy is not good. */
    public static String useAnother() {
        return "use another backup: " + Script.BACKUP_DATABASE.command("list", "--off-site");
    }

    private static Failure mismatch(String file, String how) {
        var what = file + " is not what its manifest says: " + how;
        return new Failure(new Mismatch(ExitCode.FAILED, what, List.of(useAnother())));
    }

    /** The last error, since each retry repeats it, without credentials. */
    private Failure rcloneFailed(String err) {
        var last = rclone.redact(err.substring(Math.max(0, err.lastIndexOf("Failed to "))).strip())
                .replaceAll("(?<=://)[^/\\s@\"]+@", "***@")                  // user and password of a URL
                .replaceAll("(?<=[^\\s\"]{8})\\?[^\\s\"]*=[^\\s\"]*", "?…"); // the signature of a presigned URL
        var message = last.lines().limit(8).collect(Collectors.joining("\n"));
        var what = "rclone failed (" + path + ")" + (message.isBlank() ? "" : ":\n" + indented(message));
        var attempt = "try by hand: " + Shell.line("rclone", "lsf", path);
        if (!CONFIGURATION_ERROR.matcher(message).find())
            return new Failure(new RcloneFailed(ExitCode.FAILED, message, what, List.of(attempt)));
        var configure = "set RCLONE_CONFIG_<REMOTE>_TYPE and the other variables of the remote in .env, "
                + "or run \"rclone config\" as the user that the backup runs as";
        return new Failure(new RcloneFailed(ExitCode.USAGE, message, what, List.of(configure, attempt)));
    }

    private static String indented(String message) {
        return message.strip().indent(2).stripTrailing();
    }

    /** @param remaining what may remain on the remote */
    private Failure uploadFailed(Path backup, Failure cause, List<String> remaining) {
        var message = cause.problem() instanceof RcloneFailed failed ? failed.message() : cause.problem().what();
        var remains = remaining.isEmpty() ? "" : "\n" + String.join(" and ", remaining)
                + " may be left there; without its manifest it does not count as a backup";
        var what = "the backup %s is good, but its copy to %s failed:\n%s%s";
        return Failure.partly(what.formatted(backup, path, indented(message), remains))
                .next("once that is fixed, the next backup uploads this one too").causedBy(cause);
    }
}
