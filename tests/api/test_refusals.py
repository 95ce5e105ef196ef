"""One shape for every refusal, whoever makes it."""

import json
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Role

from .conftest import Caller, CallerOf

pytestmark = [pytest.mark.django_db]


def error_of(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.content[:300]
    assert response.headers["Content-Type"] == "application/json"
    body = json.loads(response.content)
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert error["message"]
    assert isinstance(error["fields"], dict)
    return error


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("POST", "/conversations/conv_x/nowhere", 404, "not_found"),
        ("PUT", "/conversations", 405, "method_not_allowed"),
        ("DELETE", "/backfills", 405, "method_not_allowed"),
        ("PATCH", "/docs", 405, "method_not_allowed"),
    ],
)
def test_addresses_and_methods_that_are_not_there(
    operator: Caller, method: str, path: str, status: int, code: str
) -> None:
    answer = operator.send(method, path)
    assert error_of(answer, status)["code"] == code
    if status == 405:
        assert answer.headers["Allow"]
        assert answer.headers["Allow"] in error_of(answer, 405)["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"nonsense",
        b'{"name": NaN}',
        b'{"name": -Infinity}',
        b'{"name": "a", "name": "b"}',
        b'{"name": {"a": 1, "a": 2}}',
        b"\xff\xfe\x00",
        b'{"name": ' + b"9" * 5_000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda body: body[:20].decode(errors="replace"),
)
def test_what_is_not_json_is_refused(editor: Caller, body: bytes) -> None:
    answer = editor.client.generic(
        "POST", "/api/agents", body, content_type="application/json", headers=editor.headers
    )
    assert error_of(answer, 400)["code"] == "not_json"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/agents", "application/x-www-form-urlencoded"),
        ("/agents", "multipart/form-data; boundary=x"),
        ("/agents", "text/plain"),
        ("/conversations/bulk", "application/x-www-form-urlencoded"),
        ("/conversations/bulk", "application/json"),
    ],
)
def test_other_kinds_of_body_are_refused(caller_of: CallerOf, path: str, kind: str) -> None:
    admin = caller_of(Role.ADMIN)
    answer = admin.client.generic(
        "POST", f"/api{path}", b"{}", content_type=kind, headers=admin.headers
    )
    error = error_of(answer, 415)
    assert error["code"] == "unsupported_media_type"
    assert "Content-Type: application/" in error["message"]


def test_a_compressed_body_is_refused_in_words(editor: Caller) -> None:
    headers = {**editor.headers, "Content-Encoding": "gzip"}
    answer = editor.client.generic(
        "POST", "/api/agents", b"\x1f\x8b", content_type="application/json", headers=headers
    )
    assert "gzip" in error_of(answer, 415)["message"]


def test_a_kind_of_json_is_json(editor: Caller) -> None:
    answer = editor.client.generic(
        "POST",
        "/api/agents",
        b'{"name": "A", "channel": "voice"}',
        content_type="application/vnd.api+json",
        headers=editor.headers,
    )
    assert answer.status_code == 201


def test_a_failure_of_ours_has_the_shape_too(
    viewer: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("a secret of ours")

    monkeypatch.setattr("apps.api.agents._agents", fail)
    viewer.client.raise_request_exception = False
    answer = viewer.get("/agents")
    assert error_of(answer, 500)["code"] == "internal"
    assert b"secret" not in answer.content


def test_a_host_that_is_not_ours_is_refused(client: Client) -> None:
    answer = client.get("/api/agents", headers={"Host": "evil.example"})
    assert error_of(answer, 400)["code"] == "bad_request"


def test_answers_are_not_kept_by_caches(viewer: Caller) -> None:
    assert viewer.get("/agents").headers["Cache-Control"] == "no-store, private"


@pytest.mark.parametrize("name", ["limit", "cursor", "include_total"])
def test_a_parameter_given_twice_is_refused(viewer: Caller, name: str) -> None:
    for path in ("/conversations", "/agents", "/backfills"):
        answer = viewer.get(path, **{name: ["1", "2"]})
        assert answer.status_code == 422, path
        error = json.loads(answer.content)["error"]
        assert (error["code"], error["message"]) == (
            "repeated_parameter", f"Give {name} once, not 2 times."
        )  # fmt: skip


@pytest.mark.parametrize("name", ["from_number", "to_number", "from_number__startswith"])
def test_a_lost_plus_is_named(viewer: Caller, name: str) -> None:
    answer = viewer.client.get(f"/api/conversations?{name}=+14155550100", headers=viewer.headers)
    assert answer.status_code == 400
    message = json.loads(answer.content)["error"]["message"]
    assert (
        message
        == f"{name.partition('__')[0]} needs a + before “14155550100”. In a URL, write + as %2B."
    )
    for good in ("%2B14155550100", "14155550100"):
        found = viewer.client.get(f"/api/conversations?{name}={good}", headers=viewer.headers)
        assert found.status_code == 200


@pytest.mark.parametrize("path", ["/conversations/", "/agents/", "/openapi.json/"])
def test_a_slash_at_the_end_is_no_other_address(viewer: Caller, path: str) -> None:
    assert viewer.get(path).status_code == viewer.get(path.rstrip("/")).status_code == 200


def test_a_key_given_twice_is_refused_in_every_line(operator: Caller) -> None:
    line = '{"channel": "voice", "channel": "chat", "messages": []}'
    alone = operator.client.post(
        "/api/conversations", line, content_type="application/json", headers=operator.headers
    )
    bulk = json.loads(operator.ndjson("/conversations/bulk", line).content)
    assert json.loads(alone.content)["error"]["code"] == "not_json"
    assert [error["code"] for error in bulk["errors"]] == ["not_json"]
    assert "duplicate key “channel”" in bulk["errors"][0]["message"]
