"""Results that cost no request: imported from a platform, or restored from the history."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry
from apps.agents.models import AgentVersion
from apps.analysis.imports import Imported, UnableToRestore, record_imported, restore
from apps.analysis.models import Analysis
from apps.analysis.services import request_rerun
from apps.conversations.models import Conversation, SearchText, Transfer
from apps.llm.models import Usage
from tests.factories import make_agent, make_conversation, make_conversations

BY = Actor.system("tests")

pytestmark = pytest.mark.django_db


def imported(conversation: Conversation, **values: Any) -> Analysis:
    return record_imported([Imported(conversation, values)], by=BY)[0]


def test_an_imported_result_is_current_and_fills_the_columns() -> None:
    conversation = make_conversation(make_agent())
    at = datetime(2025, 3, 4, 9, 30, tzinfo=UTC)
    values = {"user_sentiment": "positive", "call_summary": "Refund.", "call_successful": True}

    record_imported([Imported(conversation, values, model="theirs", at=at)], by=BY)

    conversation.refresh_from_db()
    assert conversation.analysis_state == "succeeded"
    assert conversation.analysis_trigger == "imported"
    assert (conversation.summary, conversation.outcome) == ("Refund.", "yes")
    assert (conversation.successful, conversation.sentiment) == (True, "Positive")
    assert conversation.analysis_data == values
    assert conversation.analysis_config is None
    assert (conversation.analysis_model, conversation.analyzed_at) == ("theirs", at)
    analysis = conversation.analyses.get()
    assert (analysis.state, analysis.is_current, analysis.config) == ("succeeded", True, None)
    assert list(analysis.ordered_output()) == list(values)
    assert "refund" in str(SearchText.objects.get(conversation=conversation).summary_words)
    assert not Usage.objects.exists()


def test_a_second_import_takes_the_place_of_the_first() -> None:
    conversation = make_conversation(make_agent())
    first = imported(conversation, call_summary="One.")
    second = imported(conversation, call_summary="Two.")

    first.refresh_from_db()
    conversation.refresh_from_db()
    assert not first.is_current
    assert conversation.analyses.get(is_current=True) == second
    assert conversation.summary == "Two."


def test_an_imported_result_of_a_transferred_call_is_the_last_agents() -> None:
    first, last = make_agent(), make_agent()
    conversation = make_conversation(first, route=f"{first.pk}+{last.pk}")
    to_version = last.versions.get()
    AgentVersion.objects.filter(pk=to_version.pk).update(summary_field="call_successful")
    for position, version in enumerate([first.versions.get(), to_version]):
        Transfer.objects.create(
            conversation=conversation,
            position=position,
            after_message=1,
            to_version=version,
            setting="both_agents",
        )

    analysis = imported(conversation, call_successful=True, call_summary="Two.")

    assert analysis.agent_version == to_version
    conversation.refresh_from_db()
    assert conversation.summary == "yes"


def test_many_at_once_cost_a_handful_of_statements(django_assert_max_num_queries: Any) -> None:
    made = make_conversations(make_agent(), 50)
    results = [Imported(c, {"call_summary": f"Number {n}."}) for n, c in enumerate(made)]
    Conversation.objects.select_related("agent_version").in_bulk()

    with django_assert_max_num_queries(14):
        record_imported(results, by=BY)

    assert Conversation.objects.filter(analysis_state="succeeded").count() == 50


def test_restoring_makes_a_new_current_analysis_of_the_old_values() -> None:
    conversation = make_conversation(make_agent())
    first = imported(conversation, call_summary="One.", call_successful=False)
    second = imported(conversation, call_summary="Two.", call_successful=True)

    stored = restore(analysis=first, by=BY)

    conversation.refresh_from_db()
    assert (conversation.summary, conversation.successful) == ("One.", False)
    assert conversation.analysis_trigger == "restored"
    assert stored.restored_from == first
    assert stored.output == first.output
    assert list(conversation.analyses.filter(is_current=True)) == [stored]
    assert set(conversation.analyses.all()) == {first, second, stored}
    entry = AuditEntry.objects.get(verb="analysis.restored")
    assert entry.target == conversation.public_id
    assert not Usage.objects.exists()


def test_what_is_current_or_failed_cannot_be_restored() -> None:
    conversation = make_conversation(make_agent())
    current = imported(conversation, call_summary="One.")
    waiting = request_rerun(conversation=conversation, by=BY)

    for analysis in (current, waiting):
        with pytest.raises(UnableToRestore) as refused:
            restore(analysis=analysis, by=BY)
        assert refused.value.code == "not_restorable"
    assert conversation.analyses.count() == 2


def test_a_second_click_restores_nothing() -> None:
    conversation = make_conversation(make_agent())
    first = imported(conversation, call_summary="One.")
    imported(conversation, call_summary="Two.")
    restore(analysis=first, by=BY)

    with pytest.raises(UnableToRestore, match="already the current result"):
        restore(analysis=first, by=BY)

    assert conversation.analyses.count() == 3


def test_restoring_beside_a_rerun_at_work_leaves_it_alone() -> None:
    conversation = make_conversation(make_agent())
    first = imported(conversation, call_summary="One.")
    imported(conversation, call_summary="Two.")
    waiting = request_rerun(conversation=conversation, by=BY)

    restore(analysis=first, by=BY)

    waiting.refresh_from_db()
    assert waiting.state == "pending"


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_exactly_one_is_current() -> None:
    conversation = make_conversation(make_agent())
    first = imported(conversation, call_summary="One.")
    imported(conversation, call_summary="Two.")

    refused: list[int] = []

    def act(number: int) -> None:
        try:
            if number % 2:
                imported(conversation, call_summary=f"Import {number}.")
            else:
                restore(analysis=Analysis.objects.get(pk=first.pk), by=BY)
        except UnableToRestore:
            refused.append(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(act, range(12)))

    conversation.refresh_from_db()
    current = conversation.analyses.get(is_current=True)
    assert conversation.analyses.count() == 14 - len(refused)
    assert current.output
    assert conversation.summary == current.output["call_summary"]
