package lib.docker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.docker.ComposeConfig.Mount;
import lib.docker.ComposeConfig.Port;
import lib.docker.ComposeConfig.Service;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.project.EnvFile;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import support.Docker.Compose;
import support.Sample;

/** With each installed Compose; no engine is needed. */
class ComposeConfigTest {
    @TempDir Path temp;
    private Path root;

    @BeforeEach
    void project() throws IOException {
        root = Files.createDirectories(temp.toRealPath().resolve("crm"));
        Files.createDirectories(root.resolve("crm_backend"));
        Files.writeString(root.resolve("crm_backend/manage.py"), "");
        Files.createDirectories(root.resolve("crm-frontend")); // v1 checks that it exists
    }

    /** Like the project that the tool was made for. */
    private static final String CRM = """
        services:
          db:
            image: postgres:15-alpine
            container_name: crm_db
            volumes: ["postgres_data:/var/lib/postgresql/data/"]
            environment:
              POSTGRES_DB: ${DB_NAME:-crm_dev}
              POSTGRES_PASSWORD: ${DB_PASSWORD:?Please set DB_PASSWORD in .env file}
            ports: ["5432:5432"]
            healthcheck:
              test: ["CMD-SHELL", "pg_isready -U $${POSTGRES_USER:-crm_user}"]
          redis:
            image: redis:7-alpine
            command: redis-server --requirepass ${REDIS_PASSWORD:-x}
            ports: ["6379:6379"]
          backend:
            build: ./crm_backend
            volumes: ["./crm_backend:/app", "staticfiles:/app/static", "./crm_backend/media:/app/media"]
            ports: ["8000:8000"]
            env_file: ["./.env"]
            environment: [DJANGO_SETTINGS_MODULE=crm_backend.settings, DB_HOST=db]
            depends_on: {db: {condition: service_healthy}, redis: {condition: service_started}}
          frontend:
            build: {context: ./crm-frontend, args: {API: "http://localhost:8000"}}
            depends_on: [backend]
          celery_beat:
            build: ./crm_backend
            volumes: ["./crm_backend:/app"]
            env_file: ["./.env"]
            environment: [DB_HOST=db]
            depends_on: {db: {condition: service_healthy}, redis: {condition: service_started}, backend: {condition: \
        service_started}}
          celery_worker:
            build: ./crm_backend
            volumes: ["./crm_backend:/app"]
            env_file: ["./.env"]
            environment: [DB_HOST=db]
            depends_on: {db: {condition: service_healthy}, redis: {condition: service_started}, backend: {condition: \
        service_started}}
          nginx_proxy:
            image: nginx:alpine
            ports: ["80:80"]
            volumes: ["./nginx.conf:/etc/nginx/nginx.conf:ro", "./crm_backend/media:/app/media:ro", \
        "staticfiles:/srv/static:ro"]
            depends_on: [backend, frontend]
        volumes: {postgres_data: , staticfiles: }
        """;

    private static final List<Compose> INSTALLED = Stream.of(Compose.values()).filter(Compose::isThere).toList();

    /** A sample has one that is installed. */
    static List<Compose> composes() {
        return Sample.ALL || INSTALLED.isEmpty() ? List.of(Compose.values()) : Sample.of("Compose", INSTALLED, 1);
    }

    @ParameterizedTest
    @MethodSource("composes")
    void the_services_of_the_crm_are_recognized(Compose compose) throws IOException {
        env("DB_PASSWORD='pa55 word'\nREDIS_PASSWORD=x\n");
        var config = config(compose, CRM);
        var db = config.database("db", 5432).orElseThrow();
        var app = config.app(root.resolve("crm_backend")).orElseThrow();
        assertEquals("db", db.name());
        assertEquals("backend", app.name());
        assertEquals(Set.of("backend", "celery_beat", "celery_worker"), config.users(db, app));
        assertEquals(db, config.database("crm_db", 5432).orElseThrow());
        assertEquals(db, config.database("localhost", 5432).orElseThrow());
        assertEquals("pa55 word", db.environment().get("POSTGRES_PASSWORD"));
        assertEquals("pa55 word", app.environment().get("DB_PASSWORD"));
        assertFalse((config + " " + app).contains("pa55"), "shows a value");
    }

