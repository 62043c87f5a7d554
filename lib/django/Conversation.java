package lib.django;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonDeserializer;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import java.lang.reflect.RecordComponent;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.sql.SQLException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import lib.error.Failure;
import lib.process.Interruption;
import lib.process.Shell;
import lib.project.Interpreter;
import lib.project.Project;

/** Requests to the driver and its replies; conversation.py describes them. Not for several threads. */
final class Conversation {
    private final PythonCommand python;
    private final PythonProcess process;
    private final Consumer<String> progress;
    private final Gson json = new GsonBuilder().registerTypeHierarchyAdapter(Path.class,
            (JsonDeserializer<Path>) (text, type, context) -> here(text.getAsString())).create();
    private CodePaths paths;

    /**
     * Starts Python and, inside it, Django; returns at once.
     *
     * @param settingsModule null: manage.py and DJANGO_SETTINGS_MODULE decide
     * @param only           "settings": does not load the apps; null: loads everything
     * @param staging        a folder that the driver creates for new migrations; null: it finds a place itself
     */
    Conversation(PythonCommand python, String settingsModule, String only, Path staging, Consumer<String> progress) {
        this.python = python;
        this.progress = progress;
        paths = python.paths();
        var token = HexFormat.of().formatHex(new SecureRandom().generateSeed(16));
        process = new PythonProcess(python, token);
        var greeting = new JsonObject();
        greeting.addProperty("token", token);
        greeting.addProperty("staging", staging == null ? null : staging.toString());
        greeting.addProperty("root", python.root());
        greeting.addProperty("managePy", python.codeInImage() ? python.container().managePy() : null);
        greeting.addProperty("settings", settingsModule);
        greeting.addProperty("only", only);
        process.write(json.toJson(greeting) + "\n");
    }

    PythonProcess process() {
        return process;
    }

    /** The path here of a path that the driver named. */
    Path here(String path) {
        return paths.here(path);
    }

    /** @param doing for a failure's message: "migrating the new database" */
    <T extends Record> T ask(String doing, String command, Map<String, ?> arguments, Class<T> as) {
        var value = ask(doing, command, arguments);
        try {
            var names = Arrays.stream(as.getRecordComponents()).map(RecordComponent::getName).toList();
            if (value.getAsJsonObject().keySet().containsAll(names)) return json.fromJson(value, as);
        } catch (JsonParseException | IllegalStateException | UnsupportedOperationException
                 | NullPointerException ignored) {
            // malformed
        }
        throw process.malformed(doing);
    }

    JsonElement ask(String doing, String command, Map<String, ?> arguments) {
        Interruption.check();
        try (var handle = Interruption.onSignal(process::kill)) {
            return askUninterrupted(doing, command, arguments);
        }
    }

    /** No signal stops it. */
    JsonElement askUninterrupted(String doing, String command, Map<String, ?> arguments) {
        process.write(json.toJson(Map.of("do", command, "with", arguments)) + "\n");
        while (true) {
            try {
                var reply = JsonParser.parseString(process.reply(doing)).getAsJsonObject();
                switch (text(reply, "event")) {
                    case "answer" -> { return reply.get("value"); }
                    case "progress" -> progress.accept(reply.get("text").getAsString());
                    case "secrets" -> process.mask(strings(reply.getAsJsonArray("values")));
                    case "folder" -> paths = paths.and(reply.get("path").getAsString(), python.backend());
                    case "noDjango" -> throw noDjango(text(reply, "executable"),
                            reply.get("virtual").getAsBoolean(), text(reply, "folder"));
                    case "noManagePy" -> throw noManagePy(strings(reply.getAsJsonArray("looked")));
                    case "noSettings" -> throw noSettings(here(text(reply, "managePy")));
                    case "failed" -> throw failed(doing, reply.getAsJsonObject("value"));
                    case null, default -> throw process.malformed(doing);
                }
            } catch (JsonParseException | ClassCastException | IllegalStateException | UnsupportedOperationException
                     | NullPointerException | StackOverflowError e) {
                throw process.malformed(doing);
            }
        }
    }

    private Failure noDjango(String executable, boolean virtual, String folder) {
        if (python.container() == null) {
            var root = here(python.root());
            var requirements = Interpreter.requirements(new Project(root, here(folder)));
            return new Failure(new DjangoProblem.NoDjango(executable, requirements.map(Path::toString).orElse(null),
                    virtual ? null : root.resolve("venv").toString()));
        }
        return Failure.usage("Django is not installed for " + executable + " in " + container())
                .next("name the service with Django: --app-service",
                        "or the interpreter in it that has Django: --python PATH",
                        "or add what is missing to its image, and build it again");
    }

    private String container() {
        return "the container of service " + python.container().service();
    }

    private static Failure noSettings(Path managePy) {
        return Failure.usage(managePy + " names no settings module, and DJANGO_SETTINGS_MODULE is not set")
                .next("give --settings MODULE");
    }

    private Failure noManagePy(List<String> looked) {
        return Failure.usage(container() + " has no manage.py below any of " + String.join(", ", looked))
                .next("name the service with Django: --app-service",
                        "or mount the code into it, or set its working_dir");
    }

    /** The message of Django or PostgreSQL, and the last line of the project's own code that ran. */
    private Failure failed(String doing, JsonObject value) {
        var words = text(value, "words");
        var what = new StringBuilder(words);
        for (var detail : strings(value.getAsJsonArray("details"))) what.append("\n  ").append(detail);
        if (text(value, "file") != null) {
            var line = value.get("line").getAsInt();
            var source = text(value, "source");
            what.append("\n  in ").append(here(text(value, "file")));
            if (line > 0) what.append(":").append(line);
            if (!source.isBlank()) what.append(": ").append(source);
        }
        what.append("\n  while ").append(doing);
        var failure = Failure.failed(what.toString())
                .causedBy(new PythonTraceback(text(value, "trace"), text(value, "state")));
        if (text(value, "refusedBy") != null)
            return failure.next("this is the project's own command (%s), which runs in place of Django's: "
                    .formatted(text(value, "refusedBy")) + "do what it asks for, or take it away for the reset");
        if (words.contains("Error loading psycopg"))
            return failure.next("install PostgreSQL's driver into the project's interpreter: "
                    + Shell.line("python", "-m", "pip", "install", "psycopg[binary]"));
        if (words.startsWith("ModuleNotFoundError"))
            return failure.next("is this the project's interpreter, with all its requirements?"
                    + " name another: --python PATH");
        return failure;
    }

    /** For the stack trace that --verbose prints; has the SQLSTATE of an error of PostgreSQL. */
    private static final class PythonTraceback extends SQLException {
        PythonTraceback(String trace, String state) {
            super(trace, state);
        }

        @Override
        public synchronized Throwable fillInStackTrace() {
            return this;
        }
    }

    private static String text(JsonObject object, String name) {
        var value = object.get(name);
        return value == null || value.isJsonNull() ? null : value.getAsString();
    }

    private static List<String> strings(JsonArray values) {
        return values.asList().stream().map(JsonElement::getAsString).toList();
    }
}
