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
import java.util.stream.StreamSupport;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Checkpoint;
import lib.files.Disk;
import lib.process.Interruption;
import lib.process.Program;
import lib.process.ProgramMissing;

/**
 * Backups off-site, on any remote of the {@code rclone} program: a file there is whole when its manifest, {@code NAME.json}, is
 * there, because that is uploaded last and removed first.
 */
public final class Remote {
    public static final String MANIFEST = ".json";
    private static final String PARTIAL = ".partial";
    private static final int NOT_FOUND = 3; // rclone's exit code for a missing folder
    private static final int LARGEST_TEXT = 64 << 20; // bytes; a manifest has a line a table
    private static final int TRIES = 3; // in a row without a byte
    /** The hashes that the JDK knows too, the strongest first. CRC-32 proves too little. */
    private static final List<String> HASHES = List.of("sha256", "sha1", "md5");
    /**
     * Ours unless the user has others: rclone's own patience with a dead server is many minutes. No bucket made by a slip.
     * <p>And no checksum kept by the uploader: rclone would hand us back our own hash of a multipart upload, which proves nothing.
     */
    private static final Map<String, String> SETTINGS = Map.of("RCLONE_CONTIMEOUT", "20s", "RCLONE_TIMEOUT", "2m", "RCLONE_RETRIES", "3", "RCLONE_LOW_LEVEL_RETRIES", "4",
        "RCLONE_INPLACE", "true", // from 1.63 on it has temporary names of its own, which a kill would leave
        "RCLONE_S3_NO_CHECK_BUCKET", "true", "RCLONE_S3_DISABLE_CHECKSUM", "true", "RCLONE_B2_DISABLE_CHECKSUM", "true", "RCLONE_AZUREBLOB_DISABLE_CHECKSUM", "true");
    private static final String[] NEVER = {"--ask-password=false", "--stats=0", "--log-format=", "--dry-run=false", "--interactive=false"};
    private static final String[] BRIEFLY = {"--contimeout=5s", "--timeout=10s", "--retries=1", "--low-level-retries=1"};
    private static final Pattern REMOTE = Pattern.compile("(?<name>:?[^/:]*):(?<rest>.*)", Pattern.DOTALL);

    private final Program rclone;
    private final String path;
    private final boolean local;
    private Features features;

    /** @param arrived when it was written there, by the remote's clock */
    public record RemoteFile(String name, long bytes, Instant arrived) {}

    /** How it is known that the remote holds the very bytes. @param hash of which kind, computed there; null: all was read back */
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
     * @param rclone the program alone, its RCLONE_CONFIG_ variables as secrets; RCLONE_ variables for anything else win over ours
     * @param path   a remote and a folder in it ({@code s3:bucket/crm}), or a folder of this machine
     * @throws Failure exit 2
     */
    public Remote(Program rclone, String path) {
        var remote = REMOTE.matcher(path);
        var windows = System.getProperty("os.name").startsWith("Windows");
        if (path.isBlank() || path.startsWith("-")) throw new Failure(new Problem.UnusableRemote(path, "no remote"));
        if (path.chars().anyMatch(Character::isISOControl)) throw new Failure(new Problem.UnusableRemote(path.replaceAll("\\p{Cntrl}", "?"), "a control character"));
        if (remote.matches() && remote.group("name").contains(","))
            throw new Failure(new Problem.UnusableRemote(path.substring(0, path.indexOf(',')) + ",…",
                "options belong in RCLONE_CONFIG_… variables: a command line can be read by every user of the machine"));
        this.path = path.length() > 1 && path.endsWith("/") ? path.replaceAll("(?<=.)/+$", "") : path;
        var program = rclone.with();
        SETTINGS.forEach(program::envIfAbsent);
        var certificates = System.getenv("AWS_CA_BUNDLE");
        if (certificates != null) { // up to 1.6x rclone cannot talk to S3 at all when it is set
            program.withoutEnv("AWS_CA_BUNDLE");
            program.envIfAbsent("RCLONE_CA_CERT", certificates);
        }
        this.rclone = program;
        this.local = !remote.matches() || windows && remote.group("name").length() == 1;
    }

