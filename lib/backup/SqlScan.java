package lib.backup;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.regex.Pattern;
import lib.backup.archive.Archive;
import lib.error.Failure;
import lib.error.Problem;

/**
 * Reads SQL before psql does: a dump made with {@code --create}, or by pg_dumpall, connects to the database it names and would
 * change that one, not the new one it is restored into. Within COPY's rows nothing is a command.
 */
final class SqlScan extends OutputStream {
    private static final int ENOUGH = 200; // bytes of a line that tell what it is
    private static final String BEGINS = "-- PostgreSQL database dump";
    private static final Pattern HARMLESS = Pattern.compile("\\\\(restrict|unrestrict|\\.)(\\s.*)?");
    private static final Pattern BEYOND = Pattern.compile("(?i)(CREATE|ALTER|DROP)\\s+(DATABASE|ROLE|USER(?!\\s+MAPPING)|TABLESPACE)\\b.*");
    private static final Pattern CONNECT = Pattern.compile(".*\\\\c(onnect)?(\\s.*)?"); // also behind a statement; psql's other words could stand in a text too
    private static final Pattern COPY = Pattern.compile("(?i)COPY\\s.*\\sFROM\\s+stdin.*");

    private final Path file;
    private final byte[] line = new byte[ENOUGH];
    private final byte[] last = new byte[ENOUGH];
    private int length;
    private boolean rows;
    private boolean statements;
    private boolean ofPgDump;
    private boolean whole;
    private long number = 1;

    SqlScan(Path file) {
        this.file = file;
    }

    @Override public void write(int one) throws IOException {
        write(new byte[] {(byte) one}, 0, 1);
    }

    @Override public void write(byte[] from, int start, int count) {
        for (int i = start; i < start + count; i++) {
            if (from[i] == '\n') {
                end();
                length = 0;
                number++;
                continue;
            }
            if (length < ENOUGH) line[length] = from[i];
            last[length % ENOUGH] = from[i];
            length++;
        }
    }

    private void end() {
        if (rows) {
            rows = !(length >= 2 && line[0] == '\\' && line[1] == '.' && (length == 2 || length == 3 && line[2] == '\r'));
            return;
        }
        if (length == 0) return;
        var first = line[0];
        if (first != '\\' && first != '-' && first != '/' && first != ' ' && first != '\t' && !Character.isLetter(first)) return;
        var text = new String(line, 0, Math.min(length, ENOUGH), StandardCharsets.UTF_8).stripTrailing();
        if (first == '-') {
            ofPgDump |= text.equals(BEGINS);
            whole |= text.equals(BEGINS + " complete");
            return;
        }
        statements = true;
        if (first == '\\' && !HARMLESS.matcher(text).matches() || CONNECT.matcher(text).matches() || BEYOND.matcher(text).matches()) throw new Failure(new Problem.ReachesBeyond(file, number, Archive.firstLine(text)));
        // COPY's column list may be long: what it ends with tells as well
        rows = text.regionMatches(true, 0, "COPY ", 0, 5) && (COPY.matcher(text).matches() || tail().matches("(?i).*FROM\\s+stdin\\b.*;\\s*"));
    }

    private String tail() {
        var n = Math.min(length, ENOUGH);
        var tail = new byte[n];
        for (int i = 0; i < n; i++) tail[i] = last[(length - n + i) % ENOUGH];
        return new String(tail, StandardCharsets.UTF_8);
    }

    /** psql takes the end of a file for the end of a table's rows, and says nothing. @throws Failure the file ends early */
    @Override public void close() {
        if (length > 0) end();
        length = 0;
        var early = rows ? "it ends within the rows of a table" : ofPgDump && !whole ? "it ends before pg_dump's last line" : !statements ? "it holds no SQL" : null;
        if (early != null) throw BadBackup.damaged(file, early);
    }
}
