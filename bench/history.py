"""A million conversations with results, made once and kept: what benchmarks of a long history use.

Some thousand conversations of four agents are made in Python and multiplied by SQL, with their
attributes, search words, and analyses. The cluster is kept in the folder that `BENCH_HISTORY`
names, for each number of rows, and copied for each benchmark, which may write as it likes. It is
made anew when a migration or this module has changed.
"""

import hashlib
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil

from bench.ground import DATA_DIR, services

ROWS, DAYS, SEEDS = 1_000_000, 90, 4_000
UNUSED_SECONDS = 24 * 3600
HISTORY = Path(
    os.environ.get("BENCH_HISTORY") or Path(tempfile.gettempdir()) / "debrief-bench-history"
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "topic": {
            "type": "string",
            "enum": ["billing", "technical", "cancellation", "sales", "delivery", "other"],
        },
        "resolved": {"type": "boolean"},
        "follow_up_needed": {"type": "boolean"},
        "priority": {"type": "string", "enum": ["low", "medium", "high"]},
        "overall_score": {"type": "integer", "minimum": 0, "maximum": 100},
        "amount": {"type": "number"},
        "compliance_issues": {"type": "array", "items": {"type": "string"}},
        "products": {"type": "array", "items": {"type": "string"}},
        "next_step": {"type": "string"},
    },
    "required": [],
}
_ISSUES = ["no greeting", "no consent", "wrong price", "rude", "no recap", "promise not allowed"]
_PRODUCTS = ["router", "mobile", "fiber", "tv", "roaming", "insurance", "tablet", "cloud"]
_CHINESE = [
    "发票三月扣了两次",
    "我想取消套餐",
    "路由器昨天坏了",
    "退款什么时候到账",
    "请问怎么升级光纤",
]
_CAMPAIGNS = ["spring", "renewal", "winback", "support", "upgrade", "survey"]


@contextmanager
def history(rows: int = 0) -> Iterator[psutil.Process]:
    """Start the services over a copy of the kept history; yields PostgreSQL's process."""
    rows = rows or int(os.environ.get("BENCH_ROWS") or ROWS)
    kept = HISTORY / f"{rows}-{_version()}"
    if not kept.is_dir():
        HISTORY.mkdir(parents=True, exist_ok=True)
        _drop_unused()
        with services(stopped=lambda: _keep(kept)):
            make_data(rows)
    kept.touch()
    _copy(kept, DATA_DIR / "postgres")
    with services() as postgres:
        yield postgres


def _drop_unused() -> None:
    """Delete histories that no benchmark has used for a day, of older migrations mostly."""
    for old in HISTORY.iterdir():
        if time.time() - old.stat().st_mtime > UNUSED_SECONDS:
            shutil.rmtree(old)


def _version() -> str:
    """Return a hash of what the kept data depends on."""
    here = Path(__file__)
    sources = [here, *here.parents[1].glob("apps/*/migrations/0*.py")]
    return hashlib.sha256(b"".join(p.read_bytes() for p in sorted(sources))).hexdigest()[:12]


def _keep(kept: Path) -> None:
    part = kept.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    _copy(DATA_DIR / "postgres", part)
    part.rename(kept)


