"""S11 of docs/benchmarks.md: what a session takes in requests and tokens, and what was told before.

The conversations of ``../shared/data`` (or where DEBRIEF_DATA points), some of each file, are
taken in, previewed and backfilled with a fake model that counts tokens with the tokenizer of
OpenAI's models and caches beginnings as they do. The yardstick asks for each field by itself:
the same prompts with one field each, counted by the same tokenizer and not sent.
"""

import gzip
import json
import os
import statistics
import sys
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from bench.ground import services, until, workers

_PROJECT = Path(__file__).resolve().parents[1]
FOLDER = Path(os.environ.get("DEBRIEF_DATA") or _PROJECT.parent / "shared/data") / "conversations"
EACH = 150

INSTRUCTIONS = (
    "The line sells and supports bookings, orders and appointments. Topic: billing is anything "
    "about charges and refunds, technical_support a fault, sales a wish to buy or book, complaint "
    "a grievance that is none of these, general all else. Resolved means that the user had what "
    "they came for by the end. Judge sentiment by what the user says and how, not by the agent's "
    "tone. A follow-up is needed only where somebody promised one."
)
FIELDS = {
    "summary": {"type": "string", "description": "What happened, in one or two sentences."},
    "topic": {
        "type": "string",
        "enum": ["billing", "technical_support", "sales", "general", "complaint"],
        "description": "What it was mainly about.",
    },
    "resolved": {"type": "boolean", "description": "Whether the user's matter was settled."},
    "sentiment": {"type": "string", "enum": ["positive", "neutral", "negative"]},
    "follow_up_needed": {"type": "boolean", "description": "Whether somebody must come back."},
    "follow_up_notes": {"type": "string", "description": "What is to be done, and by whom."},
}
SCHEMA = {
    "type": "object",
    "properties": FIELDS,
    "required": ["summary", "topic", "resolved", "sentiment"],
}


@dataclass(frozen=True, slots=True)
class Corpus:
    """One file backfilled: input tokens estimated and counted, requests, conversations."""

    name: str
    conversations: int
    requests: int
    told: int
    counted: int
    cached: int
    one_by_one: int = 0

    @property
    def error(self) -> float:
        return self.told / self.counted - 1


def main() -> list[tuple[str, ...]]:
    """Backfill some of each file and answer the rows of the results table."""
    files = sorted(FOLDER.glob("*.jsonl.gz"))
    if not files:
        sys.exit(f"No conversations in {FOLDER}: set DEBRIEF_DATA.")
    from tests.fakes.fixtures import start

    with services():
        fake = start()
        fake.set(tokenizer="o200k")
        try:
            with workers(1, concurrency=32):
                corpora = [_measure(path, fake.url, SCHEMA) for path in files]
                long = _measure(files[0], fake.url, _many_fields())
        finally:
            fake.stop()
    return [_requests(corpora), _cached(corpora, long), _estimates(corpora)]


def _measure(path: Path, url: str, schema: dict[str, Any]) -> Corpus:
    """Take in, preview, backfill. The agent is of this file alone and its model too, so that no
    correction learnt from another file helps the estimate."""
    from django.db.models import Sum

    from apps.accounts.actors import Actor
    from apps.analysis.models import Analysis
    from apps.intake.services import ingest
    from apps.llm.models import Usage
    from apps.runs.options import Options
    from apps.runs.preview import make_preview
    from apps.runs.services import start
    from tests.factories import make_agent, make_model

    name = f"{path.name.removesuffix('.jsonl.gz')} {len(schema['properties'])}"
    with gzip.open(path, "rb") as file:
        lines = list(islice(file, EACH))
    channel = json.loads(lines[0])["channel"]
    model = make_model(name=name, base_url=url, api_key_env="FAKE_API_KEY", context_tokens=400_000)
    editor = {"instructions": INSTRUCTIONS}
    agent = make_agent(model=model, channel=channel, schema=schema, editor=editor)
    actor = Actor.system("bench")
    ingest(lines=lines, by=actor, default_agents={channel: agent}, source=name, analyze=False)
    params = {"agent": [agent.public_id]}
    told = make_preview(channel=channel, params=params, options=Options()).estimate.input_tokens
    run = start(channel=channel, params=params, options=Options(), by=actor)
    until(lambda: _ended(run), timeout=600, every=0.3)
    sums = Usage.objects.filter(backfill_id=run.public_id).aggregate(
        input=Sum("input_tokens"), cached=Sum("cached_tokens"), requests=Sum("requests")
    )
    done = Analysis.objects.current().filter(backfill_public_id=run.public_id)
    return Corpus(
        name,
        conversations=done.count(),
        requests=sums["requests"],
        told=told,
        counted=sums["input"],
        cached=sums["cached"],
        one_by_one=_one_by_one(agent),
    )