    /** Before a backup begins: rclone is there, and the remote can be listed. @throws Failure exit 2; 1 when it is not ours to mend */
    public void require() {
        if (local && !Files.isDirectory(Path.of(path))) throw new Failure(new Problem.NoRemoteFolder(path));
        var listed = run("lsjson", "--files-only", "--no-modtime", "--no-mimetype", path);
        if (listed.code() != 0 && listed.code() != NOT_FOUND) throw said(listed.err());
        if (local || !features().buckets()) return;
        var parts = REMOTE.matcher(path);
        if (!parts.matches()) return;
        var bucket = parts.group("rest").replaceFirst("^/+", "").replaceFirst("/.*", "");
        if (bucket.isEmpty()) throw new Failure(new Problem.UnusableRemote(path, "no bucket"));
        // a folder that is not there yet and a bucket that is not there look the same
        if (listed.code() == NOT_FOUND && run("lsjson", "--no-modtime", "--no-mimetype", parts.group("name") + ":" + bucket).code() == NOT_FOUND)
            throw new Failure(new Problem.NoBucket(parts.group("name") + ":" + bucket));
    }

    /**
     * Uploads a backup: the data under a temporary name, renamed, proven; then the manifest likewise. What is there already and is
     * proven is not sent again.
     *
     * @param sha256 the data's, as the manifest says
     * @return how the data is known to be there
     * @throws Failure exit 3: the backup here is good; 1: it is not
     */
    public Proof upload(Path data, String sha256, Path manifest) {
        plain(data.getFileName().toString());
        try {
            var digests = digests(data);
            if (!digests.get("sha256").equals(sha256)) throw new Failure(new Problem.NotAsManifest(data.toString(), "it has changed since"));
            var ofManifest = digests(manifest);
            try {
                if (stat(manifest.getFileName().toString()).isPresent()) {
                    var there = proven(data, digests, manifest, ofManifest);
                    if (there.isPresent()) return there.get();
                    remove(manifest.getFileName().toString()); // while the data changes, nothing there may look whole
                }
                var proof = put(data, digests, data);
                put(manifest, ofManifest, data);
                return proof;
            } catch (Failure e) {
                if (e.problem() instanceof Problem.Interrupted || e.problem() instanceof Problem.UploadFailed) throw e;
                throw new Failure(new Problem.UploadFailed(data, path, words(e), null), e);
            }
        } catch (IOException e) {
            throw Failure.of(e);
        }
    }

    private Optional<Proof> proven(Path data, Map<String, String> digests, Path manifest, Map<String, String> ofManifest) throws IOException {
        try {
            prove(manifest, ofManifest);
            return Optional.of(prove(data, digests));
        } catch (Failure e) {
            if (e.problem() instanceof Problem.NotAsManifest) return Optional.empty();
            throw e;
        }
    }

    private Proof put(Path file, Map<String, String> digests, Path data) throws IOException {
        var name = file.getFileName().toString();
        var partial = name + PARTIAL;
        var begun = new ArrayList<>(List.of(partial));
        try {
            ok("copyto", "--ignore-times", file.toAbsolutePath().toString(), at(partial));
            Checkpoint.reached("uploaded " + partial);
            begun.add(name);
            ok("moveto", "--ignore-times", at(partial), at(name));
            return prove(file, digests);
        } catch (RuntimeException e) {
            var left = new ArrayList<String>();
            Interruption.uninterruptibly(() -> left.addAll(begun.stream().filter(this::stays).toList()));
            if (e instanceof Failure f && !left.isEmpty() && !(f.problem() instanceof Problem.Interrupted))
                throw new Failure(new Problem.UploadFailed(data, path, words(f), String.join(" and ", left)), f);
            throw e;
        }
    }

    private static String words(Failure e) {
        return e.problem() instanceof Problem.RemoteSaid said ? said.words() : e.problem().what();
    }

    /** Tries to remove what is not whole; the connection may be dead, so not for long. */
    private boolean stays(String name) {
        try {
            remove(name, BRIEFLY);
            return false;
        } catch (RuntimeException unreachable) {
            return true;
        }
    }

