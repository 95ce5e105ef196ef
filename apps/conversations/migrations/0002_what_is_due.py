"""When conversations are due: an analysis to be asked for, an open chat that counts as ended."""

from django.db import migrations, models

# Chats that are open already. Those of the API's own source are closed explicitly, and only then.
OPEN_CHATS = """
UPDATE conversations_conversation c
SET idle_at = coalesce(c.last_message_at, c.sort_at) + make_interval(secs => v.chat_idle_seconds)
FROM agents_agentversion v
WHERE v.id = c.agent_version_id AND c.channel = 'chat' AND c.source <> 'api'
  AND c.status IN ('registered', 'ongoing')
"""


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0002_frozen_rows'),
        ('contacts', '0001_initial'),
        ('conversations', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='conversation',
            name='analyze_at',
            field=models.DateTimeField(blank=True, help_text='It has ended, and its analysis is asked for by then; empty once it was.', null=True),
        ),
        migrations.AddField(
            model_name='conversation',
            name='idle_at',
            field=models.DateTimeField(blank=True, help_text='When an open chat counts as ended, should nobody write until then.', null=True),
        ),
        migrations.RunSQL(OPEN_CHATS, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name='conversation',
            index=models.Index(condition=models.Q(('analyze_at__isnull', False)), fields=['analyze_at'], name='conv_due'),
        ),
        migrations.AddIndex(
            model_name='conversation',
            index=models.Index(condition=models.Q(('idle_at__isnull', False)), fields=['idle_at'], name='conv_idle'),
        ),
        migrations.AddConstraint(
            model_name='conversation',
            constraint=models.CheckConstraint(condition=models.Q(('analyze_at', None), ('status__in', ('ended', 'not_connected', 'error')), _connector='OR'), name='conversation_due_ended'),
        ),
        migrations.AddConstraint(
            model_name='conversation',
            constraint=models.CheckConstraint(condition=models.Q(('idle_at', None), ('status__in', ('registered', 'ongoing')), _connector='OR'), name='conversation_idle_is_open'),
        ),
    ]
