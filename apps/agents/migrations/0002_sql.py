"""Reject changes to published versions, configs, and saves in the database."""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION agents_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% rows are never changed or deleted', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER agents_config_frozen BEFORE UPDATE OR DELETE ON agents_analysisconfig
    FOR EACH ROW EXECUTE FUNCTION agents_refuse_change();

CREATE TRIGGER agents_save_frozen BEFORE UPDATE ON agents_configsave
    FOR EACH ROW EXECUTE FUNCTION agents_refuse_change();

CREATE TRIGGER agents_version_frozen BEFORE UPDATE OR DELETE ON agents_agentversion
    FOR EACH ROW WHEN (OLD.published_at IS NOT NULL) EXECUTE FUNCTION agents_refuse_change();
"""

BACKWARDS = """
DROP TRIGGER agents_version_frozen ON agents_agentversion;
DROP TRIGGER agents_save_frozen ON agents_configsave;
DROP TRIGGER agents_config_frozen ON agents_analysisconfig;
DROP FUNCTION agents_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("agents", "0001_initial")]

    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
