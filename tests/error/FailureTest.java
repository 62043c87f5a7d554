package lib.error;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import lib.error.ExitCode;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.sql.SQLException;
import java.util.List;
import org.junit.jupiter.api.Test;

class FailureTest {
    private static void is(String what, List<String> next, Exception e) {
        var problem = Failure.of(e).problem();
        assertEquals(what, problem.what());
        assertEquals(next, problem.next());
        assertEquals(ExitCode.FAILED, problem.exit());
    }

    @Test void errors_of_the_file_system_name_commands_that_can_be_pasted() {
        is("/srv/shop/x: permission denied",
            List.of("check who owns it and who may write: ls -ld /srv/shop /srv/shop/x"),
            new AccessDeniedException("/srv/shop/x"));
        is("/srv/my shop/x: No space left on device",
            List.of("make room there, then start again: df -h '/srv/my shop' shows how full it is"),
            new FileSystemException("/srv/my shop/x", null, "No space left on device"));
        is("/srv/shop/x: it is not there", List.of(), new NoSuchFileException("/srv/shop/x"));
    }

    @Test void errors_of_the_database_keep_its_sqlstate() {
        is("PostgreSQL: no such table", List.of(), new SQLException("no such table", "42P01"));
        assertEquals("42P01", Failure.of(new SQLException("no such table", "42P01")).problem().sqlState());
        assertNull(Failure.of(new IllegalStateException("a bug")));
    }
}
