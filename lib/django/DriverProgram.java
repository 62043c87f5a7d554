package lib.django;

import com.google.gson.Gson;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;

/** The Python program that runs in the project's interpreter. Its files are beside this class, and sent from memory. */
final class DriverProgram {
    private static final List<String> FILES = List.of("conversation", "describe", "generate", "migrate");

    private DriverProgram() {}

    /** What {@code python -c} gets: short, because a container's record shows it. */
    static String boot() {
        return source("boot");
    }

    /** The text that boot.py expects first on standard input. */
    static String files() {
        var sources = new LinkedHashMap<String, String>();
        for (var name : FILES) sources.put(name, source(name));
        var text = new Gson().toJson(sources);
        return "%08d%s".formatted(text.getBytes(StandardCharsets.UTF_8).length, text);
    }

    private static String source(String name) {
        try (var in = DriverProgram.class.getResourceAsStream(name + ".py")) {
            if (in == null)
                throw new IllegalStateException("lib/django/" + name + ".py is missing from the built program");
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