def _ended(run: Any) -> bool:
    """Whether the run has ended; wakes the runners as the scheduler would."""
    from apps.runs.tasks import sweep

    sweep()
    run.refresh_from_db()
    return bool(run.state == "completed")


def _one_by_one(agent: Any) -> int:
    """Input tokens of asking for each field by itself about the same conversations."""
    from rs_bpe.bpe import openai

    from apps.analysis import prompts
    from apps.conversations.models import Transcript

    count = openai.o200k_base().count
    said = [
        count("\n".join(prompts.message_line(m) for m in messages))
        for messages in Transcript.objects.filter(
            conversation__agent=agent, conversation__analysis_state="succeeded"
        ).values_list("messages", flat=True)
    ]
    single = _single_fields(agent.versions.get().config.parsed())
    constant = sum(count(prompts.constant_part(one)[0]) for one in single)
    return int(constant * len(said) + sum(said) * len(single))


def _single_fields(config: Any) -> list[Any]:
    """The same config once for each of its fields, with that field alone."""
    none = {"type": "object", "properties": {}}
    own = config.own_fields().items()
    return [
        *(replace(config, built_ins=(b,), schema=none) for b in config.built_ins),
        *(replace(config, built_ins=(), schema=none | {"properties": {k: v}}) for k, v in own),
    ]


def _many_fields() -> dict[str, Any]:
    """A schema that is long enough for a provider's prompt cache: twenty described fields."""
    properties = {
        f"check_{n}": {
            "type": "boolean",
            "description": f"Whether step {n} of the desk's list was done: greeting, name, "
            "number, reason, offer, price, consent, repeat, next step or goodbye.",
        }
        for n in range(20)
    }
    return {"type": "object", "properties": {**FIELDS, **properties}}


def _requests(corpora: list[Corpus]) -> tuple[str, ...]:
    conversations = sum(c.conversations for c in corpora)
    ours = sum(c.counted for c in corpora)
    one_by_one = sum(c.one_by_one for c in corpora)
    fields = len(SCHEMA["properties"]) + 3
    return (
        "S11",
        f"{conversations:,} real conversations, {fields} fields: requests and input tokens each",
        f"{sum(c.requests for c in corpora) / conversations:.3f}; {ours / conversations:,.0f}",
        f"a request for each field: {fields}; {one_by_one / conversations:,.0f}",
        f"{ours / one_by_one:.2f} of the tokens",
        "—",
        "one request",
    )


def _cached(corpora: list[Corpus], long: Corpus) -> tuple[str, ...]:
    short = sum(c.cached for c in corpora) / sum(c.counted for c in corpora)
    return (
        "S11",
        "share of input from the prompt cache: these fields; 20 more",
        f"{short:.0%}; {long.cached / long.counted:.0%}",
        "none below 1,024 tokens in common",
        "—",
        "—",
        "constant part first",
    )


def _estimates(corpora: list[Corpus]) -> tuple[str, ...]:
    worst = sorted(corpora, key=lambda c: -abs(c.error))
    named = ", ".join(f"{c.name.split()[0]} {c.error:+.1%}" for c in worst)
    whole = sum(c.told for c in corpora) / sum(c.counted for c in corpora) - 1
    median = statistics.median(abs(c.error) for c in corpora)
    return (
        "S11",
        f"input tokens told before, nothing learnt: {named}",
        f"{whole:+.1%} in all",
        "counted by o200k_base",
        f"{worst[0].error:+.1%} at worst, {median:.1%} median of the files",
        "—",
        "± 15 %",
    )
