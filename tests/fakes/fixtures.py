"""The fake OpenAI server as a fixture: one process for the whole run, reset before each test."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection


class FakeLLM:
    """A running fake server, as tests speak to it."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url
        """The base URL, ending in /v1."""

    def set(self, **change: Any) -> None:
        """Change how it behaves; see the module ``openai_server`` for what there is."""
        self._control(change)

    def script(self, *kinds: str) -> None:
        """What the next requests meet, one after the other; then all is well again."""
        self._control({"script": list(kinds)})

    def always(self, kind: str) -> None:
        """What every request meets from now on."""
        self._control({"always": kind})

    def raw(self, *answers: dict[str, Any]) -> None:
        """What the next requests are sent, as it is: ``{"status", "body", "headers"}`` each."""
        self._control({"raw": list(answers)})

    def raw_always(self, answer: dict[str, Any]) -> None:
        """What every request is sent from now on."""
        self._control({"raw_always": answer})

    def reset(self) -> None:
        """Forget what was seen and behave well."""
        self._control({"reset": True})

    def stats(self) -> dict[str, Any]:
        """Totals, requests per conversation, the last bodies and headers, arrival times."""
        return self._control(None)

    @property
    def total(self) -> int:
        """Requests for a completion since the last reset."""
        return int(self.stats()["total"])

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The last request bodies, oldest first."""
        return list(self.stats()["bodies"])

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _control(self, change: dict[str, Any] | None) -> dict[str, Any]:
        data = None if change is None else json.dumps(change).encode()
        address = self.url.removesuffix("/v1") + "/control"
        with urllib.request.urlopen(address, data=data, timeout=10) as answer:
            stats: dict[str, Any] = json.load(answer)
        return stats


def start(latency: float = 0.0) -> FakeLLM:
    """Start a server of one's own, for benchmarks and fault tests; ``stop()`` it afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.openai_server", "--latency", str(latency)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    if not url:
        raise RuntimeError(f"the fake server did not start (exit {process.wait()})")
    return FakeLLM(process, url)


@pytest.fixture(scope="session")
def fake_llm_process() -> Iterator[FakeLLM]:
    """The process behind ``fake_llm``."""
    server = start()
    yield server
    server.stop()


@pytest.fixture
def fake_llm(fake_llm_process: FakeLLM) -> FakeLLM:
    """A well-behaved OpenAI server with nothing seen yet."""
    fake_llm_process.reset()
    return fake_llm_process


@pytest.fixture
def fake_key(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the key of models on the fake server, and close the connection that a runner used."""
    monkeypatch.setenv("FAKE_API_KEY", "fake")
    yield
    connection.close()