    /** That the file there has these bytes. @param digests of the one here */
    private Proof prove(Path file, Map<String, String> digests) throws IOException {
        var name = file.getFileName().toString();
        var bytes = Files.size(file);
        var there = stat(name).orElseThrow(() -> new Failure(new Problem.NotAsManifest(at(name), "it is not there")));
        if (there.bytes() != bytes) throw new Failure(new Problem.NotAsManifest(at(name), "%d bytes instead of %d".formatted(there.bytes(), bytes)));
        for (var kind : digests.keySet()) {
            var hash = there.hashes().get(kind);
            if (hash == null || hash.isEmpty() || !features().hashes().contains(kind)) continue;
            if (!hash.equalsIgnoreCase(digests.get(kind))) throw new Failure(new Problem.NotAsManifest(at(name), "its " + kind + " differs"));
            return new Proof(kind);
        }
        var read = Disk.sha256Digest();
        stream(name, bytes, new DigestOutputStream(OutputStream.nullOutputStream(), read));
        if (!hex(read).equals(digests.get("sha256"))) throw new Failure(new Problem.NotAsManifest(at(name), "what was read back differs"));
        return new Proof(null);
    }

    /** What lies in the folder itself; a folder that does not exist yet is empty. */
    public List<RemoteFile> list() {
        return entries(path, "--use-server-modtime").map(e -> e.map(file ->
            new RemoteFile(file.get("Name").getAsString(), file.get("Size").getAsLong(), OffsetDateTime.parse(file.get("ModTime").getAsString()).toInstant())).toList())
            .orElse(List.of());
    }

    /** A small text file: a manifest. */
    public String read(String name) {
        plain(name);
        var there = stat(name).orElseThrow(() -> new Failure(new Problem.NotAsManifest(at(name), "it is not there")));
        if (there.bytes() > LARGEST_TEXT) throw new Failure(new Problem.NotAsManifest(at(name), "%d bytes is too much for a manifest".formatted(there.bytes())));
        var text = new ByteArrayOutputStream();
        try {
            stream(name, there.bytes(), text);
        } catch (IOException e) {
            throw Failure.of(e);
        }
        return text.toString(StandardCharsets.UTF_8);
    }

    /** Removes a backup: its manifest first, so that what a broken connection leaves does not look whole. Nothing there is fine. */
    public void delete(String name) {
        plain(name);
        if (!name.endsWith(MANIFEST)) remove(name + MANIFEST);
        remove(name);
    }

