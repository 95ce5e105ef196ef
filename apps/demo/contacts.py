"""Contact fields and mappings of the demo, and the contacts that follow from them."""

from django.db.models import Max, Min, OuterRef, Subquery

from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.contacts.models import Contact, ContactField
from apps.contacts.services import create_field
from apps.conversations.models import Conversation
from apps.mappings.marked_contacts import fold_marked
from apps.mappings.models import Mapping, Mode
from apps.mappings.services import save_mapping

_FIELDS = (
    ("last_topic", "Last topic", "text"),
    ("refund_promised", "Refund promised", "boolean"),
    ("follow_up_date", "Follow-up date", "date"),
)
_MAPPINGS = (
    ("topic", "last_topic", ""),
    ("refund_promised", "refund_promised", "billing"),
    ("follow_up_date", "follow_up_date", "billing"),
)
"""Analysis field, contact field, and the key of the agent; empty for all agents."""


def create_mappings(agents: dict[str, Agent], *, by: Actor) -> None:
    """Create the missing contact fields and mappings, before the conversations arrive."""
    known = set(ContactField.objects.values_list("name", flat=True))
    for name, label, kind in _FIELDS:
        if name not in known:
            create_field(name=name, label=label, kind=kind, by=by)
    for analysis_field, contact_field, key in _MAPPINGS:
        agent = agents[key] if key else None
        if not Mapping.objects.filter(agent=agent, contact_field=contact_field).exists():
            save_mapping(
                agent=agent,
                analysis_field=analysis_field,
                contact_field=contact_field,
                mode=Mode.OVERWRITE,
                by=by,
            )


def complete_contacts(source: str) -> None:
    """Fold the contacts of the demo, and date them by their conversations."""
    while fold_marked():
        pass
    times = Conversation.objects.filter(contact=OuterRef("pk")).order_by().values("contact")
    Contact.objects.filter(conversations__source=source).update(
        created_at=Subquery(times.annotate(at=Min("created_at")).values("at")),
        updated_at=Subquery(times.annotate(at=Max("created_at")).values("at")),
    )
