"""Add a column, and then a rule that stored data can break."""

from django.db import migrations

ADD_RULE = """
ALTER TABLE conversations_conversation ADD CONSTRAINT later_rule CHECK (language <> 'xx')
"""


class Migration(migrations.Migration):
    dependencies = [("later_version", "0001_initial")]
    operations = [
        migrations.RunSQL(
            "ALTER TABLE conversations_conversation ADD COLUMN later text NOT NULL DEFAULT ''",
            "ALTER TABLE conversations_conversation DROP COLUMN later",
        ),
        migrations.RunSQL(
            ADD_RULE, "ALTER TABLE conversations_conversation DROP CONSTRAINT later_rule"
        ),
    ]
