package lib.backup.offsite;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import lib.error.ExitCode;
import lib.error.Failure;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Against a web server on loopback that records the requests. */
class PingTest {
    private static final String TOKEN = "5f7a0d3e-secret-token";
    private final List<String> heard = Collections.synchronizedList(new ArrayList<>());
    private final List<String> headers = Collections.synchronizedList(new ArrayList<>());
    private final List<Integer> answers = Collections.synchronizedList(new ArrayList<>());
    private final CountDownLatch over = new CountDownLatch(1);
    private volatile Duration slow = Duration.ZERO;
    private HttpServer server;

    @BeforeEach
    void serve() throws IOException {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(Executors.newVirtualThreadPerTaskExecutor());
        server.createContext("/", this::answer);
        server.start();
    }

    private void answer(HttpExchange exchange) throws IOException {
        var body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
        try {
            over.await(slow.toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            throw new IOException(e);
        }
        heard.add((exchange.getRequestMethod() + " " + exchange.getRequestURI() + " " + body).strip());
        headers.add(String.valueOf(exchange.getRequestHeaders().getFirst("Authorization")));
        exchange.sendResponseHeaders(answers.isEmpty() ? 200 : answers.removeFirst(), -1);
        exchange.close();
    }

    @AfterEach
    void stop() {
        over.countDown();
        server.stop(0);
    }

    private String url(String tail) {
        return "http://127.0.0.1:" + server.getAddress().getPort() + "/" + TOKEN + tail;
    }

    @Test
    void start_and_success_are_sent_in_this_order() {
        var ping = new Ping(url(""));
        slow = Duration.ofMillis(300); // the end is sent after the start was received
        ping.start();
        assertEquals(List.of(), heard, "it does not wait for the first response");
        slow = Duration.ZERO;
        assertEquals(List.of(), ping.success());
        assertEquals(List.of("GET /" + TOKEN + "/start", "GET /" + TOKEN), heard);
    }

    @Test
    void a_failure_is_sent_with_its_reason() {
        var ping = new Ping(url("/"));
        ping.start();
        assertEquals(List.of(), ping.fail(3, "the copy off-site failed:\n  kein Platz für 1 GB"));
        assertEquals(
                "POST /" + TOKEN + "/fail exit code 3\nthe copy off-site failed:\n  kein Platz für 1 GB",
                heard.getLast());
        assertEquals(2, heard.size());
        assertEquals(List.of(), new Ping(url("")).fail(1, "x".repeat(100_000)));
        assertTrue(heard.getLast().length() < 4100);
    }

    @Test
    void the_query_stays_at_the_end_and_a_password_becomes_a_header() {
        var ping = new Ping(url("/db%20crm?create=1&rid=a%26b").replace("http://", "http://me:pass%2Bword@"));
        ping.start();
        assertEquals(List.of(), ping.success());
        assertEquals(
                List.of(
                        "GET /" + TOKEN + "/db%20crm/start?create=1&rid=a%26b",
                        "GET /" + TOKEN + "/db%20crm?create=1&rid=a%26b"),
                heard);
        assertEquals(
                "Basic " + Base64.getEncoder().encodeToString("me:pass+word".getBytes(StandardCharsets.UTF_8)),
                headers.getFirst());
    }

    @Test
    void a_response_500_is_tried_once_more() {
        answers.add(500);
        assertEquals(List.of(), new Ping(url("")).success());
        assertEquals(2, heard.size());
    }

    @Test
    void a_failed_ping_is_a_warning_without_the_token() {
        answers.addAll(List.of(500, 503));
        warns(new Ping(url("")).success(), "HTTP status 503");
        answers.addAll(List.of(404, 404));
        warns(new Ping(url("")).fail(1, ""), "HTTP status 404");
        assertTrue(heard.size() <= 4, "no third try: " + heard);
    }

    @Test
    void a_server_that_refuses_or_is_unknown_is_a_warning() throws IOException {
        int free;
        try (var socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            free = socket.getLocalPort();
        }
        warns(new Ping("http://127.0.0.1:" + free + "/" + TOKEN).success(), "connection refused");
        var nowhere = new Ping("http://nobody.invalid/" + TOKEN, Duration.ofMillis(300))
                .success(); // a resolver may take long to fail
        warns(nowhere, nowhere.toString().contains("unknown host") ? "unknown host" : "no response");
    }

    @Test
    void a_server_that_does_not_speak_tls_is_a_warning() throws IOException {
        try (var plain = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            Thread.ofVirtual().start(() -> {
                while (true) {
                    try (var socket = plain.accept()) {
                        socket.getInputStream().read();
                        socket.getOutputStream()
                                .write("HTTP/1.1 400 Bad Request\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
                    } catch (IOException closed) {
                        return;
                    }
                }
            });
            warns(new Ping("https://127.0.0.1:" + plain.getLocalPort() + "/" + TOKEN).success(), "TLS");
        }
    }

    @Test
    void a_slow_server_delays_neither_the_start_nor_the_end() {
        slow = Duration.ofSeconds(30);
        var ping = new Ping(url(""), Duration.ofMillis(400));
        var begin = System.nanoTime();
        ping.start();
        assertTrue(millisSince(begin) < 300);
        var warnings = ping.success();
        assertEquals(2, warnings.size(), warnings.toString());
        assertTrue(millisSince(begin) < 4000, millisSince(begin) + " ms");
        for (var warning : warnings) warns(List.of(warning), "no response within 0.4 s");
    }

    @Test
    void a_server_that_answers_byte_by_byte_does_not_delay_it() throws IOException {
        try (var drip = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            Thread.ofVirtual().start(() -> {
                while (!drip.isClosed()) {
                    try {
                        var socket = drip.accept();
                        Thread.ofVirtual().start(() -> {
                            try (socket) {
                                for (var b : "HTTP/1.1 200 OK\r\nX: %s"
                                        .formatted("y".repeat(1000))
                                        .getBytes(StandardCharsets.US_ASCII)) {
                                    socket.getOutputStream().write(b);
                                    Thread.sleep(100);
                                }
                            } catch (IOException | InterruptedException gaveUp) {
                                // expected
                            }
                        });
                    } catch (IOException closed) {
                        return;
                    }
                }
            });
            var begin = System.nanoTime();
            warns(
                    new Ping("http://127.0.0.1:" + drip.getLocalPort() + "/" + TOKEN, Duration.ofMillis(400)).success(),
                    "no response");
            assertTrue(millisSince(begin) < 3000, millisSince(begin) + " ms");
        }
    }

    @Test
    void an_invalid_url_is_a_usage_error_that_does_not_show_it() {
        for (var bad : List.of(
                "",
                TOKEN,
                "ftp://hc.example/" + TOKEN,
                "file:///" + TOKEN,
                "http:" + TOKEN,
                "https:///" + TOKEN,
                "https://hc.example/" + TOKEN + " x",
                "https://hc.example/" + TOKEN + "|")) {
            var problem = assertThrows(Failure.class, () -> new Ping(bad), bad).problem();
            assertEquals(ExitCode.USAGE, problem.exit());
            assertFalse((problem.what() + problem.next()).contains(TOKEN), problem.what());
        }
        assertEquals(
                "https://hc.example/…",
                new Ping(" https://me:word@hc.example/" + TOKEN + "?x=" + TOKEN + "\n").toString());
    }

    private static void warns(List<String> warnings, String words) {
        assertEquals(1, warnings.size(), warnings.toString());
        assertTrue(warnings.getFirst().contains(words), warnings.getFirst());
        assertFalse(warnings.getFirst().contains(TOKEN), warnings.getFirst());
    }

    private static long millisSince(long begin) {
        return TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - begin);
    }
}
