"""Backfills through the Batch API: half the price, each result once, whatever comes back."""

from decimal import Decimal
from uuid import uuid4

import pytest

from apps.analysis import services as analysis_services
from apps.analysis.models import Analysis, Reservation
from apps.conversations.models import Conversation
from apps.llm.ledger import tiers_of_run
from apps.llm.models import LanguageModel, Usage
from apps.llm.specs import Priority
from apps.privacy.erasure import erase
from apps.runs import control
from apps.runs.budgets import balance_of
from apps.runs.economy import packing, results, steps
from apps.runs.economy.contents import LineName
from apps.runs.models import Shipment, SkipReason, State
from apps.runs.options import InvalidOptions, Options, read_options
from tests.factories import make_conversations
from tests.fakes.fixtures import FakeLLM
from tests.faults.runs import TESTS, assert_consistent, states
from tests.runners import run_queue

from .economy import HALF, advance, agent_of, finish, start

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fake_key")]


def shipments() -> list[tuple[str, int, int, int]]:
    rows = Shipment.objects.order_by("pk")
    return list(rows.values_list("status", "requests", "recorded", "returned"))


# --- A batch


def test_a_batch_costs_half_and_records_each_result_once(fake_llm: FakeLLM) -> None:
    agent_of(fake_llm)
    run = finish(start())

    assert run.state == State.COMPLETED
    assert states(run) == {"done": 6}
    assert shipments() == [("completed", 6, 6, 0)]
    assert_consistent(current=6)
    assert tiers_of_run(run.public_id) == {"batch": 6}
    for row in Usage.objects.all():
        assert (row.tier, row.input_price, row.output_price) == ("batch", HALF, Decimal(2))
        assert row.cost == (row.input_tokens * HALF + row.output_tokens * 2) / 1_000_000
        assert Analysis.objects.get(public_id=row.analysis_id).cost == row.cost
    paid = sum(row.cost or 0 for row in Usage.objects.all())
    assert sum(item.cost or 0 for item in run.items.all()) == paid
    batches = fake_llm.stats()["batches"]
    assert (batches["files"], batches["lines"], fake_llm.total) == ([], 6, 0)
    assert run.estimate["cost"] == str(Decimal(run.estimate["cost"]))


def test_lines_that_come_twice_from_nowhere_or_not_at_all(fake_llm: FakeLLM) -> None:
    agent_of(fake_llm)
    fake_llm.set(batches={"twice": 3, "strange": 2, "missing": 2})
    run = start()
    advance(4)
    assert states(run) == {"done": 4, "pending": 2}
    fake_llm.set(batches={})

    assert states(finish(run)) == {"done": 6}
    assert [row[1:] for row in shipments()] == [(6, 4, 2), (2, 2, 0)]
    assert_consistent(current=6)


def test_unusable_responses_are_asked_for_directly_at_the_standard_price(
    fake_llm: FakeLLM,
) -> None:
    agent = agent_of(fake_llm, 3)
    fake_llm.set(script=["500"])
    for fate in ("not_json", "refusal"):
        make_conversations(agent, 1, messages=[{"role": "user", "content": f"[[fake:{fate}]]"}])
    run = finish(start())

    assert states(run) == {"done": 3, "failed": 2}
    assert set(run.items.failed().values_list("error_code", flat=True)) == {
        "refusal",
        "invalid_output",
    }
    assert [row[1:3] for row in shipments()][1] == (1, 1)
    direct = run.items.get(direct=True)
    assert direct.error_code == "invalid_output"
    assert fake_llm.total == 2, "the ladder of live requests asks once more"
    assert tiers_of_run(run.public_id) == {"batch": 5, "": 1}
    assert direct.cost is not None
    assert direct.cost > max(i.cost or 0 for i in run.items.filter(direct=False))


def test_what_fails_in_two_batches_is_asked_for_directly(fake_llm: FakeLLM) -> None:
    agent_of(fake_llm, 2)
    fake_llm.set(batches={"missing": 2})
    run = start()
    advance(9)
    assert set(run.items.values_list("direct", flat=True)) == {True}
    assert states(finish(run)) == {"done": 2}
    assert tiers_of_run(run.public_id) == {"": 2}
    assert len(shipments()) == 2


