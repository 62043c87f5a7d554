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
import java.util.concurrent.atomic.AtomicReference;
import javax.net.ssl.SSLException;
import lib.Lib;
import lib.error.Failure;
import lib.error.Problem;
import lib.process.Interruption;

/**
 * A dead man's switch as healthchecks.io understands it: it hears of start, success and failure, and alarms when it hears nothing.
 * A ping that fails never fails the backup. The URL is a secret: whoever has it can say that all is well.
 */
public final class Ping {
    private static final Duration LIMIT = Duration.ofSeconds(10);
    private static final int LONGEST = 4000; // characters of a body; the services cut at 10 kB and more

    private final URI url;
    private final Duration limit;
    private final List<String> warnings = new ArrayList<>();
    private Thread starting;

    /** @throws Failure exit 2: no http or https URL */
    public Ping(String url) {
        this(url, LIMIT);
    }

    /** @param limit for each of two tries, from the name's look-up to the answer */
    public Ping(String url, Duration limit) {
        this.url = parse(url.strip());
        this.limit = limit;
    }

    private static URI parse(String text) {
        URI url;
        try {
            url = new URI(text);
        } catch (URISyntaxException e) { // its message holds the URL
            throw new Failure(new Problem.UnusablePing("…", "is no URL"));
        }
        var scheme = url.getScheme() == null ? "" : url.getScheme().toLowerCase(Locale.ROOT);
        if (!scheme.equals("http") && !scheme.equals("https")) throw new Failure(new Problem.UnusablePing("…", "begins with neither http:// nor https://"));
        if (url.getHost() == null) throw new Failure(new Problem.UnusablePing(scheme + "://…", "names no host"));
        return url;
    }

    /** Says that it begins, without waiting for an answer: the backup begins meanwhile. */
    public void start() {
        starting = Thread.ofPlatform().daemon().name("ping").start(() -> send("/start", null));
    }

    /** Says that all is well. @return what did not get through, a line each */
    public List<String> success() {
        return after("", null);
    }

    /** Says that it failed. @param text what happened, without secrets @return what did not get through */
    public List<String> fail(int exitCode, String text) {
        var body = "exit code " + exitCode + (text.isBlank() ? "" : "\n" + text.strip());
        return after("/fail", body.length() <= LONGEST ? body : body.substring(0, LONGEST) + "…");
    }

    private List<String> after(String what, String body) {
        try {
            if (starting != null) starting.join(); // the service must hear of the end last; the thread ends within its limits
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        send(what, body);
        synchronized (warnings) {
            return List.copyOf(warnings);
        }
    }

    private void send(String what, String body) {
        var said = once(what, body);
        if (said == null) return;
        Interruption.uninterruptibly(() -> Interruption.pause(Duration.ofMillis(500))); // also tells of a run that was interrupted
        said = once(what, body);
        if (said == null) return;
        synchronized (warnings) {
            warnings.add("the ping %s%s did not get through: %s".formatted(this, what, said));
        }
    }

    /** A try, given up after the limit whatever it is waiting for. @return null, or why it failed */
    private String once(String what, String body) {
        var said = new AtomicReference<String>();
        var open = new AtomicReference<HttpURLConnection>();
        var thread = Thread.ofPlatform().daemon().name("ping" + what).start(() -> said.set(exchange(what, body, open)));
        try {
            thread.join(limit);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        if (!thread.isAlive()) return said.get();
        if (open.get() != null) open.get().disconnect();
        return tooSlow();
    }

    private String exchange(String what, String body, AtomicReference<HttpURLConnection> open) {
        try {
            // the JDK's older client: half the start-up of the newer one
            var connection = (HttpURLConnection) at(what).toURL().openConnection();
            open.set(connection);
            connection.setConnectTimeout((int) limit.toMillis());
            connection.setReadTimeout((int) limit.toMillis());
            connection.setUseCaches(false);
            connection.setRequestProperty("User-Agent", "backup_database/" + Lib.VERSION);
            connection.setRequestProperty("Connection", "close");
            if (url.getUserInfo() != null)
                connection.setRequestProperty("Authorization", "Basic " + Base64.getEncoder().encodeToString(url.getUserInfo().getBytes(StandardCharsets.UTF_8)));
            if (body != null) {
                var bytes = body.getBytes(StandardCharsets.UTF_8);
                connection.setDoOutput(true);
                connection.setRequestMethod("POST");
                connection.setRequestProperty("Content-Type", "text/plain; charset=utf-8");
                connection.setFixedLengthStreamingMode(bytes.length); // or the JDK posts a second time by itself
                try (var out = connection.getOutputStream()) {
                    out.write(bytes);
                }
            }
            var code = connection.getResponseCode();
            connection.disconnect();
            return code / 100 == 2 ? null : "it answers " + code;
        } catch (IOException e) {
            return words(e);
        }
    }

    /** Never the message alone: a FileNotFoundException's is the URL. */
    private String words(IOException e) {
        return switch (e) {
            case UnknownHostException unknown -> "no such host";
            case SocketTimeoutException slow -> tooSlow();
            case ConnectException refused -> "connection refused";
            case SSLException tls -> "its certificate or TLS is not accepted";
            default -> e.getClass().getSimpleName();
        };
    }

    private String tooSlow() {
        return "no answer within %s s".formatted(limit.toMillis() / 1000.0);
    }

    /** The path goes on, the query stays behind it. */
    private URI at(String what) {
        var host = url.getRawAuthority().substring(url.getRawAuthority().lastIndexOf('@') + 1);
        var path = url.getRawPath() == null ? "" : url.getRawPath();
        if (!what.isEmpty()) path = path.replaceAll("/+$", "");
        return URI.create(url.getScheme() + "://" + host + path + what + (url.getRawQuery() == null ? "" : "?" + url.getRawQuery()));
    }

    /** As it may be shown. */
    @Override
    public String toString() {
        return url.getScheme() + "://" + url.getHost() + "/…";
    }
}
