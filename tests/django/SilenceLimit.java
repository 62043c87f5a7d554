package lib.django;

import java.time.Duration;

/** Tests do not wait five minutes for a Python that says nothing. */
public final class SilenceLimit {
    private SilenceLimit() {}

    public static Django of(int seconds, Django django) {
        return django.silenceLimit(Duration.ofSeconds(seconds));
    }
}
