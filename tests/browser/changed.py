"""A backfill that changed results, and a CRM connection, beside a running Debrief with its demo.

`DATA_DIR=… python -m tests.browser.changed`. All of it is written in one transaction, so that no
worker takes a part of it.
"""

import os
from typing import Any

import django


def main() -> None:
    """Add it all."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from django.db import transaction

    with transaction.atomic():
        _change()
        _connect()
        _rename()


def _change() -> None:
    """Complete a backfill of the Billing line that flips some values and fails sometimes."""
    from apps.agents.models import Agent
    from apps.analysis import record
    from apps.analysis.model_call import AnalysisOutcome
    from apps.conversations.models import Conversation
    from apps.llm.specs import TokenUsage
    from apps.runs import services
    from apps.runs.closing import close_finished
    from apps.runs.options import Options
    from tests.runs.completed import BY, SOURCE

    agent = Agent.objects.get(name="Billing line")
    services.start(
        channel="voice",
        params={"agent": [agent.public_id]},
        options=Options(include_analyzed=True),
        by=BY,
    )
    before = dict(Conversation.objects.values_list("pk", "analysis_data"))
    outcomes = []
    for number, job in enumerate(SOURCE.claim(1_000)):
        ending: dict[str, Any] = {"error_code": "timeout"}
        if number % 23:
            output = _flipped(before.get(job.conversation_id) or {}, number)
            ending = {"output": output, "messages_read": len(job.messages)}
        usage = TokenUsage(1_000, 0, 90)
        outcomes.append(AnalysisOutcome(job, usage=usage, requests=1, **ending))
    record.record(outcomes, settle=SOURCE.settle)
    close_finished()


def _flipped(output: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the output with some of its values changed."""
    changed = dict(output)
    for place, (name, value) in enumerate(sorted(output.items())):
        if (number + place) % 3:
            continue
        if isinstance(value, bool):
            changed[name] = not value
        elif isinstance(value, int | float):
            changed[name] = value + number % 4
        elif name == "call_summary":
            changed[name] = f"{value} Read again."
        elif number % 2:
            changed.pop(name)
    return changed


def _connect() -> None:
    """Add a connection with pushes in every state that no worker takes."""
    from django.utils import timezone

    from apps.contacts.models import Contact
    from apps.crm import services
    from apps.crm.models import Push, PushState
    from tests.runs.completed import BY

    connection, _ = services.create_connection(
        kind="http",
        wanted=services.Wanted(
            name="Customer database",
            settings={"url": "https://nowhere.invalid/contacts"},
            site_url="http://localhost",
            approval=True,
        ),
        by=BY,
    )
    states = {
        PushState.SENT: "",
        PushState.PARKED: "This contact isn’t in the CRM.",
        PushState.FAILED: "The endpoint returned 503 for 24 hours.",
        PushState.WAITING: "",
        PushState.DROPPED: "Rejected by Ada.",
    }
    for number, contact in enumerate(Contact.objects.order_by("-pk")[:30]):
        state = list(states)[number % len(states)]
        Push.objects.create(
            connection=connection,
            contact=contact,
            state=state,
            wanted={"last_topic": "Refund of a double charge", "refund_promised": True},
            before={"last_topic": "Plan price", "refund_promised": None},
            attempts=number % 4,
            message=states[state],
            request="" if state == PushState.WAITING else '{"type": "contact.changed"}',
            response="" if state == PushState.WAITING else '{"stored": true}',
            finished_at=None if state == PushState.WAITING else timezone.now(),
        )


def _rename() -> None:
    """Give the first contact with values a former email."""
    from apps.contacts.models import Contact

    contact = (
        Contact.objects.filter(fields__has_key="last_topic")
        .exclude(first_name="")
        .order_by("first_name")[0]
    )
    contact.aliases.create(email="ada.before@example.com")


if __name__ == "__main__":
    main()
