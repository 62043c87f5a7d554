package lib.django;

import java.time.Duration;

/** So that tests do not wait five minutes for a Python that prints nothing. */
public final class SilenceLimit {
    private SilenceLimit() {}

    public static Django of(int seconds, Django django) {
        return django.silenceLimit(Duration.ofSeconds(seconds));
    }
}
