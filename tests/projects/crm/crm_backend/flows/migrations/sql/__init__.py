"""Statements of the data migrations, kept apart so that they can be read on their own."""

NUMBER_STEPS = """
UPDATE flows_flowstep AS step
   SET position = numbered.n
  FROM (SELECT id, row_number() OVER (PARTITION BY flow_id ORDER BY id) AS n FROM flows_flowstep) AS numbered
 WHERE numbered.id = step.id
"""
