"""Inserting many rows, or one with its parts, in one short statement."""

import pytest
from django.db import DataError
from django.db.models import Model

from apps.analysis.models import Analysis
from apps.conversations.models import Attributes, Conversation, Transcript, Trigger
from apps.core.database import insert_new, insert_with_parts
from tests.factories import make_agent, make_conversations

pytestmark = [pytest.mark.django_db]


def analyses(how_many: int, **values: object) -> list[Model]:
    agent = make_agent()
    draft = agent.versions.get()
    return [
        Analysis(
            conversation=conversation,
            config=draft.config,
            agent_version=draft,
            trigger=Trigger.INITIAL,
            requested_by=f"tests {n % 2}",
            columns={"summary": "call_summary", "with": ["“quotes”", None, {"a": n}]},
            **values,
        )
        for n, conversation in enumerate(make_conversations(agent, how_many))
    ]


@pytest.mark.parametrize("how_many", [0, 1, 2, 50])
def test_rows_are_as_bulk_create_would_write_them(how_many: int) -> None:
    rows = analyses(how_many)
    stored = insert_new(rows, returning="conversation")
    assert stored == [row.conversation_id for row in rows]  # type: ignore[attr-defined]
    for row in rows:
        found = Analysis.objects.get(public_id=row.public_id)  # type: ignore[attr-defined]
        for field in Analysis._meta.concrete_fields:
            if not field.primary_key and field.name != "created_at":
                assert getattr(found, field.attname) == getattr(row, field.attname), field.name
        assert found.created_at is not None


def test_what_is_there_already_is_left_as_it_is() -> None:
    rows = analyses(3)
    insert_new(rows[:1], returning="conversation")
    assert len(insert_new(rows, returning="conversation")) == 2
    assert Analysis.objects.count() == 3


def test_what_is_too_long_is_refused_and_not_cut() -> None:
    with pytest.raises(DataError):
        insert_new(analyses(2, model="m" * 201), returning="conversation")


def test_one_statement_for_any_number(django_assert_num_queries: object) -> None:
    rows = analyses(20)
    with django_assert_num_queries(1):  # type: ignore[operator]
        insert_new(rows, returning="public_id")


def test_a_row_and_its_parts_are_as_save_would_write_them(
    django_assert_num_queries: object,
) -> None:
    stored = make_conversations(make_agent(), 1)[0]
    copy = Conversation.objects.get(pk=stored.pk)
    copy.pk, copy.public_id, copy.external_id = None, "conv_copy", "copy"
    copy.analysis_data = {"with": ["“quotes”", None, 100, "100 %"]}
    parts = [
        Attributes(conversation=copy, metadata={"plan": "gold"}),
        Transcript(conversation=copy, messages=[{"role": "user", "content": "It’s “%s”"}]),
    ]
    with django_assert_num_queries(1):  # type: ignore[operator]
        insert_with_parts(copy, parts)
    found = Conversation.objects.select_related("attributes", "transcript").get(pk=copy.pk)
    for field in Conversation._meta.concrete_fields:
        assert getattr(found, field.attname) == getattr(copy, field.attname), field.name
    assert found.attributes.metadata == {"plan": "gold"}
    assert found.transcript.messages == [{"role": "user", "content": "It’s “%s”"}]
    assert parts[0].pk == copy.pk
