"""Tie a restored analysis to one of the same conversation."""

from django.db import migrations

FORWARDS = """
ALTER TABLE analysis_analysis ADD CONSTRAINT analysis_restored_from_same_conversation
FOREIGN KEY (conversation_id, restored_from_id)
REFERENCES analysis_analysis (conversation_id, id) DEFERRABLE INITIALLY DEFERRED
"""

BACKWARDS = """
ALTER TABLE analysis_analysis DROP CONSTRAINT analysis_restored_from_same_conversation
"""


class Migration(migrations.Migration):
    dependencies = [("analysis", "0001_initial")]

    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