    @ParameterizedTest
    @MethodSource("composes")
    void every_notation_of_compose_files_is_read(Compose compose) throws IOException {
        env("FROM_FILE=x\n");
        var config = config(compose, """
            version: "3.8"
            services:
              db:
                image: postgres:15
                hostname: dbhost
                container_name: crm_db
                expose: ["5433"]
                ports: ["5432", "127.0.0.1:5434:5432", "[::1]:7000-7001:8000-8001/udp", {target: 9000, published: 9001}]
                environment: {NUMBER: 015.0, WORD: "true", DOLLAR: "a$$b$$$$c", EMPTY: "", FROM_FILE: , \
            FROM_NOWHERE_AT_ALL: , LINES: "a\\nb", COLON: "a: b # c", SAYS: "yes", OCTAL: "0o14"}
                networks: {default: {aliases: [pg, database]}}
              web:
                build: .
                links: ["db:thedb"]
                working_dir: /srv
                user: "1000:1000"
                environment: [LIST=a=b, EMPTY=]
                volumes: ["./crm_backend:/app:ro", "named:/v", "/anonymous", {type: bind, source: ./crm_backend, \
            target: /b, read_only: true}]
                healthcheck: {disable: true}
              host:
                image: busybox
                network_mode: host
                depends_on: [web]
                healthcheck: {test: ["CMD", "true"]}
            volumes: {named: }
            """);
        var db = config.service("db");
        assertEquals(Set.of("db", "dbhost", "crm_db", "pg", "database", "thedb"), db.hosts());
        assertEquals(Map.of("WORD", "true", "DOLLAR", "a$b$$c", "EMPTY", "", "FROM_FILE", "x", "LINES", "a\nb", "COLON",
                "a: b # c", "SAYS", "yes", "OCTAL", "0o14"),
                db.environment().entrySet().stream().filter(e -> !e.getKey().equals("NUMBER"))
                        .collect(Collectors.toMap(Map.Entry::getKey, Map.Entry::getValue)));
        assertTrue(db.environment().get("NUMBER").startsWith("15"), "the number is " + db.environment().get("NUMBER"));
        assertEquals(Set.of(new Port(0, 5432), new Port(5434, 5432), new Port(7000, 8000), new Port(7001, 8001),
                new Port(9001, 9000)),
                Set.copyOf(db.network().ports()));
        assertEquals(Set.of(5432, 5433, 8000, 8001, 9000), db.network().exposed());
        var web = config.service("web");
        assertEquals(root, web.build().context());
        assertNull(web.image());
        assertEquals(Map.of("LIST", "a=b", "EMPTY", ""), web.environment());
        assertEquals(Set.of("db"), web.dependsOn());
        var source = root.resolve("crm_backend").toString();
        assertEquals(Set.of(new Mount("bind", source, "/app", true), new Mount("volume", "named", "/v", false),
                new Mount("volume", null, "/anonymous", false),
                new Mount("bind", source, "/b", true)), Set.copyOf(web.mounts()));
        var host = config.service("host");
        assertTrue(host.network().sharesHost() && !web.network().sharesHost());
        assertEquals(Set.of("web"), host.dependsOn());
    }

    @ParameterizedTest
    @MethodSource("composes")
    void compose_itself_applies_overrides_and_profiles(Compose compose) throws IOException {
        Files.writeString(root.resolve("docker-compose.override.yml"),
                "version: '3.8'\nservices: {db: {environment: {A: '2'}}}\n");
        var yaml = "version: '3.8'\n"
                + "services: {db: {image: postgres, environment: {A: '1'}}, tools: {image: busybox, profiles:"
                + " [dev]}}\n";
        var config = config(compose, yaml);
        assertEquals("2", config.service("db").environment().get("A"));
        assertEquals(List.of("db"), config.services().stream().map(Service::name).toList());
        env("COMPOSE_PROFILES=other,dev\n");
        assertEquals(List.of("db", "tools"), config(compose, yaml).services().stream().map(Service::name).toList());
    }

