package lib;

import java.util.Map;

/**
 * What looking has found, all that a plan is made of.
 *
 * @param id          of the run to be
 * @param old         the selected apps' migration files as they are
 * @param fresh       the new ones: text by path relative to the root
 * @param strategy    what will set the old tables aside
 */
public record Found(String id, Project project, Environment environment, Django.Description description, Look look,
                    Migrations old, Map<String, String> fresh, Strategy strategy) {}
