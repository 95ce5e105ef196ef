"""A receiver of Slack's and Teams' posts on this machine."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that accepts everything, by default."""
    running = Receiver()
    yield running
    running.close()


@pytest.fixture(autouse=True)
def _near(settings: Any) -> None:
    """Chat programs of these tests live on this machine."""
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = True
