"""Files and batches of a provider: sent, looked at, read back, and found again after a loss."""

import io
import json
from typing import Any

import pytest

from apps.llm import batch_api
from apps.llm.batch_api import QUEUE_FULL, BatchApi, BatchFault
from apps.llm.batch_lines import Next, judge_line, read_line, request_line
from apps.llm.errors import ErrorCode, PauseReason
from apps.llm.replies import Message
from apps.llm.schema import compile_strict
from apps.llm.specs import ModelSpec
from apps.llm.structured import StructuredRequest
from tests.fakes.fixtures import FakeLLM

SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"topic": {"type": "string"}},
    "required": ["topic"],
    "additionalProperties": False,
}


@pytest.fixture
def spec(fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch) -> ModelSpec:
    monkeypatch.setenv("FAKE_API_KEY", "fake")
    return ModelSpec("batch-model", base_url=fake_llm.url, api_key_env="FAKE_API_KEY")


def question(spec: ModelSpec, text: str = "Hello") -> StructuredRequest:
    return StructuredRequest(
        model=spec,
        messages=(Message(role="user", content=text),),
        schema=compile_strict(SCHEMA),
        original_schema=SCHEMA,
        max_output_tokens=600,
    )


def sent(api: BatchApi, spec: ModelSpec, *texts: str, name: str = "sh_1") -> str:
    lines = [request_line(f"item-{n}", question(spec, t)) for n, t in enumerate(texts)]
    file_id = api.upload(name, io.BytesIO(b"".join(lines)))
    return api.create(name, file_id).id


def ended(api: BatchApi, batch_id: str) -> batch_api.BatchReport:
    for _ in range(9):
        report = api.get(batch_id)
        if report.has_ended:
            return report
    raise AssertionError(report)


def test_a_batch_is_answered_line_by_line_and_judged_as_a_response(
    fake_llm: FakeLLM, spec: ModelSpec
) -> None:
    with BatchApi(spec) as api:
        report = ended(api, sent(api, spec, "One", "Two [[fake:500]]", "Three [[fake:refusal]]"))
        assert (report.status, report.completed, report.failed) == ("completed", 2, 1)
        lines = [
            line
            for file_id in (report.output_file, report.error_file)
            for text in api.lines(file_id)
            if (line := read_line(text))
        ]
    answers = {line["custom_id"]: judge_line(line, question(spec)) for line in lines}
    assert answers["item-0"].next is Next.DONE
    assert answers["item-0"].answer.output
    assert answers["item-0"].answer.usage.input > 0
    assert answers["item-0"].answer.service_tier == "batch"
    assert answers["item-1"].next is Next.AGAIN
    assert answers["item-2"].answer.error is ErrorCode.REFUSAL


def test_what_an_interrupted_upload_or_creation_left_is_found(
    fake_llm: FakeLLM, spec: ModelSpec
) -> None:
    with BatchApi(spec) as api:
        fake_llm.set(batches={"lose": "upload"})
        with pytest.raises(BatchFault) as fault:
            sent(api, spec, "One")
        assert fault.value.fault.transient
        fake_llm.set(batches={"lose": "create"})
        with pytest.raises(BatchFault):
            sent(api, spec, "One")
        assert fake_llm.stats()["batches"]["files"] == ["debrief-sh_1.jsonl"]
        assert sent(api, spec, "One") == "batch_1"
        assert sent(api, spec, "One", name="sh_2") == "batch_2"


def test_long_and_broken_files_are_read_line_by_line(
    fake_llm: FakeLLM, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_api, "LONGEST_LINE", 200_000)
    rows = [b"a" * 70_000, b"b" * 900_000, b"", b"c", b"d" * 150_000]
    with BatchApi(spec) as api:
        file_id = api.upload("sh_1", io.BytesIO(b"\n".join(rows)))
        found = list(api.lines(file_id))
        assert [line[:1] for line in found] == [b"a", b"c", b"d"]
        assert [len(line) for line in found] == [70_000, 1, 150_000]

        fake_llm.set(batches={"lose": "download"})
        with pytest.raises(BatchFault, match="Couldn't read the provider's file"):
            list(api.lines(file_id))
        api.delete_file(file_id)
        api.delete_file(file_id)


def test_faults_name_their_reason(
    fake_llm: FakeLLM, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BatchApi(spec) as api:
        fake_llm.set(batches={"absent": True})
        with pytest.raises(BatchFault) as absent:
            api.get("batch_1")
        assert absent.value.is_unknown
        fake_llm.set(batches={"queue": 1})
        report = ended(api, sent(api, spec, "One, two, three"))
        assert (report.status, report.error_code) == ("failed", QUEUE_FULL)
        fake_llm.set(batches={"fates": ["invalid"]})
        report = ended(api, sent(api, spec, "One", name="sh_2"))
        assert report.error_message == "This line is not parseable as valid JSON."
        fake_llm.set(key="another")
        with pytest.raises(BatchFault) as rejected:
            api.get("batch_1")
        assert rejected.value.fault.pause is PauseReason.AUTH
    monkeypatch.delenv("FAKE_API_KEY")
    with pytest.raises(BatchFault, match="Set FAKE_API_KEY"):
        BatchApi(spec)


@pytest.mark.parametrize(
    ("line", "expected", "unsent"),
    [
        ({"response": None, "error": {"code": "batch_expired", "message": "x"}}, Next.AGAIN, True),
        ({"response": None, "error": {"code": "batch_cancelled"}}, Next.AGAIN, True),
        ({"response": None, "error": None}, Next.AGAIN, False),
        ({}, Next.AGAIN, False),
        (
            {"response": {"status_code": 400, "body": {"error": {"message": "x"}}}},
            Next.DIRECT,
            False,
        ),
        ({"response": {"status_code": 429, "body": None}}, Next.AGAIN, False),
        ({"response": {"status_code": 200, "body": {"choices": "x"}}}, Next.AGAIN, False),
    ],
)
def test_lines_without_an_answer(
    spec: ModelSpec, line: dict[str, Any], expected: Next, unsent: bool
) -> None:
    judged = judge_line(line, question(spec))
    assert (judged.next, judged.unsent) == (expected, unsent)
    assert judged.answer.error


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_unusable_responses_are_asked_for_directly(spec: ModelSpec, finish: str) -> None:
    message = {"role": "assistant", "content": '{"topic": 1}' if finish == "stop" else '{"to'}
    body = {
        "object": "chat.completion",
        "id": "c",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
    line = {"custom_id": "a", "response": {"status_code": 200, "body": body}}
    judged = judge_line(line, question(spec))
    assert judged.next is Next.DIRECT
    assert judged.answer.usage.total == 15


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b"{", b'{"custom_id": 1}', b"\xff"])
def test_what_is_no_line_is_none(text: bytes) -> None:
    assert read_line(text) is None


def test_a_line_is_one_line_of_json(spec: ModelSpec) -> None:
    line = request_line("item-1-1", question(spec, "Two\nlines “and” more"))
    assert line.count(b"\n") == 1
    value = json.loads(line)
    assert value["custom_id"] == "item-1-1"
    assert value["url"] == "/v1/chat/completions"
    assert value["body"]["messages"][0]["content"] == "Two\nlines “and” more"
