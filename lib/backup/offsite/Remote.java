package lib.backup.offsite;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
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
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Predicate;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.cli.Script;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Checkpoint;
import lib.files.Disk;
import lib.process.Interruption;
import lib.process.Program;
import lib.process.Shell;

/**
 * A folder on any remote of the {@code rclone} program. A backup there is complete when its manifest, {@code NAME.json}, is there:
 * the manifest is uploaded last and removed first.
 */
public final class Remote {
    public static final String MANIFEST = ".json";
    private static final String PARTIAL = ".partial";
    private static final int NOT_FOUND = 3; // rclone's exit code for a missing folder
    private static final int LARGEST_TEXT = 64 << 20; // bytes; a manifest has a line a table
    private static final int TRIES = 3; // in a row without a byte
    /** Hashes that the JDK has too, the strongest first. CRC-32 proves too little. */
    private static final List<String> HASHES = List.of("sha256", "sha1", "md5");
    /**
     * Defaults; the user's variables win. rclone waits many minutes for a dead server by default. No bucket is created by mistake.
     * And the uploader stores no checksum: rclone would return our own hash of a multipart upload, which proves nothing.
     */
    private static final Map<String, String> SETTINGS = Map.of(
            "RCLONE_CONTIMEOUT",
            "20s",
            "RCLONE_TIMEOUT",
            "2m",
            "RCLONE_RETRIES",
            "3",
            "RCLONE_LOW_LEVEL_RETRIES",
            "4",
            "RCLONE_INPLACE",
            "true", // from 1.63 on it uses temporary names of its own, which a kill would leave
            "RCLONE_S3_NO_CHECK_BUCKET",
            "true",
            "RCLONE_S3_DISABLE_CHECKSUM",
            "true",
            "RCLONE_B2_DISABLE_CHECKSUM",
            "true",
            "RCLONE_AZUREBLOB_DISABLE_CHECKSUM",
            "true");

    private static final String[] NEVER = {"--ask-password=false", "--stats=0", "--log-format=", "--dry-run=false",
        "--interactive=false"};
    private static final String[] BRIEFLY = {"--contimeout=5s", "--timeout=10s", "--retries=1", "--low-level-retries=1"
    };
    private static final Pattern REMOTE = Pattern.compile("(?<name>:?[^/:]*):(?<rest>.*)", Pattern.DOTALL);

    private final Program rclone;
    private final String path;
    private final boolean local;
    private Features features;

    /** @param arrived when it was written there, by the remote's clock */
    public record RemoteFile(String name, long bytes, Instant arrived) {}

    /** How the remote is known to hold the same bytes. @param hash its kind, computed by the remote; null: all was read back */
    public record Proof(String hash) {
        public boolean readBack() {
            return hash == null;
        }

        @Override public String toString() {
            return readBack() ? "read back" : hash + " compared";
        }
    }

    private record Stat(long bytes, Map<String, String> hashes) {}

    private record Features(List<String> hashes, boolean buckets) {}

    /**
     * @param rclone the program alone, with RCLONE_CONFIG_ variables as secrets; other RCLONE_ variables win over the defaults here
     * @param path   a remote and a folder in it ({@code s3:bucket/crm}), or a folder of this machine
     * @throws Failure usage
     */
    public Remote(Program rclone, String path) {
        var remote = REMOTE.matcher(path);
        var windows = System.getProperty("os.name").startsWith("Windows");
        if (path.isBlank() || path.startsWith("-")) throw unusable(path, "is not a remote");
        if (path.chars().anyMatch(Character::isISOControl))
            throw unusable(path.replaceAll("\\p{Cntrl}", "?"), "has a control character");
        if (remote.matches() && remote.group("name").contains(","))
            throw unusable(
                    path.substring(0, path.indexOf(',')) + ",…",
                    "has options, which belong in RCLONE_CONFIG_… variables: every user of the machine can read a"
                            + " command line");
        this.path = path.length() > 1 && path.endsWith("/") ? path.replaceAll("(?<=.)/+$", "") : path;
        var program = rclone.with();
        SETTINGS.forEach(program::envIfAbsent);
        var certificates = System.getenv("AWS_CA_BUNDLE");
        if (certificates != null) { // versions up to 1.6x cannot connect to S3 when it is set
            program.withoutEnv("AWS_CA_BUNDLE");
            program.envIfAbsent("RCLONE_CA_CERT", certificates);
        }
        this.rclone = program;
        this.local = !remote.matches() || windows && remote.group("name").length() == 1;
    }

