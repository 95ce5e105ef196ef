"""What docs/webhooks.md says is so: its example verifies, its lists are those of the code."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from apps.webhooks import examples
from apps.webhooks.models import EventType
from apps.work import backoff
from tests.fakes.receiver import SECRET, Receiver

from .deliveries import deliver, endpoint_to, happened

PAGE = (settings.BASE_DIR / "docs" / "webhooks.md").read_text()
Read = Callable[[str, dict[str, str], bytes], dict[str, Any] | None]


@pytest.fixture
def read_webhook() -> Read:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(code, namespace)  # the page's own example is what is tested
    found: Read = namespace["read_webhook"]
    return found


@pytest.mark.django_db
def test_the_example_takes_a_delivery_and_refuses_one_with_a_byte_changed(
    read_webhook: Read, receiver: Receiver
) -> None:
    endpoint_to(receiver.url)
    happened(n=1)
    deliver()
    (came,) = receiver.received
    headers, body = dict(came.headers), came.body.encode()

    assert read_webhook(SECRET, headers, body) == came.payload
    assert read_webhook(SECRET, headers, body.replace(b"1", b"2")) is None
    assert read_webhook("whsec_b3RoZXI=", headers, body) is None


def test_every_event_is_described() -> None:
    assert [event for event in EventType.values if f"`{event}`" not in PAGE] == []


def test_the_payload_shown_has_the_keys_of_a_real_one_in_order() -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    example = examples.payload(EventType.CONVERSATION_ANALYZED)
    keys = [*example, *example["conversation"]]
    places = [shown.index(f'"{key}":') for key in keys if key != "test"]
    assert places == sorted(places)


def test_the_retries_are_those_of_the_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "_JITTER", 0)
    first = now = timezone.now()
    waits: list[int] = []
    while (again := backoff.next_try(attempts=len(waits) + 1, first=first, now=now)) is not None:
        waits.append(int((again - now).total_seconds()))
        now = again
    assert waits[:7] == [5, 30, 120, 600, 1800, 3600, 7200]
    assert set(waits[7:-1]) == {4 * 3600}
    assert sum(waits) == 24 * 3600
    assert "5s, 30s, 2m, 10m, 30m, 1h, 2h, then every 4h" in PAGE
