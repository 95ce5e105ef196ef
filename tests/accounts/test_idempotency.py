import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from apps.accounts.actors import Actor
from apps.accounts.idempotency import KEPT, Claim, InProgress, KeyReused, StoredResponse, claim
from apps.core.errors import BadRequest

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _claim(
    by: Actor, key: str = "k", path: str = "/api/x", request: bytes = b"{}", now: datetime = NOW
) -> Claim | StoredResponse:
    return claim(key=key, path=path, actor=by, sha256=_hash(request), now=now)


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _first(by: Actor) -> Claim:
    first = _claim(by)
    assert isinstance(first, Claim)
    return first


def test_the_second_time_it_gets_the_first_answer(by: Actor) -> None:
    _first(by).keep(201, '{"id": 1}')

    assert _claim(by) == StoredResponse(201, '{"id": 1}', _hash(b"{}"))


def test_while_the_first_is_at_work_the_second_is_refused(by: Actor) -> None:
    _claim(by)

    with pytest.raises(InProgress):
        _claim(by)


def test_a_write_that_failed_may_be_tried_again(by: Actor) -> None:
    _first(by).forget()

    assert isinstance(_claim(by), Claim)


def test_a_write_whose_process_died_may_be_tried_again(by: Actor) -> None:
    _claim(by)

    assert isinstance(_claim(by, now=NOW + timedelta(minutes=6)), Claim)


def test_another_body_with_the_same_key_is_refused(by: Actor) -> None:
    _first(by).keep(200, "")

    with pytest.raises(KeyReused, match="Use a new key"):
        _claim(by, request=b"[]")


def test_keys_belong_to_one_caller_and_one_path(by: Actor) -> None:
    _claim(by)

    assert isinstance(_claim(Actor.system("other")), Claim)
    assert isinstance(_claim(by, path="/api/y"), Claim)


def test_after_a_day_the_key_is_free(by: Actor) -> None:
    _first(by).keep(200, "")

    assert isinstance(_claim(by, now=NOW + KEPT), Claim)


@pytest.mark.parametrize("key", ["", "x" * 201, "a\0b"])
def test_strange_keys_are_refused(by: Actor, key: str) -> None:
    with pytest.raises(BadRequest, match="1 to 200"):
        _claim(by, key=key)


def test_the_hash_of_a_streamed_body_is_told_at_the_end(by: Actor) -> None:
    first = claim(key="k", path="/api/x", actor=by, sha256=None, now=NOW)
    assert isinstance(first, Claim)
    first.keep(200, "{}", sha256=_hash(b"lines"))

    again = claim(key="k", path="/api/x", actor=by, sha256=None, now=NOW)

    assert isinstance(again, StoredResponse)
    again.check("k", _hash(b"lines"))
    with pytest.raises(KeyReused, match="Use a new key"):
        again.check("k", _hash(b"other lines"))
