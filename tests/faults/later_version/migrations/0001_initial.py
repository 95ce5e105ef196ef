"""Add a column to a table that workers write to all the time."""

from django.db import migrations


class Migration(migrations.Migration):
    initial = True
    dependencies = [("runs", "0002_sql")]
    operations = [
        migrations.RunSQL(
            "ALTER TABLE runs_runitem ADD COLUMN later text NOT NULL DEFAULT ''",
            "ALTER TABLE runs_runitem DROP COLUMN later",
        )
    ]