@pytest.mark.parametrize("choice", ["wait", "standard"])
def test_an_expired_batch_keeps_its_output_and_the_rest_is_sent_again(
    fake_llm: FakeLLM, choice: str
) -> None:
    agent_of(fake_llm, 8)
    fake_llm.set(batches={"always": "expire", "share": 0.5})
    run = finish(start(Options(lane="economy", batch_expired=choice)))

    assert shipments() == [("expired", 8, 4, 4), ("expired", 4, 2, 2)]
    if choice == "standard":
        assert (run.state, states(run)) == (State.COMPLETED, {"done": 8})
        assert tiers_of_run(run.public_id) == {"batch": 6, "": 2}
        return
    assert (run.state, run.reason, run.resume_at) == (State.PAUSED, "batches", None)
    assert "2 batches in a row" in run.reason_detail
    assert states(run) == {"done": 6, "pending": 2}
    fake_llm.set(batches={})
    control.resume(run=run, by=TESTS)
    assert states(finish(run)) == {"done": 8}
    assert_consistent(current=8)
    assert fake_llm.total == 0


def test_a_full_queue_makes_batches_smaller(fake_llm: FakeLLM) -> None:
    agent_of(fake_llm, 8)
    run = start()
    advance()
    tokens = Shipment.objects.get().tokens
    fake_llm.set(batches={"queue": int(tokens * 0.4)})
    run = finish(run)

    assert states(run) == {"done": 8}
    found = Shipment.objects.order_by("pk")
    assert found[0].error_code == "token_limit_exceeded"
    assert all(s.tokens <= tokens / 2 for s in found[1:])
    assert len(found) < 8
    assert_consistent(current=8)


def test_the_limit_of_a_model_holds_across_runs(fake_llm: FakeLLM) -> None:
    agent_of(fake_llm, 6)
    run = start()
    advance()
    half = Shipment.objects.get().tokens // 2
    run.items.update(state="pending", shipment=None)
    Shipment.objects.all().delete()
    LanguageModel.objects.update(batch_queue_tokens=half)
    finish(run)
    assert all(s.tokens <= half for s in Shipment.objects.all())
    assert states(run) == {"done": 6}


def test_a_file_that_fails_validation_pauses_with_the_words_of_the_provider(
    fake_llm: FakeLLM,
) -> None:
    agent_of(fake_llm)
    fake_llm.set(batches={"fates": ["invalid"]})
    run = finish(start())
    assert (run.state, run.reason) == (State.PAUSED, "batches")
    assert run.reason_detail == "This line is not parseable as valid JSON."
    assert states(run) == {"pending": 6}
    control.resume(run=run, by=TESTS)
    assert states(finish(run)) == {"done": 6}


def test_a_provider_without_batches_is_named(fake_llm: FakeLLM) -> None:
    agent_of(fake_llm)
    fake_llm.set(batches={"absent": True})
    run = finish(start())
    assert (run.state, run.reason) == (State.PAUSED, "batches")
    assert "has no Batch API" in run.reason_detail
    assert states(run) == {"pending": 6}
    # It is remembered until there is one.
    assert LanguageModel.objects.get().has_batches is False
    fake_llm.set(batches={})
    control.resume(run=run, by=TESTS)
    assert states(finish(run)) == {"done": 6}
    assert LanguageModel.objects.get().has_batches


# --- Stops


@pytest.mark.parametrize("by_pause", [True, False])
def test_stopping_cancels_the_batch_and_records_what_comes_back(
    fake_llm: FakeLLM, by_pause: bool
) -> None:
    agent_of(fake_llm, 8)
    fake_llm.set(batches={"always": "hold", "share": 0.25})
    run = start()
    advance(5)
    assert states(run) == {"running": 8}
    assert Shipment.objects.get().status == "in_progress"
    (control.pause if by_pause else control.cancel)(run=run, by=TESTS)
    run = finish(run)

    assert shipments() == [("cancelled", 8, 2, 6)]
    if by_pause:
        assert states(run) == {"done": 2, "pending": 6}
        fake_llm.set(batches={})
        control.resume(run=run, by=TESTS)
        assert states(finish(run)) == {"done": 8}
    else:
        assert (run.state, states(run)) == (State.CANCELLED, {"done": 2, "skipped": 6})
    assert fake_llm.stats()["batches"]["files"] == []
    assert not Reservation.objects.exists()


def test_a_run_that_is_stopped_before_its_file_is_sent_sends_nothing(fake_llm: FakeLLM) -> None:
    agent_of(fake_llm)
    run = start()
    assert [packing.pack(one) for one in packing.waiting_runs()] == [6]
    control.pause(run=run, by=TESTS)
    finish(run)
    assert states(run) == {"pending": 6}
    assert fake_llm.stats()["batches"]["sizes"] == []


