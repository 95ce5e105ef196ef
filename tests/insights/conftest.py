"""Figures are cached for a minute, in the one server of the run."""

import pytest
from django.core.cache import cache


@pytest.fixture(autouse=True)
def _nothing_cached() -> None:
    cache.clear()
