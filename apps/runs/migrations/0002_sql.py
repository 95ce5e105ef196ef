"""Tie the analyses of a run item to the item's own conversation."""

from django.db import migrations

FORWARDS = """
ALTER TABLE runs_runitem ADD CONSTRAINT run_item_{column}_same_conversation
FOREIGN KEY (conversation_id, {column}_id)
REFERENCES analysis_analysis (conversation_id, id) DEFERRABLE INITIALLY DEFERRED
"""

BACKWARDS = """
ALTER TABLE runs_runitem DROP CONSTRAINT run_item_{column}_same_conversation
"""


class Migration(migrations.Migration):
    dependencies = [("analysis", "0001_initial"), ("runs", "0001_initial")]

    operations = [
        migrations.RunSQL(FORWARDS.format(column=column), BACKWARDS.format(column=column))
        for column in ("analysis", "previous_analysis")
    ]