    private static Failure unusable(String path, String why) {
        return Failure.usage("--remote \"%s\" %s".formatted(path, why))
                .next("give a remote of rclone and a folder in it, as s3:bucket/crm, or a folder of this machine, as"
                        + " /mnt/nas/crm");
    }

    /**
     * Before a backup starts: rclone is there, and the remote can be listed.
     *
     * @throws Failure usage; 1 when it is not a matter of configuration
     */
    public void require() {
        if (local && !Files.isDirectory(Path.of(path)))
            throw Failure.usage(
                            "--remote %s: no such folder; it is not created by itself, because it may be an unmounted disk"
                                    .formatted(path))
                    .next("mount it, or create it once: " + Shell.line("mkdir", "-p", path));
        var listed = run("lsjson", "--files-only", "--no-modtime", "--no-mimetype", path);
        if (listed.code() != 0 && listed.code() != NOT_FOUND) throw said(listed.err());
        if (local || !features().buckets()) return;
        var parts = REMOTE.matcher(path);
        if (!parts.matches()) return;
        var bucket = parts.group("rest").replaceFirst("^/+", "").replaceFirst("/.*", "");
        if (bucket.isEmpty()) throw unusable(path, "names no bucket");
        // a missing folder and a missing bucket look the same
        if (listed.code() == NOT_FOUND
                && run("lsjson", "--no-modtime", "--no-mimetype", parts.group("name") + ":" + bucket)
                                .code()
                        == NOT_FOUND) throw noBucket(parts.group("name") + ":" + bucket);
    }

    private static Failure noBucket(String bucket) {
        return Failure.usage("there is no bucket " + bucket + ", or it is not visible to this key")
                .next("check the name in --remote, or create the bucket once: "
                        + Shell.line("rclone", "mkdir", bucket));
    }

    /**
     * Uploads a backup: the data under a temporary name, renamed, proven; then the manifest in the same way. A backup that is there
     * and proven is not sent again.
     *
     * @param sha256 of the data, from the manifest
     * @return how the data was proven
     * @throws Failure 3: the local backup is good; 1: it is not
     */
    public Proof upload(Path data, String sha256, Path manifest) {
        plain(data.getFileName().toString());
        try {
            var digests = digests(data);
            if (!digests.get("sha256").equals(sha256)) throw mismatch(data.toString(), "it has changed since");
            var ofManifest = digests(manifest);
            try {
                if (stat(manifest.getFileName().toString()).isPresent()) {
                    var there = proven(data, digests, manifest, ofManifest);
                    if (there.isPresent()) return there.get();
                    remove(manifest.getFileName()
                            .toString()); // while the data changes, nothing there may look complete
                }
                var proof = put(data, digests, data);
                put(manifest, ofManifest, data);
                return proof;
            } catch (Failure e) {
                if (e.problem() instanceof Problem.Interrupted || e.problem() instanceof RemoteProblem.UploadFailed)
                    throw e;
                throw new Failure(new RemoteProblem.UploadFailed(data, path, words(e), null), e);
            }
        } catch (IOException e) {
            throw Failure.of(e);
        }
    }

    /** The next step when a copy is not good. */
    public static String useAnother() {
        return "use another backup: " + Script.BACKUP_DATABASE.command("list", "--off-site");
    }

    private static Failure mismatch(String file, String how) {
        return new Failure(new RemoteProblem.Mismatch(file, how));
    }

    private Optional<Proof> proven(
            Path data, Map<String, String> digests, Path manifest, Map<String, String> ofManifest) throws IOException {
        try {
            prove(manifest, ofManifest);
            return Optional.of(prove(data, digests));
        } catch (Failure e) {
            if (e.problem() instanceof RemoteProblem.Mismatch) return Optional.empty();
            throw e;
        }
    }