def _copy(source: Path, target: Path) -> None:
    """Copy a cluster with its owner, which PostgreSQL insists on."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target, copy_function=_copy_file)
    for one in [source, *source.rglob("*")]:
        owner = one.stat()
        copied = target / one.relative_to(source)
        os.chown(copied, owner.st_uid, owner.st_gid)
        copied.chmod(owner.st_mode & 0o7777)


def _copy_file(source: str, target: str) -> str:
    return str(shutil.copyfile(source, target))


def make_data(rows: int = ROWS, *, days: int = DAYS, until: datetime | None = None) -> None:
    """Store so many conversations of the last days, with results of an earlier prompt."""
    from django.db import connection

    from tests.factories import edit_draft, make_agent

    until = until or datetime.now(UTC)
    agents = [make_agent(name=f"Line {n}", schema=SCHEMA) for n in range(4)]
    versions = [agent.versions.get() for agent in agents]
    seeds = min(rows, SEEDS)
    _make_seeds(versions, seeds, until, days)
    with connection.cursor() as cursor:
        # Foreign keys are not checked: each copy refers to what its original refers to.
        cursor.execute("SET session_replication_role = replica")
        indexes = _drop_indexes(cursor)
        for statement, values in _multiply(rows, seeds, until, days):
            cursor.execute(statement, values)
        for definition in indexes:
            cursor.execute(definition)
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute("VACUUM ANALYZE")
    for agent in agents:
        edit_draft(agent, instructions="Read every call with the rules of this quarter.")


TABLES = (
    "conversations_conversation",
    "conversations_attributes",
    "conversations_searchtext",
    "analysis_analysis",
)


def _drop_indexes(cursor: Any) -> list[str]:
    """Drop what is filled faster afterward; return the statements that bring it back."""
    cursor.execute(
        "SELECT i.indexname, i.indexdef FROM pg_indexes i WHERE i.tablename = ANY(%s)"
        " AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conname = i.indexname)",
        [list(TABLES)],
    )
    found = cursor.fetchall()
    for name, _ in found:
        cursor.execute(f'DROP INDEX "{name}"')
    return [definition for _, definition in found]


def _multiply(rows: int, seeds: int, until: datetime, days: int) -> list[tuple[str, list[Any]]]:
    """Return the statements that copy the seeds with their side rows, oldest first."""
    from apps.analysis.models import Analysis
    from apps.conversations.models import Conversation

    changed = {
        "public_id": "'conv_' || md5(c.id::text || ':' || k)",
        "external_id": "'x-' || c.id || '-' || k",
        "sort_at": "t.at",
        "created_at": "t.at + interval '5 minutes'",
        "started_at": "t.at",
        "ended_at": "t.at + c.duration_ms * interval '1 ms'",
        "analyzed_at": "CASE WHEN c.analyzed_at IS NOT NULL THEN t.at + interval '3 minutes' END",
        "duration_ms": "c.duration_ms + (random() * 9999)::int",
        "from_number": "'+1555' || lpad((random() * 9999999)::int::text, 7, '0')",
        # Which seed it copies, until the side rows are there.
        "language": "c.id::text",
    }
    copy = _copied("c", Conversation, changed)
    analysis = _copied(
        "a",
        Analysis,
        {"public_id": "'an_' || md5(c.id::text)", "conversation_id": "c.id"}
        | dict.fromkeys(("created_at", "started_at", "finished_at"), "c.analyzed_at"),
    )
    of_seed = "conversations_conversation c ON c.language = s.conversation_id::text"
    return [
        (
            (
                f"INSERT INTO conversations_conversation {copy} FROM generate_series(1, %s) AS k"
                " CROSS JOIN conversations_conversation c CROSS JOIN LATERAL (SELECT %s - random()"
                " * %s * interval '1 day' + c.id * interval '0 s' AS at) AS t"
                " ORDER BY t.at LIMIT %s"
            ),
            [-(-rows // seeds), until, days, rows - seeds],
        ),
        (
            (
                "INSERT INTO conversations_attributes"
                " (conversation_id, metadata, dynamic_variables)"
                " SELECT c.id, s.metadata, s.dynamic_variables"
                f" FROM conversations_attributes s JOIN {of_seed} ORDER BY c.id"
            ),
            [],
        ),
        (
            (
                "INSERT INTO conversations_searchtext (conversation_id, words, summary_words)"
                " SELECT c.id, s.words || array_to_tsvector(ARRAY[c.public_id,"
                " substr(c.from_number, 2), substr(c.to_number, 2)]), s.summary_words"
                f" FROM conversations_searchtext s JOIN {of_seed} ORDER BY c.id"
            ),
            [],
        ),
        (
            (
                f"INSERT INTO analysis_analysis {analysis} FROM analysis_analysis a"
                " JOIN conversations_conversation c ON c.language = a.conversation_id::text"
                " ORDER BY c.id"
            ),
            [],
        ),
        ("UPDATE conversations_conversation SET language = 'en' WHERE language <> 'en'", []),
        ("VACUUM FULL conversations_conversation", []),
    ]


def _copied(table: str, model: Any, changed: dict[str, str]) -> str:
    """Return columns and SELECT of a copy with some values changed."""
    columns = [str(f.column) for f in model._meta.concrete_fields if f.column != "id"]
    values = ", ".join(changed.get(name, f"{table}.{name}") for name in columns)
    return f"({', '.join(columns)}) SELECT {values}"


def _make_seeds(versions: Sequence[Any], seeds: int, until: datetime, days: int) -> None:
    from apps.analysis.models import Analysis
    from apps.conversations import search
    from apps.conversations.models import Attributes, Conversation, SearchText

    rng = random.Random(7)
    made = Conversation.objects.bulk_create(
        [_seed(rng, rng.choice(versions), n, until, days) for n in range(seeds)], batch_size=1000
    )
    Attributes.objects.bulk_create(
        Attributes(conversation=c, metadata=_metadata(rng)) for c in made
    )
    SearchText.objects.bulk_create(
        SearchText(
            conversation=c,
            words=search.vector([c.public_id, _said(rng)]),
            summary_words=search.vector([c.summary]),
        )
        for c in made
    )
    Analysis.objects.bulk_create(_analysis(c) for c in made if c.analyzed_at)


def _metadata(rng: random.Random) -> dict[str, Any]:
    return {
        "campaign": rng.choice(_CAMPAIGNS),
        "plan": rng.choice(["basic", "basic", "plus", "pro"]),
        "tier": rng.randint(1, 9),
    }


def _said(rng: random.Random) -> str:
    """Return words as a transcript has them: a few often, most rarely; one in ten is Chinese."""
    if rng.random() < 0.1:
        return " ".join(rng.choices(_CHINESE, k=3))
    spoken = (f"word{int(rng.paretovariate(0.6)) % 20_000}" for _ in range(60))
    return " ".join([*spoken, *(rng.choice(_PRODUCTS) for _ in range(3))])


def _analysis(c: Any) -> Any:
    from apps.analysis.models import Analysis

    return Analysis(
        conversation=c,
        config_id=c.analysis_config_id,
        agent_version_id=c.agent_version_id,
        trigger="initial",
        priority="live",
        state="succeeded",
        is_current=True,
        requested_by="system",
        output=c.analysis_data,
        field_order=list(c.analysis_data),
        messages_read=c.message_count,
        model=c.analysis_model,
        requests=1,
        attempts=1,
        input_tokens=c.prompt_tokens_est + 900,
        output_tokens=160,
        cost=c.analysis_cost,
        latency_ms=1_800,
        finished_at=c.analyzed_at,
    )


def _seed(rng: random.Random, version: Any, n: int, until: datetime, days: int) -> Any:
    from apps.conversations.models import AnalysisState, Conversation

    at = until - timedelta(days=rng.random() * days)
    values: dict[str, Any] = {
        "agent": version.agent,
        "agent_version": version,
        "channel": "voice",
        "route": str(version.agent_id),
        "external_id": f"seed-{n}",
        "sort_at": at,
        "started_at": at,
        "message_count": (messages := rng.randint(2, 60)),
        "prompt_tokens_est": messages * rng.randint(15, 40),
        "has_speech": True,
        "duration_ms": int(rng.lognormvariate(11.5, 0.8)),
        "language": "en",
        "direction": rng.choice(["inbound", "outbound"]),
        "from_number": "+15550100200",
        "to_number": f"+1555020030{rng.randrange(4)}",
        "disconnection_reason": rng.choice(["user_hangup", "agent_hangup", "call_transfer"]),
    }
    roll = rng.random()
    if roll < 0.03:
        code = rng.choice(["timeout", "invalid_output", "length"])
        state = {"analysis_state": AnalysisState.FAILED, "analysis_reason": code}
    elif roll < 0.1:
        code = rng.choice(["no_speech", "sampled_out", "too_short"])
        state = {"analysis_state": AnalysisState.SKIPPED, "analysis_reason": code}
    else:
        state = _result(rng, version, at)
    return Conversation(**values, **state)


def _result(rng: random.Random, version: Any, at: datetime) -> dict[str, Any]:
    summary = "The caller asked about an invoice that was charged twice in March. " * 4
    successful = rng.random() < 0.78
    sentiment = rng.choice(["Positive", "Neutral", "Neutral", "Negative", "Unknown"])
    data = {
        "call_summary": summary,
        "call_successful": successful,
        "user_sentiment": sentiment,
        "topic": rng.choice(SCHEMA["properties"]["topic"]["enum"]),
        "resolved": rng.random() < 0.7,
        "priority": rng.choice(["low", "medium", "high"]),
        "overall_score": min(100, int(rng.gauss(76, 14))),
        "next_step": rng.choice(["call back", "send invoice", "open a ticket", "nothing"]),
    }
    if rng.random() < 0.6:
        data["follow_up_needed"] = rng.random() < 0.2
    if rng.random() < 0.4:
        data["amount"] = round(rng.lognormvariate(4, 1), 2)
    if rng.random() < 0.25:
        data["compliance_issues"] = rng.sample(_ISSUES, rng.randint(1, 3))
    if rng.random() < 0.7:
        data["products"] = rng.sample(_PRODUCTS, rng.randint(1, 4))
    return {
        "analysis_state": "succeeded",
        "summary": summary,
        "successful": successful,
        "sentiment": sentiment,
        "analysis_data": data,
        "analysis_config_id": version.config_id,
        "outcome": "",
        "analysis_trigger": "initial",
        "analysis_model": "gpt-4.1-mini",
        "analysis_cost": Decimal("0.0021"),
        "analyzed_at": at + timedelta(minutes=3),
    }


if __name__ == "__main__":
    with history(int(sys.argv[1]) if len(sys.argv) > 1 else 0):
        print(HISTORY)
