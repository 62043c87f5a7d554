package lib.project;

import lib.error.Failure;

/** The value of a setting and where it came from. The value may be a secret: no message shows it. */
record Setting(String value, String name, String where) {
    /** @param expected "a number" */
    Failure invalid(String expected) {
        return Failure.usage(name + " in " + where + " is invalid: expected " + expected).next("correct it there");
    }

    /** @param engine the value, or the part of it that is not secret */
    Failure notPostgres(String engine) {
        return Failure.refused("the database is not PostgreSQL: " + name + " in " + where + " says " + engine)
            .next("this tool is for PostgreSQL only; if that file is not the one Django reads, name it:"
                + " --env-file FILE");
    }

    /** Without the value. */
    @Override public String toString() {
        return name + " in " + where;
    }
}
