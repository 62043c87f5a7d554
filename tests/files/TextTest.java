package lib.files;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.time.Duration;
import java.util.List;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class TextTest {
    @Test void a_duration_has_its_two_largest_units() {
        assertEquals(List.of("0 s", "59 s", "1 min", "59 min", "1 h", "26 h", "26 h 1 min", "2 d", "3 d 4 h"),
                Stream.of("PT0S", "PT59S", "PT1M12S", "PT59M59S", "PT1H", "PT26H", "PT26H1M", "P2D", "P3DT4H59M")
                        .map(Duration::parse).map(Text::duration).toList());
    }

    @Test void sizes_are_decimal_and_never_1000_of_a_unit() {
        assertEquals(List.of("0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "14.2 MB", "1.0 GB"),
            LongStream.of(0, 999, 1000, 999_949, 999_950, 14_200_000, 1_000_000_000).mapToObj(Text::size).toList());
    }

    @Test void counts_use_the_plural() {
        assertEquals(List.of("0 tables", "1 table", "1,200 tables"),
                Stream.of(0, 1, 1200).map(number -> Text.count(number, "table")).toList());
        assertEquals(List.of("2 indexes", "2 policies", "2 foreign keys", "2 operator classes", "2 statistics"),
                Stream.of("index", "policy", "foreign key", "operator class", "statistics")
                        .map(noun -> Text.count(2, noun)).toList());
    }

    @Test void folded_lines_keep_their_words_and_columns() {
        assertEquals("1. rename shop to\n   shop_before", Text.folded("1. rename shop to shop_before", 18, 3));
        assertEquals("  a  b  2 kB\n  /a/path/that/does/not/fit\n  end",
            Text.folded("  a  b  2 kB /a/path/that/does/not/fit end", 12, 2));
        assertEquals("as it is", Text.folded("as it is", 8, 3));
        assertEquals(List.of("a lon…", "a long", ""), List.of(Text.shortened("a longer", 6),
            Text.shortened("a long", 6), Text.shortened("", 6)));
    }

    @Test void a_line_has_no_control_characters() {
        assertEquals("a b?[31mc", Text.line(" a \n b\u001b[31mc "));
    }
}
