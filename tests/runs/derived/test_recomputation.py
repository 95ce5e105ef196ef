"""Derived fields of new results, and recomputing those of past ones."""

import json
from typing import Any

import pytest

from apps.accounts.actors import Actor
from apps.agents.models import DerivedField
from apps.analysis import record
from apps.analysis.imports import Imported, record_imported
from apps.analysis.model_call import AnalysisOutcome
from apps.analysis.models import Analysis
from apps.analysis.queues import RerunQueue
from apps.analysis.services import request_rerun
from apps.conversations.models import Conversation
from apps.intake.services import ingest_one
from apps.llm.models import Usage
from apps.mappings.marked_contacts import fold_marked
from apps.mappings.services import save_mapping
from apps.runs import batches
from apps.runs.derived.services import NothingToRecompute, RecomputeOutdated, start_recompute
from apps.runs.derived.work import preview_recompute
from apps.runs.models import Run, State
from apps.runs.report import report_of
from apps.runs.rollbacks import services as rollback_services
from apps.runs.rollbacks.work import preview_rollback, select
from apps.webhooks.models import Event
from tests.factories import (
    make_agent,
    make_contact,
    make_contact_field,
    make_conversations,
    make_derived_field,
    make_draft,
)
from tests.factories.derived import PROPERTIES, SCORECARD
from tests.webhooks.deliveries import endpoint_to

pytestmark = [pytest.mark.django_db(transaction=True)]

BY = Actor.system("tests")
LOW = {"rule": {"field": "score", "op": "lt", "value": 70}}


def results(scores: list[int | None]) -> list[Conversation]:
    """Calls of one agent with these scores; None for no result."""
    agent = make_draft(properties=PROPERTIES).agent
    found = make_conversations(agent, len(scores))
    record_imported(
        [
            Imported(one, {"score": score, "greeting": True})
            for one, score in zip(found, scores, strict=True)
            if score is not None
        ],
        by=BY,
    )
    return found


def values(name: str) -> list[Any]:
    """The values of a field of all calls, as the conversations and the results have them."""
    rows = Conversation.objects.order_by("pk")
    shown = [(row.analysis_data or {}).get(name) for row in rows]
    current = {a.conversation_id: a.output or {} for a in Analysis.objects.current()}
    assert shown == [current.get(row.pk, {}).get(name) for row in rows]
    return shown


def recompute(field: DerivedField) -> Run:
    """A finished run that recomputes the field."""
    run = start_recompute(field=field, by=BY, token=preview_recompute(field).token)
    batches.run_batches(seconds=600)
    run.refresh_from_db()
    assert run.state == State.COMPLETED
    return run


def test_a_new_result_has_derived_fields_everywhere() -> None:
    (call,) = results([None])
    make_derived_field()
    contact = make_contact(phone_number="+15550001")
    Conversation.objects.filter(pk=call.pk).update(contact=contact)
    make_contact_field("last_quality", "number")
    save_mapping(
        agent=None, analysis_field="quality", contact_field="last_quality", mode="overwrite", by=BY
    )
    endpoint_to("https://example.com/hook")
    request_rerun(conversation=call, by=BY)
    (job,) = RerunQueue().claim(1)
    output = {"score": 90, "greeting": False}
    record.record([AnalysisOutcome(job, output=output, requests=1)], settle=lambda _: None)
    expected = {"quality": 67, "quality_passed": True, "quality_failed": ["Greeting"]}
    assert {name: values(name)[0] for name in expected} == expected
    fold_marked()
    contact.refresh_from_db()
    assert contact.fields == {"last_quality": 67}


def test_an_imported_result_has_them_and_its_event_too() -> None:
    calls = results([None])
    make_derived_field("low", kind="boolean", definition=LOW)
    endpoint_to("https://example.com/hook")
    record_imported([Imported(calls[0], {"score": 10})], by=BY)
    assert values("low") == [True]
    assert json.loads(Event.objects.get().payload)["analysis"] == {"score": 10, "low": True}


def test_without_derived_fields_recording_asks_once(django_assert_num_queries: Any) -> None:
    from apps.analysis.results import add_derived

    with django_assert_num_queries(0):
        add_derived([])


