"""A thousand conversations through the bulk upload, with broken lines among them.

They are real ones of several corpora and not part of the project: see
tests/intake/test_real_conversations.py.
"""

import json
from typing import Any

import pytest

from apps.accounts.models import Role
from apps.analysis.models import Analysis
from apps.conversations.models import AnalysisState, Conversation, Reason
from apps.llm.specs import Priority
from apps.platforms.models import IntakePayload, PayloadState
from tests.factories import make_agent, make_model
from tests.fakes.fixtures import FakeLLM
from tests.intake.test_real_conversations import FILES, FOLDER, lines_of
from tests.runners import run_queue

from .conftest import Caller

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not FILES, reason=f"no conversations in {FOLDER}; set DEBRIEF_DATA"),
]

HOW_MANY = 1_000
BROKEN: dict[int, tuple[str, str]] = {
    1: ("{", "not_json"),
    250: ('"only a text"', "not_an_object"),
    500: ('{"channel": "voice", "messages": [], "agent_id": "agt_none"}', "unknown_agent"),
    501: ('{"channel": "fax", "messages": []}', "invalid_value"),
    502: ("\xff\xfe", "not_json"),
    777: ('{"channel": "chat", "agent_id": "AGENT"}', "missing_field"),
    1006: ('{"a": NaN}', "not_json"),
}
"""By their numbers among all lines: what is wrong, and the code that says so."""


def good_lines(agents: dict[str, str]) -> list[str]:
    """One of each corpus in turn, each with an agent of ours for its channel."""
    corpora = {path.name.split(".")[0]: lines_of(path) for path in FILES}
    found: list[str] = []
    while len(found) < HOW_MANY:
        for source, lines in corpora.items():
            if (line := next(lines, None)) is not None:
                body: dict[str, Any] = json.loads(line)
                body |= {"agent_id": agents[body["channel"]], "source": source}
                found.append(json.dumps(body))
    return found[:HOW_MANY]


def test_every_broken_line_is_named_and_the_rest_is_analysed(
    fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_API_KEY", "fake")
    model = make_model(base_url=fake_llm.url, api_key_env="FAKE_API_KEY", context_tokens=1_000_000)
    agents = {
        channel: make_agent(channel=channel, model=model).public_id for channel in ("voice", "chat")
    }
    lines = good_lines(agents)
    assert len(lines) == HOW_MANY
    for number, (broken, _) in sorted(BROKEN.items()):
        lines.insert(number - 1, broken.replace("AGENT", agents["chat"]))
    body = _encoded(lines)
    operator = Caller(Role.OPERATOR)

    report = _send(operator, body)

    assert (report["accepted"], report["refused"]) == (HOW_MANY, len(BROKEN))
    named = {error["line"]: error["code"] for error in report["errors"]}
    assert named == {number: code for number, (_, code) in BROKEN.items()}
    assert Conversation.objects.count() == HOW_MANY
    kept = IntakePayload.objects.filter(state=PayloadState.REFUSED).values_list("line", flat=True)
    assert set(kept) == set(BROKEN)

    again = _send(operator, body)

    assert (again["unchanged"], again["refused"]) == (HOW_MANY, len(BROKEN))

    run_queue(Priority.LIVE, concurrency=64)

    states = set(Conversation.objects.values_list("analysis_state", "analysis_reason"))
    why_not = {(AnalysisState.SKIPPED, Reason.NO_SPEECH), (AnalysisState.SKIPPED, Reason.EMPTY)}
    assert states - why_not == {(AnalysisState.SUCCEEDED, "")}
    analysed = Conversation.objects.filter(analysis_state=AnalysisState.SUCCEEDED).count()
    assert Analysis.objects.current().count() == analysed > HOW_MANY * 0.95


def _encoded(lines: list[str]) -> bytes:
    """UTF-8, but for the line that is none."""
    return b"\n".join(
        line.encode("latin-1") if line == "\xff\xfe" else line.encode() for line in lines
    )


def _send(operator: Caller, body: bytes) -> dict[str, Any]:
    answer = operator.client.post(
        "/api/conversations/bulk",
        body,
        content_type="application/x-ndjson",
        headers=operator.headers,
    )
    assert answer.status_code == 200, answer.content
    report: dict[str, Any] = json.loads(answer.content)
    return report
