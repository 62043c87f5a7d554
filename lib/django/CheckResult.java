package lib.django;

import java.util.List;

/**
 * The live project as Django sees it.
 *
 * @param oid       of the database that Django is connected to
 * @param unapplied migrations
 * @param drift     what makemigrations would write, beyond the baseline
 */
public record CheckResult(long oid, List<String> unapplied, List<String> drift) {}
