"""The demo: an invented provider's four agents and their conversations of the last 60 days.

The files in `data/` are written by hand; days are counted back from the moment of loading, so that
the demo is always fresh; ``{day+5}`` in a text is five days after its conversation.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.agents.services import create_agent, publish, save_draft
from apps.conversations.models import Conversation
from apps.intake.services import IngestReport, ingest

from .contacts import complete_contacts, create_mappings
from .costs import price_past_analyses
from .deliveries import add_deliveries
from .follow_ups import add_follow_ups
from .incidents import add_incident
from .people import office_time, person
from .reports import add_report
from .runs import add_runs
from .scorecards import add_scorecard

FOLDER = Path(__file__).parent / "data"
SOURCE = "demo"
_RELATIVE_DAY = re.compile(r"\{day([+-]\d+)\}")
_BY = Actor.system("demo data")


def load_demo(*, now: datetime | None = None) -> tuple[int, IngestReport]:
    """Load missing data. Return the number of new agents, and the report on the lines.

    ``now`` is the moment that everything is counted back from. A second call changes nothing,
    however much later.
    """
    now = timezone.localtime(now)
    described = json.loads((FOLDER / "agents.json").read_text(encoding="utf-8"))
    with transaction.atomic():
        before = Agent.objects.count()
        agents = {item["key"]: _agent(item, now.date()) for item in described}
        is_first = not Conversation.objects.filter(source=SOURCE).exists()
        if is_first:
            create_mappings(agents, by=_BY)
            add_scorecard(agents["billing"])
        # A demo asks no model by itself: nobody has agreed to what that would cost.
        report = ingest(lines=_lines(agents, now), by=_BY, source=SOURCE, analyze=False)
        price_past_analyses(SOURCE, by=_BY.label)
        if is_first:
            add_runs(agents, now)
        # They arrived when they ended, not when the demo was loaded.
        Conversation.objects.filter(source=SOURCE, started_at__isnull=False).update(
            created_at=Coalesce(F("ended_at"), F("started_at"))
        )
        if is_first:
            complete_contacts(SOURCE)
            add_follow_ups(agents, SOURCE, now)
            add_deliveries(agents["billing"], now)
            add_incident(agents["billing"], now)
            add_report(agents["billing"], now)
        return Agent.objects.count() - before, report


def _agent(described: Mapping[str, Any], today: date) -> Agent:
    external_id = f"demo-{described['key']}"
    if found := Agent.objects.filter(external_id=external_id).first():
        return found
    versions = described["versions"]
    first_day = max(version.get("published_day") or 0 for version in versions)
    made = office_time(today, first_day + 2)
    agent = create_agent(
        name=described["name"],
        channel=described["channel"],
        by=person(versions[0]["by"]),
        external_id=external_id,
        at=made,
    )
    for version in versions:
        day = version.get("published_day")
        saved = office_time(today, 1 if day is None else day) - timedelta(minutes=95)
        parts = {name: version[name] for name in ("analysis", "post_analysis", "columns")}
        by = person(version["by"])
        save_draft(agent=agent, changes=parts, by=by, at=max(saved, made))
        if day is not None:
            publish(
                agent=agent,
                by=by,
                title=version["title"],
                note=version["note"],
                at=office_time(today, day),
            )
    return agent


def _lines(agents: Mapping[str, Agent], now: datetime) -> Iterator[dict[str, Any]]:
    known = set(Conversation.objects.filter(source=SOURCE).values_list("external_id", flat=True))
    for key in agents:
        path = FOLDER / f"{key}.jsonl"
        if not path.exists():
            continue
        for text in path.read_text(encoding="utf-8").splitlines():
            described = json.loads(text)
            if described["key"] not in known:
                yield _line(json.loads(_dated(text, _started(described, now).date())), agents, now)


def _dated(text: str, day: date) -> str:
    """Return the line with ``{day+5}`` replaced by the date five days after its conversation."""
    return _RELATIVE_DAY.sub(lambda found: str(day + timedelta(days=int(found[1]))), text)


def _line(
    described: Mapping[str, Any], agents: Mapping[str, Agent], now: datetime
) -> dict[str, Any]:
    """Return one line of a demo file in the form of the bulk upload."""
    own = {"key", "agent", "version", "day", "time", "transfers"}
    agent = agents[described["agent"]]
    return {
        **{name: value for name, value in described.items() if name not in own},
        "external_id": described["key"],
        "agent_id": agent.public_id,
        "agent_version": described["version"],
        "channel": agent.channel,
        "started_at": _started(described, now).isoformat(),
        "transfers": [
            {
                "after_message": transfer["after_message"],
                "to_agent_id": agents[transfer["to_agent"]].public_id,
                "post_call_analysis_setting": transfer["post_call_analysis_setting"],
            }
            for transfer in described.get("transfers") or ()
        ],
    }


def _started(described: Mapping[str, Any], now: datetime) -> datetime:
    """The local day and time; one that would not be over by now is moved to the day before."""
    day = now.date() - timedelta(days=described["day"])
    started = timezone.make_aware(datetime.combine(day, time.fromisoformat(described["time"])))
    lasts = timedelta(milliseconds=described.get("duration_ms") or 0)
    return started - timedelta(days=1) if started + lasts > now else started
