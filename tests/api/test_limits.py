"""How many requests a key may make in a minute."""

import json
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings

from apps.accounts.models import Role
from apps.api import limits

from .conftest import Caller, CallerOf

pytestmark = [pytest.mark.django_db]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test is refused for what another one counted, nor for a minute that ends meanwhile."""
    limits.broker_away.reset()
    monkeypatch.setattr("apps.api.limits.time.time", lambda: 1_750_000_020.0)
    with redis.Redis.from_url(django_settings.REDIS_URL) as broker:
        for key in broker.scan_iter("debrief:api*"):
            broker.delete(key)


def test_each_answer_says_what_is_left(viewer: Caller, settings: Any) -> None:
    settings.API_RATE_LIMITS = {"read": 3}
    left = [viewer.get("/agents").headers["X-RateLimit-Remaining"] for _ in range(3)]
    assert left == ["2", "1", "0"]


def test_beyond_the_limit_is_429_with_when_to_come_again(viewer: Caller, settings: Any) -> None:
    settings.API_RATE_LIMITS = {"read": 1}
    viewer.get("/agents")
    answer = viewer.get("/agents")
    error = json.loads(answer.content)["error"]
    assert (answer.status_code, error["code"]) == (429, "rate_limited")
    assert answer.headers["Retry-After"] == answer.headers["X-RateLimit-Reset"] == "60"
    assert "Rate limit exceeded: 1 request per minute for this key." in error["message"]
    assert "Try again in 60 seconds" in error["message"]


def test_the_next_minute_is_a_new_one(
    viewer: Caller, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.API_RATE_LIMITS = {"read": 1}
    viewer.get("/agents")
    assert viewer.get("/agents").status_code == 429
    monkeypatch.setattr("apps.api.limits.time.time", lambda: 1_750_000_080.0)
    assert viewer.get("/agents").status_code == 200


def test_keys_and_classes_are_counted_apart(caller_of: CallerOf, settings: Any) -> None:
    settings.API_RATE_LIMITS = {"read": 1, "change": 1, "intake": 1, "bulk": 1}
    one, other = caller_of(Role.ADMIN), caller_of(Role.ADMIN)
    assert one.get("/agents").status_code == 200
    assert other.get("/agents").status_code == 200
    assert one.post("/agents", {}).status_code == 422
    assert one.post("/conversations", {}).status_code == 422
    assert one.ndjson("/conversations/bulk", "").status_code == 200
    assert {
        one.get("/agents").status_code,
        one.post("/agents", {}).status_code,
        one.post("/conversations", {}).status_code,
        one.ndjson("/conversations/bulk", "").status_code,
    } == {429}


def test_a_class_without_a_limit_is_not_counted(viewer: Caller, settings: Any) -> None:
    settings.API_RATE_LIMITS = {"read": 0}
    answer = viewer.get("/agents")
    assert answer.status_code == 200
    assert "X-RateLimit-Limit" not in answer.headers


def test_a_stranger_uses_up_nobody(viewer: Caller, settings: Any) -> None:
    settings.API_RATE_LIMITS = {"read": 1}
    for _ in range(3):
        assert viewer.client.get("/api/agents").status_code == 401
    assert viewer.get("/agents").status_code == 200


def test_without_the_broker_nobody_is_refused(viewer: Caller, settings: Any) -> None:
    settings.API_RATE_LIMITS = {"read": 1}
    settings.REDIS_URL = "unix:///nonexistent/broker.sock"
    answers = [viewer.get("/agents") for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    assert "X-RateLimit-Limit" not in answers[0].headers
