"""Real log lines: of a page, of a task that a request asked for, and of an analysis."""

import io
import json
import logging
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.conf import settings
from django.test import Client

from apps.accounts.models import Role, User
from apps.core.log_context import AddIds, log_context
from apps.llm.specs import Priority
from config import programs
from config.logs import JsonFormatter, logging_config
from tests.config.running import wait_until
from tests.fakes.fixtures import FakeLLM
from tests.faults.runs import run_of
from tests.runners import run_queue


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the console would show, as JSON."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(AddIds())
    root = logging.getLogger()
    root.addHandler(handler)
    yield stream
    root.removeHandler(handler)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@pytest.mark.django_db
def test_a_line_of_a_page_names_request_and_conversation(client: Client, log: io.StringIO) -> None:
    client.force_login(User.objects.create_user("reader", role=Role.VIEWER))
    first = client.get("/conversations/conv_missing/", headers={"X-Request-ID": "proxy-1"})
    second = client.get("/conversations/conv_missing/", headers={"X-Request-ID": "a b\n"})
    assert first.status_code == 404
    assert first.headers["X-Request-ID"] == "proxy-1"
    assert re.fullmatch("[0-9a-f]{16}", second.headers["X-Request-ID"])
    found = [line for line in lines(log.getvalue()) if line["logger"] == "django.request"]
    assert [line["request_id"] for line in found] == ["proxy-1", second.headers["X-Request-ID"]]
    assert {line["conversation_id"] for line in found} == {"conv_missing"}


def test_ids_end_with_their_block(log: io.StringIO) -> None:
    logger = logging.getLogger("tests")
    with log_context({"run_id": "bf_1"}), log_context({"analysis_id": "an_1"}):
        logger.warning("inside")
    logger.warning("outside")
    inside, outside = lines(log.getvalue())
    assert (inside["run_id"], inside["analysis_id"]) == ("bf_1", "an_1")
    assert not {"run_id", "analysis_id"} & set(outside)


def test_text_lines_end_with_the_ids() -> None:
    record = logging.makeLogRecord({"msg": "said", "levelname": "INFO", "name": "tests"})
    with log_context({"run_id": "bf_1"}):
        AddIds().filter(record)
    text = logging.Formatter(logging_config("text")["formatters"]["text"]["format"])
    assert text.format(record).endswith("INFO tests: said run_id=bf_1")


def test_a_task_logs_the_request_that_asked_for_it(tmp_path: Path) -> None:
    names = {"config": "tests.config.runner_worker"}
    argv = [names.get(part, part) for part in programs.worker(queues="maintenance").argv]
    output = tmp_path / "worker.log"
    with output.open("wb") as stream:
        worker = subprocess.Popen(
            argv,
            cwd=settings.BASE_DIR,
            env={**os.environ, **programs.worker().env, "LOG_FORMAT": "json"},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        with log_context({"request_id": "req-1"}):
            current_app.send_task(
                "tests.log", kwargs={"analysis_id": "an_7"}, queue="maintenance", ignore_result=True
            )
        wait_until(lambda: "a line of a task" in output.read_text() or worker.poll() is not None)
    finally:
        worker.terminate()
        worker.wait(timeout=60)
    (line,) = [one for one in lines(output.read_text()) if one["message"] == "a line of a task"]
    assert (line["request_id"], line["analysis_id"]) == ("req-1", "an_7")
    assert line["task_id"]


@pytest.mark.django_db(transaction=True)
def test_a_failed_analysis_names_itself_its_conversation_and_its_run(
    fake_llm: FakeLLM, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_API_KEY", "fake")
    fake_llm.set(always="refusal")
    run = run_of(fake_llm, 1)
    with log_context({"request_id": "not of this job"}):
        run_queue(Priority.BACKFILL)
    item = run.items.select_related("analysis", "conversation").get()
    assert item.analysis
    assert item.conversation
    (line,) = [one for one in lines(log.getvalue()) if one["message"].startswith("Analysis failed")]
    assert line["message"] == "Analysis failed: refusal"
    assert line["run_id"] == run.public_id
    assert line["analysis_id"] == item.analysis.public_id
    assert line["conversation_id"] == item.conversation.public_id
    assert "provider_request_id" in line