    @ParameterizedTest
    @MethodSource("composes")
    void a_rejected_configuration_is_reported_with_composes_own_message(Compose compose) throws IOException {
        assertTrue(refused(compose, CRM).contains("Please set DB_PASSWORD"));
        env("DB_PASSWORD=x");
        assertTrue(refused(compose, "services: {db: {imag: a}}").contains("imag"));
        assertFalse(refused(compose, "services: {db: {image: [").isBlank());
        assertFalse(refused(compose, "version: '3.8'\nservices: {db: {image: a, ports: ['x']}}").isBlank());
    }

    @ParameterizedTest
    @MethodSource("composes")
    void the_reported_message_contains_no_secret(Compose compose) throws IOException {
        env("DB_PASSWORD=s3cr3t-in-file\n");
        refused(compose, "services: {db: {image: a, environment: {P: s3cr3t-literal, X: '${NOT_SET:?x}'}}}");
        if (compose == Compose.V1)
            assertTrue(docker(compose).compose("config").run().err()
                    .contains("s3cr3t"), "v1 no longer prints it: nothing was tested");
        refused(compose, "services: {db: {image: a, environment: {P: [s3cr3t-literal]}}}");
        refused(compose, "services: {db: {image: a, ports: ['x${DB_PASSWORD}']}}");
        for (var environment : List.of("{P: 'postgres://crm:s3cr3t${x@db/crm'}", "['P=s3cr3t${x']")) {
            refused(compose, "services: {db: {image: a, environment: %s}}".formatted(environment));
            assertTrue(docker(compose).compose("config").run().err()
                    .contains("s3cr3t"), () -> "it does not print it: nothing was tested with " + environment);
        }
        if (compose == Compose.V1) return; // it takes any .env
        for (var line : List.of("PA!SS=s3cr3t", "DB_PASSWORD=s3cr3t${cd", "DB_PASSWORD='s3cr3t",
                "DB_PASSWORD=\"s3cr3t\nX=1\n")) {
            env(line);
            refused(compose, "services: {db: {image: a}}");
            Files.move(root.resolve(".env"), root.resolve("other.env"), StandardCopyOption.REPLACE_EXISTING);
            refused(compose, "services: {db: {image: a, env_file: other.env}}");
            assertTrue(docker(compose).compose("config").run().err()
                    .contains("s3cr3t"), () -> "v2 does not print it: nothing was tested with " + line);
        }
    }

    @ParameterizedTest
    @MethodSource("composes")
    void a_warning_is_not_a_failure(Compose compose) throws IOException {
        assertEquals("", config(compose, "version: '3.8'\nservices: {db: {image: a, environment: {A: '${NOT_SET}'}}}")
                .service("db").environment().get("A"));
    }

    @ParameterizedTest
    @MethodSource("composes")
    void settings_that_compose_and_python_dotenv_read_differently_are_named(Compose compose) throws IOException {
        var v2 = compose == Compose.V2;
        var lines = Map.ofEntries(
                Map.entry("pa55word", false), Map.entry("'pa$$word'", false), Map.entry("'pa$word'", false),
                        Map.entry("pa#ss", false), Map.entry("pa #ss", false),
                Map.entry("\"pa ss\"", false), Map.entry("'pa\"ss'", false), Map.entry("", false),
                        Map.entry("\"a\\\"b\"", false), Map.entry("a\\b", false), Map.entry("${DB_USER}x", false),
                        Map.entry("\"${DB_USER}x\"", false), Map.entry("'it\\'s'", false),
                Map.entry("pa$$word", v2), Map.entry("pa$word", v2), Map.entry("\"pa$word\"", v2),
                        Map.entry("'${DB_USER}'", v2), Map.entry("'a\\\\b'", v2));
        var text = new StringBuilder("DB_USER=crm\nSECRET_KEY=a$$b\n");
        var expected = new TreeSet<String>();
        for (var line : lines.entrySet()) {
            var name = "DB_" + text.length();
            text.append(name).append('=').append(line.getKey()).append('\n');
            if (line.getValue()) expected.add(name);
        }
        env(text.toString());
        // the shell's variables do not count
        var file = EnvFile.read(root.resolve(".env"), Map.of("DB_USER", "from the shell"));
        assertEquals(expected, new TreeSet<>(ComposeReader.readDifferently(docker(compose), file)), text::toString);
    }

