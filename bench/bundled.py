"""Measure the bundled model on the demo's conversations, one after the other as a backfill does.

`python -m bench bundled` reads one agent's, `python -m bench.bundled AGENT NUMBER` others. Wall
time only counts on an idle machine, CPU time also on a busy one. Nothing is stored.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import Any

import psutil

from bench.ground import DATA_DIR, until

AGENT = "billing"


@dataclass(frozen=True, slots=True)
class Call:
    """One conversation's answer: seconds, CPU seconds of the server, tokens, and how it ended."""

    wall: float
    cpu: float
    output_tokens: int
    requests: int
    error: str


def main(agent: str = AGENT, number: int | None = None) -> list[tuple[str, ...]]:
    """Return the row of the table."""
    import django

    django.setup()
    calls = asyncio.run(_measure(agent, number))
    n = len(calls)
    wall, cpu = sum(call.wall for call in calls), sum(call.cpu for call in calls)
    cut = sum(call.error == "length" for call in calls)
    failed = sum(bool(call.error) for call in calls)
    return [
        (
            "bundled model",
            f"{n} conversations of the demo's {agent}",
            f"{wall / n:.1f} s each, {wall / 60:.1f} min; {cut} cut off, {failed} failed",
            f"{sum(c.output_tokens for c in calls) / n:.0f} tokens out",
            f"{sum(c.requests for c in calls) / n:.2f} requests",
            f"{cpu / n:.1f} s each",
            "74 in 5 min on 2 idle cores, none cut off",
        )
    ]


async def _measure(agent: str, number: int | None) -> list[Call]:
    from django.conf import settings

    from apps.llm.client import LlmClient
    from config.embedded import model, paths

    name, context = settings.BUNDLED_MODEL_NAME, settings.BUNDLED_MODEL_CONTEXT
    program = model.program(DATA_DIR, name=name, context=context)
    with program.open_log() as log:
        server = program.spawn(log)
    client = LlmClient()
    try:
        until(program.ready, timeout=60)
        settings.BUNDLED_MODEL_URL = paths.bundled_model_url(DATA_DIR)
        process = psutil.Process(server.pid)
        requests = _requests(agent, number)
        return [await _one(client, process, request) for request in requests]
    finally:
        await client.aclose()
        server.kill()
        server.wait(timeout=10)


async def _one(client: Any, process: psutil.Process, request: Any) -> Call:
    before, started = process.cpu_times(), time.monotonic()
    answer = await client.complete(request)
    after = process.cpu_times()
    cpu = after.user + after.system - before.user - before.system
    wall = time.monotonic() - started
    call = Call(wall, cpu, answer.usage.output, answer.requests, str(answer.error or ""))
    print(
        f"{wall:6.1f} s, {cpu:5.1f} s CPU, {answer.usage.input} ({answer.usage.cached} cached) in, "
        f"{call.output_tokens} out, {call.requests} requests {call.error} {answer.error_message}",
        file=sys.stderr,
    )
    return call


def _requests(agent: str, number: int | None) -> list[Any]:
    """Return the requests that a backfill of the agent's conversations would send."""
    from apps.agents.documents import resolve
    from apps.analysis.model_call import compiled, output_cap
    from apps.analysis.prompts import Facts, build, fence_word
    from apps.demo.loading import FOLDER
    from apps.llm.services import bundled_model
    from apps.llm.structured import StructuredRequest

    described = json.loads((FOLDER / "agents.json").read_text(encoding="utf-8"))
    item = next(item for item in described if item["key"] == agent)
    spec = bundled_model().spec()
    editor = {"model": spec.name, **item["versions"][-1]["analysis"]}
    config = resolve(channel=item["channel"], editor=editor, long_transcript="refuse")
    shape, cap = compiled(config.sha256(), config), output_cap(config, spec)
    lines = (FOLDER / f"{agent}.jsonl").read_text(encoding="utf-8").splitlines()
    spoken = [m for m in (json.loads(line)["messages"] for line in lines) if len(m) > 1]
    requests = []
    for messages in spoken[:number]:
        prompt = build(
            config,
            Facts(config.channel),
            messages,
            word=fence_word(),
            context_tokens=spec.context_tokens,
            output_tokens=cap,
            schema_tokens=shape.tokens,
        )
        requests.append(
            StructuredRequest(
                model=spec,
                messages=(
                    {"role": "system", "content": prompt.system},
                    {"role": "user", "content": prompt.user},
                ),
                schema=shape.schema,
                original_schema=shape.original,
                max_output_tokens=cap,
                timeout=600,
            )
        )
    return requests


if __name__ == "__main__":
    arguments = sys.argv[1:]
    rows = main(arguments[0] if arguments else AGENT, int(arguments[1]) if arguments[1:] else None)
    for row in rows:
        print(" | ".join(row))
