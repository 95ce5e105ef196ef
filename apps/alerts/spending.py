"""Announce spending caps at 80% and where they are reached: on pages, by webhook, and by mail.

The sweep looks at the caps and stores the notice of pages in the cache, so that a page asks the
database nothing. Each announcement is one row, written with its event and
its mails in one transaction: whatever dies, it is sent once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from apps.accounts.models import Role, User
from apps.agents.models import Agent
from apps.core import shortcut_cache
from apps.core.display import money
from apps.core.payloads import moment
from apps.core.tasks import enqueue
from apps.llm.caps import CapState, cap_states
from apps.llm.models import SpendingCap
from apps.webhooks import outbox
from apps.webhooks.models import EventType
from apps.webhooks.outbox import NewEvent

from .models import CapNotice, Message, MessageKind

_KEY = "alerts:spending"
_KEPT_SECONDS = 300
"""The sweep stores the notice anew every few seconds. Without it, the notice ends."""
PATH = "costs/budgets/"


@dataclass(frozen=True, slots=True)
class SpendingNotice:
    """What every page says: the most urgent cap, with the name of its agent, and the others."""

    cap: CapState
    agent: str
    others: int = 0


def check_caps(now: datetime) -> int:
    """Announce the caps that reached a level, and store the notice of pages; how many are new."""
    announced = [cap for cap in cap_states(now) if cap.level]
    ids = {cap.agent_id for cap in announced} - {""}
    agents = {a.public_id: a for a in Agent.objects.filter(public_id__in=ids)} if ids else {}
    shortcut_cache.store({_KEY: _notice_of(announced, agents)}, _KEPT_SECONDS)
    return sum(_announce(cap, agents.get(cap.agent_id), now) for cap in announced)


def notice() -> SpendingNotice | None:
    """Return the notice of pages; None where there is none, or the cache is away."""
    found: SpendingNotice | None = shortcut_cache.find([_KEY]).get(_KEY)
    return found if found is not None and found.cap.is_current else None


def _notice_of(announced: Sequence[CapState], agents: dict[str, Agent]) -> SpendingNotice | None:
    if not announced:
        return None
    cap = max(announced, key=lambda one: (one.level, not one.agent_id, one.spent / one.limit))
    agent = agents.get(cap.agent_id)
    return SpendingNotice(cap, agent.name if agent else "", len(announced) - 1)


def _announce(cap: CapState, agent: Agent | None, now: datetime) -> bool:
    """Write the row of an announcement with its event and mails; whether it is a new one."""
    key = {
        "agent_id": cap.agent_id,
        "period": cap.period.value,
        "first_day": cap.first_day,
        "limit": cap.limit,
        "level": cap.level,
    }
    if CapNotice.objects.filter(**key).exists():
        return False
    to = _admins()
    try:
        with transaction.atomic():
            CapNotice.objects.create(**key, spent=cap.spent, mails=len(to), created_at=now)
            url = _url(cap)
            outbox.write([_event(cap, agent, url, now)])
            Message.objects.bulk_create(_mails(cap, agent, url, to, now))
            if to:
                enqueue("alerts.send", queue="outbound")
    except IntegrityError:  # another process announced it in this moment
        return False
    return True


def _admins() -> list[str]:
    """Return the addresses of the active admins, each once."""
    admins = User.objects.filter(Q(role=Role.ADMIN) | Q(is_superuser=True), is_active=True)
    found = admins.exclude(email="").order_by("pk").values_list("email", flat=True)
    return list({address.lower(): address for address in found}.values())


def _url(cap: CapState) -> str | None:
    sites = SpendingCap.objects.filter(agent_id=cap.agent_id).values_list("site_url", flat=True)
    site = sites.first()
    return f"{site.rstrip('/')}/{PATH}" if site else None


def _event(cap: CapState, agent: Agent | None, url: str | None, now: datetime) -> NewEvent:
    kind = EventType.BUDGET_REACHED if cap.is_reached else EventType.BUDGET_WARNING
    payload: dict[str, Any] = {
        "event": kind.value,
        "agent_id": cap.agent_id or None,
        "timestamp": moment(now),
        "budget": {
            "period": cap.period.value,
            "limit": f"{cap.limit:f}",
            "spent": f"{cap.spent:f}",
            "level": cap.level,
            "resets_at": moment(cap.resets_at),
        },
        "url": url,
    }
    return NewEvent(kind, payload, agent_id=agent.pk if agent else None)


def _mails(
    cap: CapState, agent: Agent | None, url: str | None, to: Sequence[str], now: datetime
) -> list[Message]:
    whose = f"{cap.name} of {agent.name}" if agent else cap.name
    state = "reached" if cap.is_reached else f"at {cap.level}%"
    lines = [f"{money(cap.spent)} of {money(cap.limit)} is spent.", _consequence(cap)]
    if url:
        lines += ["", url]
    return [
        Message(
            kind=MessageKind.EMAIL,
            address=address,
            subject=f"[Debrief] The {whose} is {state}"[:300],
            body="\n".join(lines) + "\n",
            not_before=now,
            created_at=now,
        )
        for address in to
    ]


def _consequence(cap: CapState) -> str:
    zone = timezone.localtime(cap.resets_at).tzname()
    resets = f"The cap resets on {cap.resets} {zone}."
    if cap.is_reached:
        return f"Paid work waits until then, or until an admin raises the cap. {resets}"
    return f"At 100%, paid work waits. {resets}"