def test_recomputing_changes_past_results_and_is_rolled_back() -> None:
    results([90, 80, 10, None])
    field = make_derived_field()
    before = Usage.objects.count()
    preview = preview_recompute(field)
    assert (preview.results, preview.changed) == (3, 3)
    assert [(f.before, f.after, f.count) for f in preview.flips] == [
        (None, True, 2),
        (None, False, 1),
    ]
    recompute(field)
    assert values("quality") == [100, 100, 33, None]

    stricter = make_derived_field(
        definition={"scorecard": {**SCORECARD["scorecard"], "pass_mark": 100, "points": [
            {"label": "Score", "points": 1, "when": {"field": "score", "op": "gte", "value": 85}},
            {"label": "Greeting", "points": 1, "when": {"field": "greeting", "value": True}},
        ]}}
    )  # fmt: skip
    preview = preview_recompute(stricter)
    assert (preview.results, preview.changed, preview.flips_of) == (3, 2, "quality_passed")
    assert [(f.before, f.after, f.count) for f in preview.flips] == [(True, False, 1)]
    run = recompute(stricter)
    assert values("quality_passed") == [True, False, False, None]
    assert values("quality_failed") == [[], ["Score"], ["Score"], None]
    assert (run.total, run.items.filter(changed=True).count()) == (3, 2)
    reports = {one.name: one for one in report_of(run)}
    assert reports["quality_passed"].changed == 1
    assert [(t.before, t.after, t.count) for t in reports["quality_passed"].transitions] == [
        ("true", "false", 1)
    ]

    selection = select(run, {})
    rollback_services.start_rollback(
        selection=selection, by=BY, token=rollback_services.token_for(preview_rollback(selection))
    )
    batches.run_batches(seconds=600)
    assert values("quality") == [100, 100, 33, None]
    assert Usage.objects.count() == before, "no model was asked"


def test_a_field_that_no_longer_applies_loses_its_values() -> None:
    results([10])
    other = make_agent()
    field = make_derived_field("low", kind="boolean", definition=LOW)
    recompute(field)
    assert values("low") == [True]
    field = make_derived_field("low", kind="boolean", definition=LOW, agent=other)
    assert [(f.before, f.after) for f in preview_recompute(field).flips] == [(True, None)]
    recompute(field)
    assert values("low") == [None]


def test_the_definition_of_a_run_is_frozen() -> None:
    results([10])
    field = make_derived_field("low", kind="boolean", definition=LOW)
    run = start_recompute(field=field, by=BY)
    make_derived_field(
        "low", kind="boolean", definition={"rule": {"field": "score", "op": "gt", "value": 70}}
    )
    batches.run_batches(seconds=600)
    run.refresh_from_db()
    assert run.state == State.COMPLETED
    assert values("low") == [True]


def test_what_was_shown_is_what_runs() -> None:
    calls = results([10, None])
    field = make_derived_field("low", kind="boolean", definition=LOW)
    token = preview_recompute(field).token
    record_imported([Imported(calls[1], {"score": 20})], by=BY)
    Conversation.objects.update(analysis_data={"score": 20})
    with pytest.raises(RecomputeOutdated, match=r"Now 2 results would change \(was 1\)"):
        start_recompute(field=field, by=BY, token=token)
    changed = make_derived_field(
        "low", kind="boolean", definition={"rule": {"field": "score", "op": "gt", "value": 70}}
    )
    with pytest.raises(RecomputeOutdated, match="field changed"):
        start_recompute(field=changed, by=BY, token=token)
    token = preview_recompute(changed).token
    first = start_recompute(field=changed, by=BY, token=token)
    assert start_recompute(field=changed, by=BY, token=token) == first


def test_nothing_to_recompute_is_said() -> None:
    results([10])
    field = make_derived_field("low", kind="boolean", definition=LOW)
    recompute(field)
    with pytest.raises(NothingToRecompute):
        start_recompute(field=field, by=BY)


def test_webhooks_hear_of_a_recomputation_only_if_asked() -> None:
    from apps.analysis.effects import SideEffects

    results([10, 90])
    endpoint_to("https://example.com/hook")
    field = make_derived_field("low", kind="boolean", definition=LOW)
    run = start_recompute(field=field, by=BY, side_effects=SideEffects(webhooks="changed"))
    batches.run_batches(seconds=600)
    payloads = [
        json.loads(event.payload) for event in Event.objects.filter(type="conversation.analyzed")
    ]
    assert sorted(p["changed"] == ["low"] for p in payloads) == [True, True]
    assert {p["trigger"] for p in payloads} == {"computed"}
    assert run.total == 2


def test_the_same_import_again_changes_nothing() -> None:
    (call,) = results([None])
    field = make_derived_field("low", kind="boolean", definition=LOW)
    line = {
        "external_id": call.external_id,
        "messages": [],
        "agent_id": call.agent.public_id,
        "channel": "voice",
        "status": "ended",
        "analysis": {"score": 10},
    }
    for _ in range(2):
        ingest_one(line=line, by=BY, source=call.source)
    assert Analysis.objects.count() == 1
    changed = {"rule": {"field": "score", "op": "gt", "value": 70}}
    field = make_derived_field("low", kind="boolean", definition=changed)
    recompute(field)
    assert values("low") == [False]
    ingest_one(line=line, by=BY, source=call.source)
    assert Analysis.objects.count() == 2, "the import and its recomputation"
    ingest_one(line={**line, "analysis": {"score": 90}}, by=BY, source=call.source)
    assert values("score") == [90]
    assert values("low") == [True]
