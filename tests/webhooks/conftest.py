"""A receiver, endpoints that lead to it, and a courier that works in the test's transaction."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that takes everything, until a test says otherwise."""
    running = Receiver()
    yield running
    running.close()


@pytest.fixture(autouse=True)
def _near(settings: Any) -> None:
    """Receivers of these tests live on this machine; those of the guard turn it on again."""
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = True
