"""The examples of docs/crm.md are true."""

import json
import re
from typing import Any

import pytest
from django.conf import settings

from tests.crm.pushing import change, push
from tests.factories import make_connection, make_contact
from tests.fakes.receiver import SECRET, Receiver

pytestmark = pytest.mark.django_db
TEXT = (settings.BASE_DIR / "docs" / "crm.md").read_text()


def example(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert found
    return found[1]


def test_a_request_has_the_documented_shape_and_its_signature_is_verified(
    receiver: Receiver,
) -> None:
    make_connection(receiver.url)
    change([make_contact(fields={"plan": "free"})], plan="pro")
    push()
    (one,) = receiver.received
    documented = json.loads(example("json"))
    assert list(one.payload) == list(documented)
    assert list(one.payload["contact"]) == list(documented["contact"])
    assert one.payload["after"] == documented["after"]
    names: dict[str, Any] = {"secret": SECRET, "body": one.body, "headers": dict(one.headers)}
    exec(example("python"), names)
    assert names["change"] == one.payload


@pytest.mark.parametrize("kind", ["Waiting for approval", "Parked", "Dropped"])
def test_states_are_documented(kind: str) -> None:
    assert f"| {kind} |" in TEXT
