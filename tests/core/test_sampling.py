"""Samples are stable, of the requested size, nested, and the same in Python and SQL."""

from decimal import Decimal

import pytest
from django.db.models import F

from apps.conversations.models import Conversation
from apps.core.sampling import Position, is_sampled, sample_end
from tests.factories import make_draft, make_indexed_conversation


def test_is_sampled_is_stable_nested_and_of_the_requested_size() -> None:
    keys = [f"conv_{n}" for n in range(4_000)]

    sampled = [key for key in keys if is_sampled(key, Decimal(25))]

    assert sampled == [key for key in keys if is_sampled(key, Decimal(25))]
    assert 900 < len(sampled) < 1_100
    assert all(is_sampled(key, Decimal(100)) for key in keys)
    assert not any(is_sampled(key, Decimal(0)) for key in keys)
    assert set(sampled) <= {key for key in keys if is_sampled(key, Decimal(50))}


@pytest.mark.django_db
def test_sql_position_samples_the_same_rows_as_python() -> None:
    agent = make_draft()
    keys = {make_indexed_conversation(agent).public_id for _ in range(60)}
    rows = Conversation.objects.annotate(position=Position(F("public_id")))

    for percent in (Decimal("0.5"), Decimal(30), Decimal(100)):
        below = rows.filter(position__lt=sample_end(percent)).values_list("public_id", flat=True)
        assert set(below) == {key for key in keys if is_sampled(key, percent)}