    private Proof put(Path file, Map<String, String> digests, Path data) throws IOException {
        var name = file.getFileName().toString();
        var partial = name + PARTIAL;
        var written = new ArrayList<>(List.of(partial));
        try {
            ok("copyto", "--ignore-times", file.toAbsolutePath().toString(), at(partial));
            Checkpoint.reached("uploaded " + partial);
            written.add(name);
            ok("moveto", "--ignore-times", at(partial), at(name));
            return prove(file, digests);
        } catch (RuntimeException e) {
            var left = new ArrayList<String>();
            Interruption.uninterruptibly(() -> left.addAll(written.stream().filter(this::remains).toList()));
            if (e instanceof Failure f && !left.isEmpty() && !(f.problem() instanceof Problem.Interrupted))
                throw new Failure(new RemoteProblem.UploadFailed(data, path, words(f), String.join(" and ", left)), f);
            throw e;
        }
    }

    private static String words(Failure e) {
        return e.problem() instanceof RemoteProblem.RcloneFailed said ? said.words() : e.problem().what();
    }

    /** Tries to remove what is not complete, with short timeouts: the connection may be dead. */
    private boolean remains(String name) {
        try {
            remove(name, BRIEFLY);
            return false;
        } catch (RuntimeException unreachable) {
            return true;
        }
    }

    /** Proves that the remote file has the same bytes. @param digests of the local one */
    private Proof prove(Path file, Map<String, String> digests) throws IOException {
        var name = file.getFileName().toString();
        var bytes = Files.size(file);
        var there = stat(name).orElseThrow(() -> mismatch(at(name), "it is missing"));
        if (there.bytes() != bytes)
            throw mismatch(at(name), "%,d bytes instead of %,d".formatted(there.bytes(), bytes));
        for (var kind : digests.keySet()) {
            var hash = there.hashes().get(kind);
            if (hash == null || hash.isEmpty() || !features().hashes().contains(kind)) continue;
            if (!hash.equalsIgnoreCase(digests.get(kind))) throw mismatch(at(name), "its " + kind + " differs");
            return new Proof(kind);
        }
        var read = Disk.sha256Digest();
        stream(name, bytes, new DigestOutputStream(OutputStream.nullOutputStream(), read));
        if (!hex(read).equals(digests.get("sha256"))) throw mismatch(at(name), "its content differs");
        return new Proof(null);
    }

    /** The files in the folder itself; a folder that does not exist yet is empty. */
    public List<RemoteFile> list() {
        return entries(path, "--use-server-modtime")
                .map(files -> files.map(Remote::remoteFile).toList())
                .orElse(List.of());
    }

    private static RemoteFile remoteFile(JsonObject file) {
        var arrived = OffsetDateTime.parse(file.get("ModTime").getAsString()).toInstant();
        return new RemoteFile(file.get("Name").getAsString(), file.get("Size").getAsLong(), arrived);
    }

    /** A small text file: a manifest. */
    public String read(String name) {
        plain(name);
        var there = stat(name).orElseThrow(() -> mismatch(at(name), "it is missing"));
        if (there.bytes() > LARGEST_TEXT)
            throw mismatch(at(name), "%,d bytes are too many for a manifest".formatted(there.bytes()));
        var text = new ByteArrayOutputStream();
        try {
            stream(name, there.bytes(), text);
        } catch (IOException e) {
            throw Failure.of(e);
        }
        return text.toString(StandardCharsets.UTF_8);
    }

    /** Removes a backup, its manifest first: what a broken connection leaves does not look complete. Nothing there is fine. */
    public void delete(String name) {
        plain(name);
        if (!name.endsWith(MANIFEST)) remove(name + MANIFEST);
        remove(name);
    }

