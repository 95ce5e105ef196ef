"""Ten people, or ten clicks, at the same moment: one backfill."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from apps.accounts.actors import Actor
from apps.analysis.models import Analysis
from apps.runs import services
from apps.runs.models import Run, RunItem
from apps.runs.options import Options
from apps.runs.preview import make_preview
from tests.factories import make_agent, make_conversations

CLICKS = 10


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("tabs", [1, CLICKS], ids=["one form", "ten tabs"])
def test_ten_clicks_at_once_start_one_backfill(tabs: int) -> None:
    make_conversations(make_agent(), 5)
    shown = [
        services.token_for(make_preview(channel="voice", params={}, options=Options()))
        for _ in range(tabs)
    ]

    def click(number: int) -> str:
        try:
            return services.start(
                channel="voice",
                params={},
                options=Options(),
                by=Actor.system("tests"),
                token=shown[number % tabs],
            ).public_id
        finally:
            connection.close()

    with ThreadPoolExecutor(CLICKS) as people:
        started = set(people.map(click, range(CLICKS)))

    assert started == {Run.objects.get().public_id}
    assert RunItem.objects.count() == 5
    assert not Analysis.objects.exists(), "nothing is claimed yet"
