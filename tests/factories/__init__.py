"""Objects for tests. Import them from here: ``from tests.factories import make_agent``.

``drafts`` is apart: it goes through the services, and is for tests of those.
"""

from .agents import (
    edit_draft,
    edit_prompt,
    make_agent,
    make_config,
    make_draft,
    make_model,
    make_version,
)
from .contacts import make_contact, make_contact_field, make_mapping
from .conversations import (
    HELLO,
    make_conversation,
    make_conversations,
    make_indexed_conversation,
)
from .crm import make_connection, make_push
from .derived import make_derived_field
from .follow_ups import make_follow_up, make_follow_up_rule
from .insights import make_email_report
from .people import client_as
from .spending import spend
from .webhooks import make_delivery, make_endpoint, make_event

__all__ = [
    "HELLO",
    "client_as",
    "edit_draft",
    "edit_prompt",
    "make_agent",
    "make_config",
    "make_connection",
    "make_contact",
    "make_contact_field",
    "make_conversation",
    "make_conversations",
    "make_delivery",
    "make_derived_field",
    "make_draft",
    "make_email_report",
    "make_endpoint",
    "make_event",
    "make_follow_up",
    "make_follow_up_rule",
    "make_indexed_conversation",
    "make_mapping",
    "make_model",
    "make_push",
    "make_version",
    "spend",
]