    /**
     * Downloads a file to the folder under its own name, mode 0600, when it has this hash; a broken connection is taken up where it broke.
     *
     * @throws Failure nothing is left in the folder then
     */
    public Path fetch(String name, String sha256, Path folder) {
        plain(name);
        var file = folder.resolve(name);
        var partial = folder.resolve(name + PARTIAL);
        try {
            if (Files.exists(file)) {
                if (sha256(file).equals(sha256)) return file;
                throw new Failure(new Problem.Usage("%s is there already, and is another file than %s".formatted(file, at(name)), List.of("move it away, or give another folder: --dir DIR")));
            }
            var there = stat(name).orElseThrow(() -> new Failure(new Problem.NotAsManifest(at(name), "it is not there")));
            Files.deleteIfExists(partial);
            try (var channel = FileChannel.open(partial, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                Disk.setMode(partial, "rw-------");
                var read = Disk.sha256Digest();
                stream(name, there.bytes(), new DigestOutputStream(Channels.newOutputStream(channel), read));
                if (!hex(read).equals(sha256)) throw new Failure(new Problem.NotAsManifest(at(name), "its sha256 differs"));
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
            } catch (IOException sweptLater) {
                // the next one of this name replaces it
            }
        }
    }

    /** Removes what uploads that were cut short have left. @param ours whether a file of this name can be ours @return the names */
    public List<String> sweep(Predicate<String> ours, Instant olderThan) {
        var stale = list().stream().filter(file -> file.name().endsWith(PARTIAL) && file.arrived().isBefore(olderThan))
            .map(RemoteFile::name).filter(name -> ours.test(name.substring(0, name.length() - PARTIAL.length()))).toList();
        stale.forEach(this::remove);
        return stale;
    }

    /** The path alone: what opens it is in the environment. */
    @Override public String toString() {
        return path;
    }

    // ---- rclone ------------------------------------------------------------------------------

    private String at(String name) {
        return path.endsWith(":") || path.endsWith("/") ? path + name : path + "/" + name;
    }

    /** A name and nothing else: never another folder, never an option. */
    private static void plain(String name) {
        if (name.isBlank() || name.startsWith("-") || name.startsWith(".") || name.chars().anyMatch(c -> c == '/' || c == '\\' || Character.isISOControl(c)))
            throw new Failure(new Problem.NoFileName(name));
    }

    private void remove(String name, String... flags) {
        var done = run(Stream.concat(Stream.of("deletefile", "--retries=1", at(name)), Stream.of(flags)).toArray(String[]::new));
        if (done.code() != 0 && (flags.length > 0 && !done.err().contains("doesn't exist") || flags.length == 0 && stat(name).isPresent())) throw said(done.err());
    }

    private Optional<Stat> stat(String name) {
        return entries(at(name), "--hash", "--no-modtime").flatMap(Stream::findFirst).map(file -> {
            var hashes = new LinkedHashMap<String, String>();
            if (file.get("Hashes") instanceof JsonObject all) all.entrySet().forEach(hash -> hashes.put(hash.getKey().replace("-", "").toLowerCase(Locale.ROOT), hash.getValue().getAsString()));
            return new Stat(file.get("Size").getAsLong(), hashes);
        });
    }

    /** What lies there; empty when nothing does. */
    private Optional<Stream<JsonObject>> entries(String where, String... flags) {
        var listed = run(Stream.concat(Stream.of("lsjson", "--files-only", "--no-mimetype", where), Stream.of(flags)).toArray(String[]::new));
        if (listed.code() == NOT_FOUND) return Optional.empty();
        if (listed.code() != 0) throw said(listed.err());
        try {
            return Optional.of(StreamSupport.stream(JsonParser.parseString(listed.out()).getAsJsonArray().spliterator(), false).map(JsonElement::getAsJsonObject));
        } catch (JsonParseException | IllegalStateException e) {
            throw new Failure(new Problem.RemoteSaid(path, "it lists no JSON: " + listed.out().lines().findFirst().orElse("")), e);
        }
    }

    /** An overlay (hasher, chunker, compress) may answer with a hash that it remembers: only one that is computed counts. */
    private Features features() {
        if (features != null) return features;
        var said = run("backend", "features", path);
        if (said.code() != 0) return features = new Features(List.of(), false); // before 1.55 there is no such command: then all is read back
        var json = JsonParser.parseString(said.out()).getAsJsonObject();
        var has = json.getAsJsonObject("Features");
        var kinds = json.get("Hashes") instanceof JsonArray all ? all.asList().stream().map(JsonElement::getAsString).filter(HASHES::contains).toList() : List.<String>of();
        return features = new Features(has.get("UnWrap").getAsBoolean() ? List.of() : kinds, has.get("BucketBased").getAsBoolean());
    }

    /** Writes a file's bytes, in several goes when the connection breaks. */
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
            if (e.problem() instanceof ProgramMissing missing) throw new Failure(new Problem.RcloneMissing(missing.program()), e);
            throw e;
        }
    }

    private void ok(String... args) {
        var output = run(args);
        if (output.code() != 0) throw said(output.err());
    }

    /** Its last word, as the same comes once for each try, without what may open the remote to others. */
    private Failure said(String err) {
        var last = err.lastIndexOf("Failed to ");
        var words = (last < 0 ? err : err.substring(last)).strip();
        words = rclone.redact(words)
            .replaceAll("(?<=://)[^/\\s@\"]+@", "***@")         // user and password of a URL
            .replaceAll("(?<=[^\\s\"]{8})\\?[^\\s\"]*=[^\\s\"]*", "?…"); // the signature of a URL that stands for a permission
        return new Failure(new Problem.RemoteSaid(path, words.lines().limit(8).collect(Collectors.joining("\n"))));
    }

    // ---- hashes ------------------------------------------------------------------------------

    /** SHA-256 and whatever the remote knows, in one pass. */
    private Map<String, String> digests(Path file) throws IOException {
        var digests = new LinkedHashMap<String, MessageDigest>();
        for (var kind : HASHES)
            if (kind.equals("sha256") || features().hashes().contains(kind)) digests.put(kind, digest(kind.replace("sha", "SHA-")));
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
        try (var in = Files.newInputStream(file); var out = new DigestOutputStream(OutputStream.nullOutputStream(), digest)) {
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
