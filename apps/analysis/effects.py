"""What an analysis sets off besides its result: contacts and webhooks.

A first analysis and an imported one tell everybody. A rerun, a backfill and a restored result
tell nobody, unless whoever started it asked for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models

from apps.core.errors import UserError


class Webhooks(models.TextChoices):
    """Which results are told to webhook endpoints."""

    OFF = "off", "None"
    CHANGED = "changed", "Only where a value changed"
    ALL = "all", "All"


class InvalidSideEffects(UserError):
    """Side effects that cannot be read; ``fields`` names what was wrong."""

    code = "invalid_side_effects"


@dataclass(frozen=True, slots=True)
class SideEffects:
    """The choices of a rerun and a backfill, at their defaults: contacts on, webhooks off.

    ``contacts`` is reserved: it is validated and shown again, and nothing reads it yet.
    """

    webhooks: str = Webhooks.OFF.value
    contacts: bool = True

    def as_dict(self) -> dict[str, Any]:
        """The form of the API, kept with a backfill."""
        return {"contacts": self.contacts, "webhooks": str(self.webhooks)}

    def tells(self, changed: Sequence[str], *, failed: bool = False) -> bool:
        """Whether this result, or failure, goes out to webhooks. A failure changes nothing."""
        if self.webhooks == Webhooks.CHANGED:
            return bool(changed) and not failed
        return self.webhooks == Webhooks.ALL


UNLESS_ASKED = SideEffects()
"""What reruns, backfills and restored results set off by themselves."""


def read_side_effects(given: Any) -> SideEffects:
    """Side effects from the API's body or a form, strictly; None or a missing key: the default.

    Raises InvalidSideEffects.
    """
    if given is None:
        return SideEffects()
    if not isinstance(given, Mapping):
        raise _invalid("side_effects must be an object with contacts and webhooks.")
    for name in given:
        if name not in {"contacts", "webhooks"}:
            raise _invalid(f"“{str(name)[:80]}” isn’t a side effect. Use contacts or webhooks.")
    contacts = given.get("contacts", True)
    if not isinstance(contacts, bool):
        raise _invalid("contacts must be true or false.")
    webhooks = given.get("webhooks", Webhooks.OFF.value)
    if webhooks not in Webhooks.values:
        raise _invalid(f"webhooks must be off, changed, or all, not “{str(webhooks)[:40]}”.")
    return SideEffects(webhooks, contacts)


def _invalid(sentence: str) -> InvalidSideEffects:
    return InvalidSideEffects(sentence, {"side_effects": sentence})