def test_what_overtakes_a_batch_stays_current(fake_llm: FakeLLM) -> None:
    agent_of(fake_llm, 4)
    run = start()
    advance(2)
    erased, rerun, at_work, _ = [i.conversation for i in run.items.order_by("pk")]
    assert erased
    assert rerun
    assert at_work
    erase(conversations=Conversation.objects.filter(pk=erased.pk), by=TESTS, why="test")
    analysis_services.request_rerun(conversation=rerun, by=TESTS)
    run_queue(Priority.INTERACTIVE)
    newer = Analysis.objects.current().get(conversation=rerun)
    busy = analysis_services.request_rerun(conversation=at_work, by=TESTS)
    advance(6)

    assert states(run) == {"skipped": 2, "done": 1, "running": 1}
    assert Analysis.objects.current().get(conversation=rerun) == newer
    skipped = run.items.get(conversation=rerun)
    assert skipped.skip_reason == SkipReason.RERUN_SINCE
    assert skipped.cost
    gone = run.items.get(conversation=None)
    assert (gone.skip_reason, gone.shipment) == (SkipReason.ERASED, None)
    assert gone.cost
    Analysis.objects.filter(pk=busy.pk).delete()
    assert states(finish(run)) == {"skipped": 2, "done": 2}
    assert Usage.objects.filter(tier="batch").count() == 4


# --- Money


def test_a_budget_is_reserved_at_the_price_of_batches(fake_llm: FakeLLM) -> None:
    agent = agent_of(fake_llm)
    whole = start(Options(lane="economy", budget=Decimal(100)))
    advance()
    balance = balance_of(whole)
    assert balance is not None
    each = balance.reserved / 6
    assert each > 0
    control.cancel(run=whole, by=TESTS)
    finish(whole)
    after = balance_of(whole)
    assert after is not None
    assert after.reserved == 0

    make_conversations(agent, 3)
    run = start(Options(lane="economy", budget=(each * Decimal("2.5")).quantize(Decimal("0.0001"))))
    advance()
    assert states(run) == {"running": 3, "pending": 3}
    run = finish(run)
    balance = balance_of(run)
    assert balance is not None
    assert balance.spent < balance.limit + each
    assert not Reservation.objects.exists()


def test_options_read_back_the_same_and_need_their_lane() -> None:
    for choice in ("wait", "standard"):
        options = Options(lane="economy", batch_expired=choice)
        assert read_options(options.as_dict()) == options
    with pytest.raises(InvalidOptions, match="needs the lane economy"):
        read_options({"batch_expired": "standard", "lane": "flex"})


# --- Losses


@pytest.mark.parametrize("lost", ["upload", "create", "download"])
def test_a_lost_connection_repeats_the_step(fake_llm: FakeLLM, lost: str) -> None:
    agent_of(fake_llm, 5)
    fake_llm.set(batches={"lose": lost})
    run = finish(start())
    assert states(run) == {"done": 5}
    batches = fake_llm.stats()["batches"]
    assert (batches["sizes"], batches["repeated"], batches["files"]) == ([5], 0, [])
    assert_consistent(current=5)


def test_a_worker_that_was_overtaken_stores_nothing(fake_llm: FakeLLM) -> None:
    agent_of(fake_llm, 2)
    start()
    advance()
    late = Shipment.objects.get()
    late.lease_token = uuid4()
    advance(8)
    steps.do_step(late)
    assert Shipment.objects.get().state == "closed"
    assert_consistent(current=2)


def test_a_chunk_is_recorded_whole_or_not_at_all(
    fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent_of(fake_llm, 5)
    monkeypatch.setattr(steps, "LINES", 2)
    recorded = []

    def dies_in_the_middle(shipment: Shipment, count: int) -> None:
        recorded.append(count)
        if len(recorded) == 2:
            raise SystemExit

    monkeypatch.setattr(results, "_lower", dies_in_the_middle)
    run = start()
    with pytest.raises(SystemExit):
        advance(8)
    assert states(run) == {"done": 2, "running": 3}
    assert Usage.objects.count() == Analysis.objects.count() == 2
    assert states(finish(run)) == {"done": 5}
    assert_consistent(current=5)


@pytest.mark.parametrize(
    "text", ["", "item-1", "item-1-2-x", "item--1-1-1", "item-²-1-1", "other-1-2-3", "item-9-9-9-9"]
)
def test_other_names_of_lines_are_unknown(text: str) -> None:
    assert LineName.parse(text) is None


def test_names_of_lines_read_back() -> None:
    name = LineName(12, 3, 40)
    assert LineName.parse(str(name)) == name
    assert LineName.parse(f"item-{2**70}-1-1") is None


def test_messages_that_came_after_the_batch_leave_its_result_stale(fake_llm: FakeLLM) -> None:
    agent_of(fake_llm, 1)
    run = start()
    advance(2)
    conversation = run.items.get().conversation
    assert conversation
    transcript = conversation.transcript
    transcript.messages = [*transcript.messages, transcript.messages[-1]]
    transcript.save()
    conversation.message_count = len(transcript.messages)
    conversation.save()
    finish(run)
    conversation.refresh_from_db()
    assert conversation.stale
    assert Analysis.objects.get().messages_read == len(transcript.messages) - 1
