"""Paging through conversations while a backfill analyzes them."""

import itertools
import json

import pytest
from django.utils import timezone

from apps.conversations.models import Conversation
from tests.factories import make_agent, make_conversations

from .conftest import Caller

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("sort", "stable"),
    [
        (None, True),
        ("started_at", True),
        ("-started_at", True),
        ("id", True),
        ("-id", True),
        ("-analyzed_at", False),
        ("analyzed_at", False),
        ("analysis_cost", False),
    ],
)
def test_a_stable_order_misses_and_repeats_nothing(
    viewer: Caller, sort: str | None, stable: bool
) -> None:
    made = make_conversations(make_agent(), 30)
    left = itertools.cycle(c.pk for c in reversed(made))
    found: list[str] = []
    cursor = None
    while True:
        asked = {"limit": "4", "sort": sort, "cursor": cursor}
        given = {name: value for name, value in asked.items() if value is not None}
        page = json.loads(viewer.get("/conversations", **given).content)
        assert page["stable_order"] is stable
        found += [item["id"] for item in page["items"]]
        if (cursor := page["next_cursor"]) is None or len(found) > 100:
            break
        for pk in itertools.islice(left, 7):  # what a backfill records between two pages
            Conversation.objects.filter(pk=pk).update(
                analysis_state="succeeded", analyzed_at=timezone.now(), analysis_cost=pk
            )
    if stable:
        assert len(found) == len(set(found)) == 30
