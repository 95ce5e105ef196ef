"""Every number of the three ready views against plain SQL, on generated data."""

import pytest

from apps.insights.use_case_pages import USE_CASES

from .generated import make_use_cases, scope_of
from .plain_counts import check_view

pytestmark = pytest.mark.django_db


def _check_generated(how_many: int) -> None:
    make_use_cases(how_many)
    for view in USE_CASES.values():
        scope = scope_of("from=2025-04-05&to=2025-06-30")
        assert check_view(view.key, scope) == len(view.panels)


def test_every_number_of_the_ready_views_equals_a_count() -> None:
    _check_generated(600)


@pytest.mark.slow
def test_every_number_of_the_ready_views_equals_a_count_over_20000_conversations() -> None:
    _check_generated(20_000)
