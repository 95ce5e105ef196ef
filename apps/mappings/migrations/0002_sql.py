"""Mark contacts when a conversation or a value that it provided moves to them."""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION mappings_conversation_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE mappings_contribution SET at = NEW.sort_at
        WHERE conversation_id = NEW.id AND at <> NEW.sort_at;
    INSERT INTO mappings_pendingfold (contact_id)
        SELECT DISTINCT moved.id FROM unnest(ARRAY[OLD.contact_id, NEW.contact_id]) AS moved(id)
        WHERE moved.id IS NOT NULL
        AND EXISTS (SELECT 1 FROM mappings_contribution WHERE conversation_id = NEW.id);
    RETURN NULL;
END $$;

CREATE TRIGGER mappings_conversation_moved
    AFTER UPDATE OF contact_id, sort_at ON conversations_conversation
    FOR EACH ROW WHEN (OLD.contact_id IS DISTINCT FROM NEW.contact_id
        OR OLD.sort_at IS DISTINCT FROM NEW.sort_at)
    EXECUTE FUNCTION mappings_conversation_moved();

CREATE FUNCTION mappings_value_provided() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO mappings_pendingfold (contact_id) VALUES (NEW.id);
    RETURN NULL;
END $$;

CREATE TRIGGER mappings_value_provided
    AFTER UPDATE OF provided ON contacts_contact
    FOR EACH ROW WHEN (OLD.provided <> '{}' AND OLD.provided IS DISTINCT FROM NEW.provided)
    EXECUTE FUNCTION mappings_value_provided();
"""

BACKWARDS = """
DROP TRIGGER mappings_value_provided ON contacts_contact;
DROP FUNCTION mappings_value_provided();
DROP TRIGGER mappings_conversation_moved ON conversations_conversation;
DROP FUNCTION mappings_conversation_moved();
"""


class Migration(migrations.Migration):
    dependencies = [("mappings", "0001_initial")]

    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
