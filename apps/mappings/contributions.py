"""Record contributions of conversations and people to contacts.

Contributions mark their contacts, and `folds` computes the values of marked contacts. So recording
results locks no contact, and ten conversations of one contact cost one write of it.
"""

from collections.abc import Mapping as Map
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apps.accounts.actors import Actor
from apps.contacts.models import Contact


@dataclass(frozen=True, slots=True)
class NewResult:
    """A result that became current, with its values by analysis field.

    The mappings of the agent apply: the one whose prompts made the result.
    """

    conversation_id: int
    agent_id: int
    analysis: str
    values: Map[str, Any]
    by: str = ""


def contribute(results: Sequence[NewResult]) -> None:
    """Replace the contributions of conversations by those of their new current results.

    Call this in the transaction that makes the results current, with their conversations locked.
    It runs two statements for any number of results, and one if there are no mappings.
    """


def set_by_hand(*, contact: Contact, values: Map[str, Any], by: Actor) -> Contact:
    """Set fields of a contact: custom ones by name, names, ``email``, and ``phone_number``.

    None or an empty text empties a field. A value that equals the current one writes nothing.
    Later conversations can replace the values. Return the updated contact. Raise
    InvalidContactValues with a message per field.
    """
    return contact


def import_values(*, rows: Map[int, Map[str, Any]], by: Actor) -> None:
    """Record imported values: primary key of a contact → raw values by name of the field.

    A value that doesn't fit is recorded with its problem. Contacts are updated within seconds.
    """


def forget_conversations(conversation_ids: Sequence[int]) -> None:
    """Delete the contributions of these conversations, and the summaries made of them.

    Call this in the transaction that erases the conversations, with their locks, before deletion.
    """
