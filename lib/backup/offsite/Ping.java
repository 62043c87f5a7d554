package lib.backup.offsite;

import java.io.IOException;
import java.net.ConnectException;
import java.net.HttpURLConnection;
import java.net.SocketTimeoutException;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import javax.net.ssl.SSLException;
import lib.Lib;
import lib.error.Failure;
import lib.process.Interruption;

/**
 * Notifies a dead man's switch with the protocol of healthchecks.io: it gets start, success and failure, and alerts
 * when it gets nothing. A ping that fails never fails the backup. The URL is a secret: anybody who has it can report
 * success.
 */
public final class Ping {
    private static final Duration LIMIT = Duration.ofSeconds(10);
    private static final int LONGEST = 4000; // characters of a body; the services cut at 10 kB and more

    private final URI url;
    private final Duration limit;
    private CompletableFuture<List<String>> starting = CompletableFuture.completedFuture(List.of());

    /** @throws Failure usage: not an http or https URL */
    public Ping(String url) {
        this(url, LIMIT);
    }

    /** @param limit for each of two attempts, from the name look-up to the response */
    public Ping(String url, Duration limit) {
        this.url = parse(url.strip());
        this.limit = limit;
    }

    private static URI parse(String text) {
        URI url;
        try {
            url = new URI(text);
        } catch (URISyntaxException e) { // its message holds the URL
            throw unusable("…", "is not a URL");
        }
        var scheme = url.getScheme() == null ? "" : url.getScheme().toLowerCase(Locale.ROOT);
        if (!scheme.equals("http") && !scheme.equals("https"))
            throw unusable("…", "does not start with http:// or https://");
        if (url.getHost() == null) throw unusable(scheme + "://…", "has no host");
        return url;
    }

    /** @param shown of the URL, which is a secret */
    private static Failure unusable(String shown, String why) {
        return Failure.usage("--ping-url " + shown + " " + why)
                .next("give the whole URL of the check, as https://hc-ping.com/UUID, in single quotes");
    }

    /** Reports the start, without waiting for a response. */
    public void start() {
        starting = inThread(() -> send("/start", null));
    }

    /** Reports success. @return warnings, a line each */
    public List<String> success() {
        return after("", null);
    }

    /** Reports a failure. @param text what happened, without secrets @return warnings, a line each */
    public List<String> fail(int exitCode, String text) {
        var body = "exit code " + exitCode + (text.isBlank() ? "" : "\n" + text.strip());
        return after("/fail", body.length() <= LONGEST ? body : body.substring(0, LONGEST) + "…");
    }

    private List<String> after(String what, String body) {
        var warnings = new ArrayList<>(starting.join()); // the service must get the end last
        warnings.addAll(send(what, body));
        return warnings;
    }

    /** @return warnings */
    private List<String> send(String what, String body) {
        var error = attempt(what, body);
        if (error == null) return List.of();
        // Also after a run that was interrupted.
        Interruption.uninterruptibly(() -> Interruption.pause(Duration.ofMillis(500)));
        error = attempt(what, body);
        return error == null ? List.of() : List.of("the ping %s%s failed: %s".formatted(this, what, error));
    }

    /** Fails after the limit, also while it connects or looks up the host. @return null, or why it failed */
    private String attempt(String what, String body) {
        return inThread(() -> exchange(what, body))
                .completeOnTimeout(tooSlow(), limit.toMillis(), TimeUnit.MILLISECONDS).join();
    }

    private static <T> CompletableFuture<T> inThread(Supplier<T> work) {
        return CompletableFuture.supplyAsync(work, Thread.ofPlatform().daemon()::start);
    }

    private String exchange(String what, String body) {
        try {
            // The older client of the JDK starts in half the time of the newer one.
            var connection = (HttpURLConnection) at(what).toURL().openConnection();
            connection.setConnectTimeout((int) limit.toMillis());
            connection.setReadTimeout((int) limit.toMillis());
            connection.setUseCaches(false);
            connection.setRequestProperty("User-Agent", "backup_database/" + Lib.VERSION);
            connection.setRequestProperty("Connection", "close");
            if (url.getUserInfo() != null) {
                var user = Base64.getEncoder().encodeToString(url.getUserInfo().getBytes(StandardCharsets.UTF_8));
                connection.setRequestProperty("Authorization", "Basic " + user);
            }
            if (body != null) {
                var bytes = body.getBytes(StandardCharsets.UTF_8);
                connection.setDoOutput(true);
                connection.setRequestMethod("POST");
                connection.setRequestProperty("Content-Type", "text/plain; charset=utf-8");
                connection.setFixedLengthStreamingMode(bytes.length); // else the JDK repeats a POST on its own
                try (var out = connection.getOutputStream()) {
                    out.write(bytes);
                }
            }
            var code = connection.getResponseCode();
            connection.disconnect();
            return code / 100 == 2 ? null : "HTTP status " + code;
        } catch (IOException | RuntimeException e) {
            return describe(e);
        }
    }

    /** Never the message itself: that of a FileNotFoundException is the URL. */
    private String describe(Exception e) {
        return switch (e) {
            case UnknownHostException unknown -> "unknown host";
            case SocketTimeoutException slow -> tooSlow();
            case ConnectException refused -> "connection refused";
            case SSLException tls -> "TLS failed, or its certificate is not trusted";
            default -> e.getClass().getSimpleName();
        };
    }

    private String tooSlow() {
        return "no response within %s s".formatted(limit.toMillis() / 1000.0);
    }

    /** Appends to the path; the query stays last. */
    private URI at(String what) {
        var host = url.getRawAuthority().substring(url.getRawAuthority().lastIndexOf('@') + 1);
        var path = url.getRawPath() == null ? "" : url.getRawPath();
        if (!what.isEmpty()) path = path.replaceAll("/+$", "");
        return URI.create(url.getScheme() + "://" + host + path + what
                + (url.getRawQuery() == null ? "" : "?" + url.getRawQuery()));
    }

    /** Without the secret part. */
    @Override public String toString() {
        return url.getScheme() + "://" + url.getHost() + "/…";
    }
}
