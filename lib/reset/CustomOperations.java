package lib.reset;

import java.io.IOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;
import lib.django.Description;
import lib.django.NewMigrations;
import lib.files.Text;
import lib.postgres.SchemaCatalog.Item;
import lib.postgres.SchemaCatalog.Kind;

/** The operations of the old migrations that makemigrations never writes and that the new migrations will not have. */
final class CustomOperations {
    /** Kinds whose name is that of their table, which migrations name for many other reasons. */
    private static final Set<Kind> WITHOUT_A_NAME = EnumSet.of(Kind.ROW_SECURITY, Kind.REPLICA_IDENTITY, Kind.CLUSTER,
            Kind.TABLESPACE, Kind.COLUMN_STORAGE, Kind.STATISTICS_TARGET, Kind.STORAGE_PARAMETER, Kind.PUBLICATION,
            Kind.GRANT, Kind.OWNER, Kind.COMMENT, Kind.SECURITY_LABEL);

    private final NewMigrations generated;
    private final List<Description.CustomOperation> all;
    /** The line of each word's first use, by word in lower case, by migration. */
    private final Map<String, Map<String, Integer>> words = new LinkedHashMap<>();

    /** Reads the files that have one. */
    CustomOperations(Description django, NewMigrations generated) {
        this.generated = generated;
        all = django.history().customOperations().stream().filter(one -> !generated.haveAllOf(one)).toList();
        var migrations = all.stream().map(CustomOperations::migration).collect(Collectors.toSet());
        for (var file : django.history().files()) {
            var migration = file.app() + "." + file.path().getFileName().toString().replaceFirst("\\.py$", "");
            if (migrations.contains(migration)) words.put(migration, words(file));
        }
    }

    private static Map<String, Integer> words(Description.MigrationFile file) {
        var lines = new HashMap<String, Integer>();
        try {
            var text = Files.readAllLines(file.path());
            for (int i = 0; i < text.size(); i++)
                for (var word : text.get(i).toLowerCase().split("[^\\w$]+")) lines.putIfAbsent(word, i + 1);
        } catch (IOException ignored) {
            // compiled, or in another encoding: then nothing is known to come from it
        }
        return lines;
    }

    private static String migration(Description.CustomOperation one) {
        return one.app() + "." + one.migration();
    }

    boolean isEmpty() {
        return all.isEmpty();
    }

    /**
     * Where an object that only the old database has may come from: "shop.0002_audit:14", the last migration with a
     * custom operation that names it and its table, and creates or alters something; or null.
     */
    String origin(Item item) {
        if (WITHOUT_A_NAME.contains(item.kind())) return null;
        var name = item.name().toLowerCase().replaceFirst("\\(.*", "");
        var relation = item.relation() == null ? name : item.relation().toLowerCase();
        String origin = null;
        for (var file : words.entrySet()) {
            var lines = file.getValue();
            var changesSchema = !Collections.disjoint(lines.keySet(), List.of("create", "alter", "comment"));
            if (changesSchema && lines.containsKey(name) && lines.containsKey(relation))
                origin = file.getKey() + ":" + lines.get(name);
        }
        return origin;
    }

    /** The operations that may have inserted rows, one line a migration. */
    List<List<String>> mayHaveInserted() {
        return byMigration(all.stream().filter(this::mayInsert).toList());
    }

    private boolean mayInsert(Description.CustomOperation one) {
        var inFile = words.getOrDefault(migration(one), Map.of()).keySet();
        return switch (one.operation()) {
            // SQL may also come from another file
            case "RunSQL" -> !Collections.disjoint(inFile, List.of("insert", "copy", "open", "read_text"));
            case "SeparateDatabaseAndState" -> !Collections.disjoint(inFile, List.of("insert", "copy", "runpython"));
            default -> !one.operation().matches("(Add|Remove|Create|Alter|Validate|Rename).*");
        };
    }

    /** The migration with its lines, and the operations. */
    private List<List<String>> byMigration(List<Description.CustomOperation> some) {
        var files = some.stream().collect(Collectors.groupingBy(CustomOperations::migration, LinkedHashMap::new,
                Collectors.toList()));
        return files.entrySet().stream().map(file -> List.of(
                file.getKey() + ":" + joined(file.getValue(), ",", one -> "" + one.line()),
                joined(file.getValue(), "; ", one -> one.operation()
                        + (generated.havePartOf(one) ? " (a part of it is carried) " : " ")
                        + Text.line(one.detail())))).toList();
    }

    /** The app, and its operations by kind: "2 RunPython, 1 RunSQL". */
    List<List<String>> byApp() {
        var apps = all.stream().collect(Collectors.groupingBy(Description.CustomOperation::app, LinkedHashMap::new,
                Collectors.groupingBy(Description.CustomOperation::operation, LinkedHashMap::new,
                        Collectors.counting())));
        var rows = new ArrayList<List<String>>();
        apps.forEach((app, kinds) -> rows.add(List.of(app, kinds.entrySet().stream()
                .map(kind -> kind.getValue() + " " + kind.getKey()).collect(Collectors.joining(", ")))));
        return rows;
    }

    /** Every operation, one line a migration. */
    List<List<String>> byMigration() {
        return byMigration(all);
    }

    int count() {
        return all.size();
    }

    private static <T> String joined(List<T> all, String separator, Function<T, String> text) {
        return all.stream().map(text).collect(Collectors.joining(separator));
    }
}
