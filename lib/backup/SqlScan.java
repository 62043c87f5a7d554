package lib.backup;

import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.regex.Pattern;
import lib.backup.archive.Archive;
import lib.error.Failure;

/**
 * Reads SQL before psql does and refuses what would change anything but the new database: a dump of {@code --create} or
 * pg_dumpall connects to the database that it names. The rows of COPY contain no commands.
 */
final class SqlScan extends OutputStream {
    private static final int KEPT = 200; // bytes of a line's start and end: enough to tell what it is
    private static final String HEADER = "-- PostgreSQL database dump";
    private static final Pattern HARMLESS_COMMAND = Pattern.compile("\\\\(restrict|unrestrict|\\.)(\\s.*)?");
    private static final Pattern BEYOND_DATABASE =
            Pattern.compile("(?i)(CREATE|ALTER|DROP)\\s+(DATABASE|ROLE|USER(?!\\s+MAPPING)|TABLESPACE)\\b.*");
    /** Also behind a statement in the same line; psql's other commands could be part of a text there. */
    private static final Pattern CONNECT = Pattern.compile(".*\\\\c(onnect)?(\\s.*)?");
    private static final Pattern COPY = Pattern.compile("(?i)COPY\\s.*\\sFROM\\s+stdin.*");
    private static final String COPY_END = "(?i).*FROM\\s+stdin\\b.*;\\s*";

    private final Path file;
    private final byte[] start = new byte[KEPT];
    private final byte[] last = new byte[KEPT]; // a ring buffer
    private int length;
    private long lineNumber = 1;
    private boolean inRows;
    private boolean hasStatements;
    private boolean hasHeader;
    private boolean hasFooter;

    SqlScan(Path file) {
        this.file = file;
    }

    @Override public void write(int one) {
        write(new byte[] {(byte) one}, 0, 1);
    }

    @Override public void write(byte[] from, int at, int count) {
        for (int i = at; i < at + count; i++) {
            if (from[i] == '\n') {
                endLine();
                length = 0;
                lineNumber++;
                continue;
            }
            if (length < KEPT) start[length] = from[i];
            last[length % KEPT] = from[i];
            length++;
        }
    }

    private void endLine() {
        if (inRows) {
            var end = length >= 2 && start[0] == '\\' && start[1] == '.'
                    && (length == 2 || length == 3 && start[2] == '\r');
            inRows = !end;
            return;
        }
        if (length == 0 || !mayBeginStatement(start[0])) return;
        var text = new String(start, 0, Math.min(length, KEPT), StandardCharsets.UTF_8).stripTrailing();
        if (start[0] == '-') {
            hasHeader |= text.equals(HEADER);
            hasFooter |= text.equals(HEADER + " complete");
            return;
        }
        hasStatements = true;
        if (changesMore(text))
            throw Failure.refused("line %,d of %s would change more than the new database: %s"
                    .formatted(lineNumber, file, Archive.firstLine(text)))
                    .next("dump without --create and not with pg_dumpall, or remove such lines from the file");
        // The column list of COPY may be longer than the start that is kept.
        inRows = text.regionMatches(true, 0, "COPY ", 0, 5)
                && (COPY.matcher(text).matches() || lineEnd().matches(COPY_END));
    }

    private static boolean mayBeginStatement(byte first) {
        return "\\-/ \t".indexOf(first) >= 0 || Character.isLetter(first);
    }

    private static boolean changesMore(String text) {
        var command = text.startsWith("\\") && !HARMLESS_COMMAND.matcher(text).matches();
        return command || CONNECT.matcher(text).matches() || BEYOND_DATABASE.matcher(text).matches();
    }

    private String lineEnd() {
        var n = Math.min(length, KEPT);
        var end = new byte[n];
        for (int i = 0; i < n; i++) end[i] = last[(length - n + i) % KEPT];
        return new String(end, StandardCharsets.UTF_8);
    }

    /**
     * psql silently takes the end of a file for the end of a table's rows.
     *
     * @throws Failure failed (1): the file ends early
     */
    @Override public void close() {
        if (length > 0) endLine();
        length = 0;
        if (inRows) throw BadBackup.damaged(file, "it ends within the rows of a table");
        if (hasHeader && !hasFooter) throw BadBackup.damaged(file, "it ends before pg_dump's last line");
        if (!hasStatements) throw BadBackup.damaged(file, "it holds no SQL");
    }
}