    /**
     * Downloads a file to the folder under its own name, mode 0600, when it has this hash. A broken download goes on where it stopped.
     *
     * @throws Failure nothing is left in the folder
     */
    public Path fetch(String name, String sha256, Path folder) {
        plain(name);
        var file = folder.resolve(name);
        var partial = folder.resolve(name + PARTIAL);
        try {
            if (Files.exists(file)) {
                if (sha256(file).equals(sha256)) return file;
                throw Failure.usage("%s exists, and differs from %s".formatted(file, at(name)))
                        .next("move it away, or use another folder: --dir DIR");
            }
            var there = stat(name).orElseThrow(() -> mismatch(at(name), "it is missing"));
            Files.deleteIfExists(partial);
            try (var channel = FileChannel.open(partial, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                Disk.setMode(partial, "rw-------");
                var read = Disk.sha256Digest();
                stream(name, there.bytes(), new DigestOutputStream(Channels.newOutputStream(channel), read));
                if (!hex(read).equals(sha256)) throw mismatch(at(name), "its sha256 differs");
                channel.force(true);
            }
            Files.move(partial, file, StandardCopyOption.ATOMIC_MOVE);
            Disk.fsync(folder);
            return file;
        } catch (IOException e) {
            throw Failure.of(e);
        } finally {
            try {
                Files.deleteIfExists(partial);
            } catch (IOException ignored) {
                // the next download of this name replaces it
            }
        }
    }

    /** Removes unfinished uploads. @param ours whether a file of this name can be ours @return the names */
    public List<String> sweep(Predicate<String> ours, Instant olderThan) {
        var stale = list().stream()
                .filter(file -> file.name().endsWith(PARTIAL) && file.arrived().isBefore(olderThan))
                .map(RemoteFile::name)
                .filter(name -> ours.test(name.substring(0, name.length() - PARTIAL.length())))
                .toList();
        stale.forEach(this::remove);
        return stale;
    }

    /** The path only: the credentials are in the environment. */
    @Override public String toString() {
        return path;
    }

    // ---- rclone ------------------------------------------------------------------------------

    private String at(String name) {
        return path.endsWith(":") || path.endsWith("/") ? path + name : path + "/" + name;
    }

    /** A file name: no other folder, no option. */
    private static void plain(String name) {
        if (name.isBlank()
                || name.startsWith("-")
                || name.startsWith(".")
                || name.chars().anyMatch(c -> c == '/' || c == '\\' || Character.isISOControl(c)))
            throw Failure.usage("\"" + name.replaceAll("\\p{Cntrl}", "?") + "\" is not a file name")
                    .next("list the backups: " + Script.BACKUP_DATABASE.command("list", "--off-site"));
    }

    private void remove(String name, String... flags) {
        var done = run(Stream.concat(Stream.of("deletefile", "--retries=1", at(name)), Stream.of(flags))
                .toArray(String[]::new));
        if (done.code() == 0) return;
        var remains = flags.length > 0 ? !done.err().contains("doesn't exist") : stat(name).isPresent();
        if (remains) throw said(done.err());
    }

    private Optional<Stat> stat(String name) {
        return entries(at(name), "--hash", "--no-modtime")
                .flatMap(Stream::findFirst)
                .map(file -> {
                    var hashes = new LinkedHashMap<String, String>();
                    if (file.get("Hashes") instanceof JsonObject all)
                        all.entrySet()
                                .forEach(hash -> hashes.put(
                                        hash.getKey().replace("-", "").toLowerCase(Locale.ROOT),
                                        hash.getValue().getAsString()));
                    return new Stat(file.get("Size").getAsLong(), hashes);
                });
    }

    /** What is there; empty when nothing is. */
    private Optional<Stream<JsonObject>> entries(String where, String... flags) {
        var listed = run(Stream.concat(Stream.of("lsjson", "--files-only", "--no-mimetype", where), Stream.of(flags))
                .toArray(String[]::new));
        if (listed.code() == NOT_FOUND) return Optional.empty();
        if (listed.code() != 0) throw said(listed.err());
        try {
            var json = JsonParser.parseString(listed.out()).getAsJsonArray();
            return Optional.of(json.asList().stream().map(JsonElement::getAsJsonObject));
        } catch (JsonParseException | IllegalStateException e) {
            throw new Failure(
                    new RemoteProblem.RcloneFailed(
                            path,
                            "its list is not JSON: "
                                    + listed.out().lines().findFirst().orElse("")),
                    e);
        }
    }

    /** An overlay (hasher, chunker, compress) may return a stored hash: only a computed one counts. */
    private Features features() {
        if (features != null) return features;
        var said = run("backend", "features", path);
        if (said.code() != 0)
            return features = new Features(List.of(), false); // versions before 1.55 lack the command: all is read back
        var json = JsonParser.parseString(said.out()).getAsJsonObject();
        var has = json.getAsJsonObject("Features");
        var hashes = json.get("Hashes") instanceof JsonArray all
                ? all.asList().stream()
                        .map(JsonElement::getAsString)
                        .filter(HASHES::contains)
                        .toList()
                : List.<String>of();
        return features = new Features(
                has.get("UnWrap").getAsBoolean() ? List.of() : hashes,
                has.get("BucketBased").getAsBoolean());
    }

    /** Writes the bytes of a file; a broken connection is resumed. */
    private void stream(String name, long bytes, OutputStream to) throws IOException {
        var have = 0L;
        var tries = 0;
        var words = "";
        while (have < bytes) {
            if (tries == TRIES) throw said(words);
            Interruption.pause(Duration.ofSeconds(tries));
            var process = program("cat", "--offset=" + have, "--count=" + (bytes - have), at(name)).start();
            try (var handle = Interruption.onSignal(() -> Program.kill(process)); var in = process.getInputStream()) {
                Interruption.check();
                process.getOutputStream().close();
                var err = new StringBuilder();
                var reader = Thread.ofPlatform().daemon().start(() -> err.append(text(process.getErrorStream())));
                var got = in.transferTo(to);
                reader.join();
                have += got;
                tries = got > 0 ? 1 : tries + 1;
                words = err.toString();
                process.waitFor();
                Interruption.check();
            } catch (IOException e) {
                Interruption.check(); // a stopped process's stream is closed
                throw e;
            } catch (InterruptedException e) {
                throw new Failure(new Problem.Interrupted(), e);
            } finally {
                Program.kill(process);
            }
        }
    }

    private static String text(InputStream in) {
        try {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException closedWhenKilled) {
            return "";
        }
    }

    private Program program(String... args) {
        return rclone.with(args).with(NEVER);
    }

    private Program.Output run(String... args) {
        try {
            var output = program(args).run();
            if (output.code() != 0) Interruption.check(); // a terminal's Ctrl-C reaches rclone too
            return output;
        } catch (Failure e) {
            throw e.problem() instanceof Program.Missing missing ? notInstalled(missing.program()).causedBy(e) : e;
        }
    }

    private static Failure notInstalled(String program) {
        return Failure.usage(program + " is not installed, or not on PATH (cron's is short); off-site copies need it")
                .next(
                        "apt install rclone, dnf install rclone, brew install rclone, or https://rclone.org/install/",
                        "or leave --remote out");
    }

    private void ok(String... args) {
        var output = run(args);
        if (output.code() != 0) throw said(output.err());
    }

    /** The last error, since each retry repeats it, without credentials. */
    private Failure said(String err) {
        var last = err.lastIndexOf("Failed to ");
        var words = (last < 0 ? err : err.substring(last)).strip();
        words = rclone.redact(words)
            .replaceAll("(?<=://)[^/\\s@\"]+@", "***@")         // user and password of a URL
            .replaceAll("(?<=[^\\s\"]{8})\\?[^\\s\"]*=[^\\s\"]*", "?…"); // the signature of a presigned URL
        return new Failure(
                new RemoteProblem.RcloneFailed(path, words.lines().limit(8).collect(Collectors.joining("\n"))));
    }

    // ---- hashes ------------------------------------------------------------------------------

    /** SHA-256 and the hashes that the remote has, in one pass. */
    private Map<String, String> digests(Path file) throws IOException {
        var digests = new LinkedHashMap<String, MessageDigest>();
        for (var kind : HASHES)
            if (kind.equals("sha256") || features().hashes().contains(kind))
                digests.put(kind, digest(kind.replace("sha", "SHA-")));
        var out = OutputStream.nullOutputStream();
        for (var digest : digests.values()) out = new DigestOutputStream(out, digest);
        try (var in = Files.newInputStream(file)) {
            var buffer = new byte[1 << 16];
            for (int n; (n = in.read(buffer)) >= 0; ) out.write(buffer, 0, n);
        }
        var hashes = new LinkedHashMap<String, String>();
        digests.forEach((kind, digest) -> hashes.put(kind, hex(digest)));
        return hashes;
    }

    private static String sha256(Path file) throws IOException {
        var digest = Disk.sha256Digest();
        try (var in = Files.newInputStream(file);
                var out = new DigestOutputStream(OutputStream.nullOutputStream(), digest)) {
            in.transferTo(out);
        }
        return hex(digest);
    }

    private static MessageDigest digest(String name) {
        try {
            return MessageDigest.getInstance(name);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e); // every JDK has these
        }
    }

    private static String hex(MessageDigest digest) {
        return HexFormat.of().formatHex(digest.digest());
    }
}
