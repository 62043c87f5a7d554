package lib.error;

/** The exit codes, the same in every script. */
public enum ExitCode {
    DONE(0, "done"), FAILED(1, "failed; everything is as it was"), USAGE(2, "usage or configuration"),
    PARTLY(3,
        "done in part, or failed and not fully put back: the message names what is left and the next command"),
    REFUSED(4, "refused: a guard said no, nothing was touched"), BUSY(5, "busy: another run holds the lock"),
    INTERRUPTED(130, "interrupted; everything is as it was");

    public final int code;
    public final String meaning;

    ExitCode(int code, String meaning) {
        this.code = code;
        this.meaning = meaning;
    }
}
