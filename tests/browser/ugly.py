"""Data that spoils pages: `DATA_DIR=… python -m tests.browser.ugly`, beside a running Debrief.

Names of 200 characters from right to left, 60 fields, markup, emoji, one word of 10,000 letters,
nothing said at all, ids without an end, and a failure of every kind.
"""

import os
from datetime import timedelta
from typing import Any

import django

LONG_NAME = ("خط الفواتير والدعم الفني للعملاء في جميع الفروع والمناطق " * 4)[:199] + "!"
HTML = "<script>alert('x')</script><b>bold</b> {{ 7|add:1 }} {% csrf_token %} &amp; \u202e abc"
EMOJI = "👩🏽‍🚒🏳️‍🌈🇺🇳 né\u0301e 🤦🏿‍♂️" * 12
FIELDS = 60


def main() -> None:
    """Add it all; a second run adds only a second agent."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from apps.accounts.actors import Actor
    from apps.agents.services import create_agent, save_draft
    from apps.intake.services import ingest

    by = Actor.system("ugly data")
    agent = create_agent(name=LONG_NAME, channel="voice", by=by)
    save_draft(
        agent=agent,
        by=by,
        changes={"analysis": {"instructions": HTML * 40, "schema": _schema()}},
    )
    report = ingest(lines=list(_lines(agent.public_id)), by=by, source="ugly", analyze=False)
    assert not report.refused, report.errors
    _fail_in_every_way()
    _arrive()
    _tell()
    _pay(agent.public_id)
    _meet()
    connect()
    _react()


def _meet() -> None:
    """Add contacts with too much of everything, and one with nothing but a number."""
    from apps.accounts.actors import Actor
    from apps.contacts.models import Contact
    from apps.contacts.services import create_field
    from apps.mappings.directory.people import create_contact

    by = Actor.system(f"ugly data {LONG_NAME}")
    label = LONG_NAME[:100].strip()
    create_field(name="ugly", label=label, kind="text", by=by)
    choices = [f"{number} {LONG_NAME[:190].strip()}" for number in range(40)]
    create_field(name="ugly_choice", label=HTML[:90].strip(), kind="choice", choices=choices, by=by)
    for number in range(20):
        create_field(name=f"ugly_{number}", label=f"Field {number}", kind="text", by=by)
    values = {
        "phone_number": "+12025550190",
        "email": f"{'w' * 60}@{'x' * 60}.example.com",
        "first_name": LONG_NAME[:200].strip(),
        "last_name": EMOJI[:200].strip(),
        "ugly": f"{HTML} {'w' * 400}\n\n{EMOJI} " * 20,
        "ugly_choice": choices[0],
        **{f"ugly_{number}": HTML for number in range(20)},
    }
    create_contact(values=values, by=by)
    Contact.objects.create(phone_number="7" * 60, fields={"ugly": "w" * 2_000})


def connect() -> None:
    """Add a connection of each kind, with 200 pushes in every state and words without an end."""
    from django.utils import timezone

    from apps.accounts.actors import Actor
    from apps.contacts.models import Contact
    from apps.crm import services
    from apps.crm.models import CrmConnection, Push, PushState

    by = Actor.system("ugly data")
    for kind, name, settings in (
        (
            "http",
            LONG_NAME[:100].strip(),
            {"url": "https://nowhere.invalid/contacts", "secret": ""},
        ),
        ("hubspot", HTML[:90].replace("\u202e", "").strip(), {"access_token": "pat-na1-ugly"}),
    ):
        services.create_connection(
            kind=kind,
            wanted=services.Wanted(
                name=name, settings=settings, field_map={}, create_missing=False,
                log_conversations=False, approval=True, site_url="http://localhost",
            ),
            by=by,
        )  # fmt: skip
    CrmConnection.objects.filter(kind="hubspot").update(
        disabled_at=timezone.now(), disabled_cause="rejected", disabled_reason=f"401: {'w' * 900}"
    )
    hubspot, http = CrmConnection.objects.order_by("-pk")[:2]
    people = list(Contact.objects.order_by("-pk")[:40])
    states = [state for state in PushState.values if state != PushState.PENDING]
    for number in range(200):
        state = states[number % len(states)]
        if state == PushState.WAITING and number >= len(people):
            state = PushState.SENT
        Push.objects.create(
            connection=http if number % 7 else hubspot,
            contact=people[number % len(people)],
            state=state,
            wanted={"ugly": f"{HTML} {EMOJI}", "ugly_1": LONG_NAME, "first_name": None},
            before={"ugly": "W" * 900, "ugly_1": None, "first_name": "Ada"},
            attempts=number,
            message="" if state == PushState.WAITING else f"{HTML} {'w' * 400}",
            request="POST /contacts\n\n" + '{"long": "' + "y" * 2_000 + '"}',
            response=f"409 Conflict\n\n{HTML}",
            finished_at=None if state == PushState.WAITING else timezone.now(),
        )


def _react() -> None:
    """Add what comes after an analysis, named at length: scorecard, rules, incident, follow-ups."""
    from django.utils import timezone

    from apps.accounts.actors import Actor
    from apps.alerts.demo import create_demo_incident, create_demo_rule
    from apps.conversations.derived.services import save_derived_field
    from apps.conversations.models import Conversation
    from apps.follow_ups.models import FollowUp, FollowUpRule

    by = Actor.system("ugly data")
    when: dict[str, object] = {"field": "call_summary", "op": "contains", "value": "W" * 150}
    points = [{"label": f"{n} {LONG_NAME[:90]}", "points": 10, "when": when} for n in range(20)]
    save_derived_field(
        name=f"ugly_{'x' * 40}",
        label=LONG_NAME[:100].strip(),
        kind="number",
        channel="voice",
        agent=None,
        definition={"scorecard": {"points": points, "pass_mark": 60, "knock_outs": []}},
        by=by,
    )
    calls = list(Conversation.objects.filter(source="ugly"))
    for name in (LONG_NAME[:100].strip(), HTML[:90].replace("\u202e", "").strip()):
        rule = create_demo_rule(name=name, channel="voice", condition=when, by=by)
        create_demo_incident(rule=rule, conversations=calls, at=timezone.now())
    FollowUpRule.objects.create(document=when, reason_field="call_summary", updated_by=LONG_NAME)
    now = timezone.now()
    for number, call in enumerate(calls):
        FollowUp.objects.create(
            conversation=call,
            origin="person",
            reason=("W" * 400, LONG_NAME, HTML, EMOJI)[number % 4],
            note=("", "w" * 400)[number % 2],
            values={"call_summary": HTML, "list_of_things": ["W" * 400]},
            due_at=now + timedelta(days=(number - 5) * 40),
            created_by=LONG_NAME,
        )


def _pay(agent: str) -> None:
    """A month of requests: dear and almost free ones, of prices that nobody knows, of all kinds."""
    from decimal import Decimal

    from django.utils import timezone

    from apps.accounts.actors import Actor
    from apps.agents.models import Agent
    from apps.llm import ledger
    from apps.llm.caps import Caps, set_caps
    from apps.llm.models import Usage

    agents = [agent, *Agent.objects.values_list("public_id", flat=True)[:3], "agt_erased"]
    models = ("gpt-4.1-mini", f"ft:gpt-4.1-mini:{'w' * 120}", "a model without a price")
    kinds = [("analysis", trigger) for trigger in ("initial", "rerun", "backfill")]
    kinds += [("try_it", ""), ("accumulate", "")]
    ledger.write(
        Usage(
            at=timezone.now() - timedelta(hours=number * 2),
            purpose=kinds[number % 5][0],
            trigger=kinds[number % 5][1],
            model_name=models[number % 3],
            agent_id=agents[number % 4 if number % 11 else -1],
            conversation_id=f"conv_{number}",
            input_tokens=1_200 * (number % 7 + 1),
            cached_tokens=400,
            output_tokens=96,
            cost=None if number % 3 == 2 else Decimal(number % 13) ** 4 / 10**5,
        )
        for number in range(600)
    )
    caps = {
        "": Caps(month=Decimal("987654.32")),
        agent: Caps(Decimal("0.0001"), Decimal("0.50")),
        "agt_erased": Caps(month=Decimal("0.7")),
    }
    set_caps(caps, by=Actor.system(f"ugly data {LONG_NAME}"))


def _tell() -> None:
    """An endpoint with a name that is not found, and events that hold what spoils pages."""
    from django.db import transaction

    from apps.accounts.actors import Actor
    from apps.agents.models import Agent
    from apps.webhooks import outbox, services
    from apps.webhooks.models import EventType

    with transaction.atomic():
        services.create_endpoint(
            url=f"https://nowhere.invalid/{'x' * 300}?q=" + "%F0%9F%91%A9" * 40,
            events=EventType.values,
            agent=Agent.objects.filter(name=LONG_NAME).first(),
            by=Actor.system(LONG_NAME),
        )
        services.create_endpoint(
            url="https://nowhere.invalid/short",
            events=EventType.values,
            agent=None,
            by=Actor.system("ugly data"),
        )
        for kind in EventType:
            payload = {"event": kind.value, "html": HTML, "emoji": EMOJI, "long": "y" * 10_000}
            outbox.write([outbox.NewEvent(kind, payload)])


def _schema() -> dict[str, Any]:
    properties: dict[str, Any] = {
        f"field_{number:02}_{'x' * (number % 7 * 6)}": {
            "type": ("string", "boolean", "number", "integer")[number % 4],
            "description": HTML
            if number % 9 == 0
            else ("What was it, in a word? " * (number % 5)).strip(),
        }
        for number in range(FIELDS - 1)
    }
    properties["list_of_things"] = {"type": "array", "items": {"type": "string"}}
    return {"type": "object", "properties": properties, "required": list(properties)[:5]}


def _lines(agent: str) -> list[dict[str, Any]]:
    from django.utils import timezone

    now = timezone.now()

    def call(key: str, said: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {
            "agent_id": agent,
            "channel": "voice",
            "external_id": f"{key}-{'0123456789' * 12}",
            "status": "ended",
            "started_at": (now - timedelta(hours=len(key))).isoformat(),
            "duration_ms": 359_999_000,
            "from_number": "+15550100",
            "messages": said,
            "metadata": {HTML[:60]: HTML, "k" * 200: "v" * 5_000},
            **more,
        }

    ten_thousand = [{"role": "user", "content": "W" * 10_000}, {"role": "agent", "content": EMOJI}]
    everything = {
        "call_summary": (HTML + EMOJI) * 6,
        "call_successful": False,
        "user_sentiment": "Negative",
        "list_of_things": [HTML, EMOJI, "W" * 400, *map(str, range(60))],
        **{f"field_{n:02}_{'x' * (n % 7 * 6)}": "V" * 300 for n in range(0, 20, 4)},
    }
    person = {"first_name": LONG_NAME[:140], "last_name": "W" * 140, "phone_number": "+15550100"}
    return [
        call("markup", [{"role": "user", "content": HTML * 20}], analysis=everything),
        call("word", ten_thousand, contact=person, analysis={"call_summary": "W" * 3_000}),
        call("silent", []),
        call("many", [{"role": "agent", "content": f"{n} {EMOJI}"} for n in range(400)]),
        call("tool", [{"role": "tool_call", "content": '{"name": "' + "n" * 900 + '"}'}]),
        *(call(f"failed-{n}", [{"role": "user", "content": "Hello?"}]) for n in range(20)),
    ]


def _fail_in_every_way() -> None:
    from django.utils import timezone

    from apps.analysis.models import Analysis
    from apps.conversations.models import Conversation
    from apps.llm.errors import ErrorCode

    calls = Conversation.objects.filter(external_id__startswith="failed-")
    for call, code in zip(calls.select_related("agent_version"), ErrorCode.values, strict=False):
        Analysis.objects.create(
            conversation=call,
            config_id=call.agent_version.config_id,
            agent_version=call.agent_version,
            trigger="initial",
            state="failed",
            error_code=code,
            error_message=HTML * 3,
            raw_output='{"call_summary": "' + "cut " * 400,
            model="smollm2-135m-instruct",
            requested_by="ugly data",
            finished_at=timezone.now(),
        )
        Conversation.objects.filter(pk=call.pk).update(
            analysis_state="failed", analysis_reason=code
        )


def _arrive() -> None:
    """Sources of every platform, and payloads that spoil pages: long, marked up, broken, huge."""
    from apps.accounts.actors import Actor
    from apps.agents.services import create_agent
    from apps.conversations.models import Conversation
    from apps.intake.services import ingest
    from apps.platforms.models import IntakePayload, UploadChannel
    from apps.platforms.rejected_lines import storing_rejected
    from apps.platforms.sources import create_source, map_agent

    by = Actor.system("ugly data")
    sources = [
        create_source(kind=kind, name=name, secret="key_ugly", platform_analysis=rule, by=by)
        for kind, name, rule in (
            ("retell", "Retell, sales team", "ours"),
            ("vapi", LONG_NAME[:100], "wait"),
            ("elevenlabs", HTML[:100].replace("\u202e", ""), "theirs"),
        )
    ]
    create_source(kind="elevenlabs", name="Fresh", secret="", by=by)
    new = create_agent(name=f"Agent {'9' * 150}", channel="voice", by=by, unconfigured=True)
    for source in sources:
        map_agent(source=source, external_id=f"agent_{'a1b2' * 45}", agent=new, by=by)
    call = Conversation.objects.filter(source="ugly")[0]
    big = {"event": "call_analyzed", "call": {"transcript": f"{LONG_NAME} {HTML} " * 7_000}}
    refused = {"unknown_agent": HTML, "bad_signature": "The signature is wrong. " + "W" * 900}
    for number in range(60):
        code = ("", "unknown_agent", "bad_signature")[number % 3]
        IntakePayload.objects.create(
            source=sources[number % 3],
            body=big if number == 57 else {"event": HTML, LONG_NAME: [EMOJI, {"x": "W" * 3_000}]},
            event=("call_analyzed", HTML[:100], "e" * 100)[number % 3],
            external_id=f"call_{'0123456789' * 12}",
            state="refused" if code else "taken",
            code=code,
            reason=refused.get(code, ""),
            conversation=None if code else call,
        )
    with storing_rejected(UploadChannel.BULK, by=by, source="ugly") as keep:
        ingest(lines=[b"{", b"\xff\x00", b'{"channel": "fax"}'], by=by, on_refused=keep)


if __name__ == "__main__":
    main()