    @ParameterizedTest
    @MethodSource("composes")
    void a_file_that_compose_does_not_read_is_not_compared(Compose compose) throws IOException {
        env("DB_PASSWORD=pa$$word");
        var other = Files.writeString(root.resolve("crm_backend/.env"), "DB_PASSWORD=pa$$word");
        assertEquals(Set.of(), ComposeReader.readDifferently(docker(compose), EnvFile.read(other, Map.of())));
    }

    // ---- which service is which, with any Compose --------------------------------------------

    @Test
    void between_two_databases_the_host_decides_then_the_port() throws IOException {
        var config = any("""
            services:
              main: {image: "timescale/timescaledb-ha:pg15", ports: ["5433:5432"]}
              other: {image: "ghcr.io/pgvector/pgvector:pg16", ports: ["5434:5432"], hostname: vectors}
              exporter: {image: "prometheuscommunity/postgres-exporter"}
            """);
        assertEquals("other", config.database("vectors", 5432).orElseThrow().name());
        assertEquals("main", config.database("localhost", 5433).orElseThrow().name());
        var problem = assertThrows(Failure.class, () -> config.database("localhost", 5432)).problem();
        assertEquals(ExitCode.USAGE, problem.exit());
        assertEquals("several services have PostgreSQL: main, other", problem.what());
        assertEquals(List.of("name the one to use: --db-service main"), problem.next());
    }

    @Test
    void a_custom_image_is_recognized_by_its_port_or_folder_and_not_confused_with_the_app() throws IOException {
        var config = any("""
            services:
              store: {build: ./store, environment: {POSTGRES_PASSWORD: x}, volumes: ["d:/var/lib/postgresql/data"]}
              web: {build: ./crm_backend, environment: {POSTGRES_PASSWORD: x, POSTGRES_DB: x}}
            volumes: {d: }
            """);
        assertEquals("store", config.database("localhost", 5432).orElseThrow().name());
        assertEquals(Optional.empty(), any("services: {web: {image: nginx}}").database("localhost", 5432));
    }

    @Test
    void a_pooler_is_not_the_database_and_its_clients_use_the_database() throws IOException {
        var config = any("""
            services:
              db: {image: "bitnami/postgresql:15"}
              pool: {image: "edoburu/pgbouncer", environment: {DATABASE_URL: "postgres://crm:x@db:5432/crm"}}
              reports: {image: metabase, environment: {MB_DB_HOST: pool}}
              web: {build: ./crm_backend, environment: {DB_HOST: pool}}
              front: {image: nginx, environment: {UPSTREAM: "http://web:8000", NAME: dbase}, depends_on: [web, pool]}
            """);
        var db = config.database("pool", 6432).orElseThrow();
        assertEquals("db", db.name());
        assertEquals(Set.of("pool", "reports", "web"),
                config.users(db, config.app(root.resolve("crm_backend")).orElseThrow()));
        assertEquals(Set.of("pool", "reports", "web"), config.users(db, null));
        var names = List.of("pool", "db", "crm-db-1", "crm_db_1", "other-db-1", "pg.crm.example");
        assertEquals(List.of("pool", "db", "db", "db", "", ""), names.stream()
                .map(name -> config.named(name, "crm").map(Service::name).orElse("")).toList());
    }

    @ParameterizedTest
    @MethodSource("composes")
    void one_folder_may_have_several_images(Compose compose) throws IOException {
        var config = config(compose, """
            version: '3.8'
            services:
              db: {image: postgres}
              web: {build: ./crm_backend, depends_on: [db]}
              beat: {build: {context: ./crm_backend, dockerfile: ./Dockerfile}}
              proxy: {build: {context: ./crm_backend, dockerfile: nginx.Dockerfile}, ports: ["80:80"], depends_on: \
            [web]}
              docs: {build: {context: ./crm_backend, target: docs}, ports: ["8001:80"]}
              worker: {build: {context: ./crm_backend, target: worker}}
            """);
        assertEquals(Set.of("web", "beat", "worker"), config.users(config.service("db"), config.service("web")));
    }

    @Test
    void the_app_is_found_among_the_services_with_its_code() throws IOException {
        var backend = root.resolve("crm_backend");
        // a frontend and a proxy see the whole project and publish a port, but do not use the database
        assertEquals("web", any("""
            services:
              assets: {build: {context: ., dockerfile: assets/Dockerfile}, ports: ["3000:3000"]}
              db: {image: postgres}
              proxy: {image: nginx, volumes: [".:/srv"], ports: ["80:80"], depends_on: [web]}
              web: {build: ./crm_backend, depends_on: [db]}
            """).app(backend).orElseThrow().name());
        // without ports: the one that others depend on, then the one with the fewest dependencies
        assertEquals("web", any("""
            services: {a_worker: {build: ./crm_backend, depends_on: [web, redis]}, redis: {image: redis}, web: \
            {build: ./crm_backend, depends_on: [redis]}}
            """).app(backend).orElseThrow().name());
        assertEquals("web", any("""
            services: {a_worker: {build: ./crm_backend, depends_on: [redis]}, redis: {image: redis}, web: {build: \
            ./crm_backend}}
            """).app(backend).orElseThrow().name());
        assertEquals(Optional.empty(),
                any("services: {web: {build: ./elsewhere}, media: {image: nginx, volumes: ['./crm_backend/media:/m']}}")
                .app(backend));
    }

    @Test
    void a_project_behind_a_symbolic_link_is_the_same_project() throws IOException {
        var link = Files.createSymbolicLink(temp.resolve("link"), root);
        Files.writeString(root.resolve("docker-compose.yml"),
                "version: '3.8'\nservices: {web: {image: a, volumes: ['./crm_backend:/app']}}");
        var config = ComposeReader.read(new DockerCompose(anyCompose().compose(), anyCompose().engine(), anyCompose()
                .version(), link));
        for (var backend : List.of(link.resolve("crm_backend"), root.resolve("crm_backend")))
            assertEquals("web", config.app(backend).orElseThrow().name());
    }

    @Test
    void an_unknown_service_name_is_reported_with_the_names_that_exist() throws IOException {
        var problem = assertThrows(Failure.class, () -> any("services: {a: {image: x}, b: {image: x}}").service("c"))
                .problem();
        assertEquals(ExitCode.USAGE, problem.exit());
        assertEquals(List.of("the services are: a, b"), problem.next());
    }

    // ------------------------------------------------------------------------------------------

    private void env(String text) throws IOException {
        Files.writeString(root.resolve(".env"), text);
    }

    private ComposeConfig config(Compose compose, String yaml) throws IOException {
        Files.writeString(root.resolve("docker-compose.yml"), yaml);
        return ComposeReader.read(docker(compose));
    }

    private String refused(Compose compose, String yaml) throws IOException {
        var problem = assertThrows(Failure.class, () -> config(compose, yaml)).problem();
        assertEquals(ExitCode.USAGE, problem.exit());
        assertFalse(problem.what().contains("s3cr3t"), problem.what());
        return problem.what().lines().skip(1).collect(Collectors.joining("\n"));
    }

    private DockerCompose docker(Compose compose) throws IOException {
        assumeTrue(compose.isThere(), String.join(" ", compose.command()) + " does not work: Compose " + compose
                + " is not tested");
        var found = DockerCompose.find(root, Map.of("PATH", compose.onlyOn(temp.resolve("only " + compose))));
        assertEquals(compose == Compose.V1, found.v1());
        return found;
    }

    private DockerCompose anyCompose() throws IOException {
        return docker(Compose.V2.isThere() ? Compose.V2 : Compose.V1);
    }

    private ComposeConfig any(String yaml) throws IOException {
        Files.writeString(root.resolve("docker-compose.yml"), yaml);
        return ComposeReader.read(anyCompose());
    }
}
