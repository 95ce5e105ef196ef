"""Backfills at the flex tier: offered, estimated, refused by the provider, and paid as reported."""

import re
from collections.abc import Iterator
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from apps.accounts.models import Role, User
from apps.agents.models import Agent
from apps.analysis import services as analysis_services
from apps.analysis.models import Analysis
from apps.llm.failed_request import RetryPolicy
from apps.llm.ledger import tiers_of_run
from apps.llm.models import LanguageModel, Usage
from apps.llm.specs import Priority
from apps.runs import recovery, services
from apps.runs.lanes import FLEX_SLOWNESS, LaneUnavailable, expected_seconds
from apps.runs.models import Run, State
from apps.runs.options import InvalidOptions, Options, read_options
from apps.runs.preview import Preview, make_preview
from tests.factories import make_agent, make_conversations, make_model
from tests.fakes.fixtures import FakeLLM
from tests.faults.runs import TESTS, states
from tests.runners import run_queue
from tests.runs.test_pace import seen

pytestmark = [pytest.mark.django_db]

HALF = Decimal("0.5")
PRICES = {"input_price": Decimal(1), "output_price": Decimal(4)}
FLEX = Options(lane="flex")
OR_STANDARD = Options(lane="flex", flex_unavailable="standard")
IMPATIENT = RetryPolicy(attempts=2, first_delay=0.01, longest_delay=0.02, flex_patience=0.1)
PATIENT = RetryPolicy(attempts=2, first_delay=0.01, longest_delay=0.02, flex_patience=600)


def agent_of(fake: FakeLLM | None = None, *, factor: Decimal | None = HALF, **more: Any) -> Agent:
    server = {"base_url": fake.url, "api_key_env": "FAKE_API_KEY"} if fake else {}
    model = make_model(**{**PRICES, **server, "flex_factor": factor, **more})
    agent = make_agent(model=model, name="Billing line")
    make_conversations(agent, 6)
    return agent


def preview_of(options: Options) -> Preview:
    return make_preview(channel="voice", params={}, options=options)


def start(options: Options) -> Run:
    return services.start(channel="voice", params={}, options=options, by=TESTS)


@pytest.fixture
def _fake_key(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("FAKE_API_KEY", "fake")
    yield
    connection.close()


on_fake = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_fake_key")]


def with_marks(test: Any) -> Any:
    for mark in on_fake:
        test = mark(test)
    return test


def reload(run: Run) -> Run:
    run.refresh_from_db()
    return run


# --- Estimates


def test_both_lanes_are_estimated_and_the_chosen_one_is_agreed_to() -> None:
    agent_of()
    standard, flex = preview_of(Options()), preview_of(FLEX)

    assert [one.lane for one in standard.lanes] == ["standard", "flex"]
    assert standard.lanes == flex.lanes
    assert standard.estimate.cost is not None
    assert flex.estimate.cost == standard.estimate.cost * HALF
    assert flex.estimate.input_tokens == standard.estimate.input_tokens
    assert flex.seconds == pytest.approx(standard.seconds * FLEX_SLOWNESS)
    assert start(FLEX).estimate == flex.estimate_json()


def test_the_time_of_each_lane_follows_what_was_seen_there() -> None:
    agent = agent_of()
    seen(agent, 3, ms=2_000, prices={})
    seen(agent, 3, ms=20_000, prices={"tier": "flex"})
    shown = preview_of(Options())
    assert shown.lanes[1].seconds == pytest.approx(10 * shown.lanes[0].seconds)
    assert expected_seconds([]) == 0


@pytest.mark.parametrize("more", [{"factor": None}, {"factor": None, "is_local": True}])
def test_a_model_without_the_tier_is_refused_by_name(more: dict[str, Any]) -> None:
    agent_of(**more)
    agent_of()
    name = LanguageModel.objects.get(flex_factor=None).name

    assert [one.lane for one in preview_of(FLEX).lanes] == ["standard"]
    with pytest.raises(LaneUnavailable, match=f"{name} has no flex price factor under Models"):
        start(FLEX)
    assert not Run.objects.exists()


def test_options_read_back_the_same_and_refuse_what_has_no_effect() -> None:
    for options in (FLEX, OR_STANDARD):
        assert read_options(options.as_dict()) == options
    assert Options().as_dict()["flex_unavailable"] is None
    with pytest.raises(InvalidOptions, match="needs the lane flex"):
        read_options({"flex_unavailable": "standard"})
    for bad in ({"lane": "fast"}, {"lane": "flex", "flex_unavailable": "fail"}):
        with pytest.raises(InvalidOptions):
            read_options(bad)


# --- Runs


@with_marks
def test_scarce_capacity_fails_no_item_and_the_reported_tier_is_paid(fake_llm: FakeLLM) -> None:
    agent_of(fake_llm)
    run = start(FLEX)
    fake_llm.set(flex_busy=9)

    run_queue(Priority.BACKFILL, concurrency=3, retry=PATIENT)

    assert reload(run).state == State.COMPLETED
    assert states(run) == {"done": 6}
    assert tiers_of_run(run.public_id) == {"flex": 6}
    for row in Usage.objects.all():
        assert (row.tier, row.input_price, row.output_price) == ("flex", HALF, Decimal(2))
        assert row.cost == (row.input_tokens * HALF + row.output_tokens * 2) / 1_000_000
    for result in Analysis.objects.all():
        assert result.prices
        assert result.prices["tier"] == "flex"
        assert result.cost == Usage.objects.get(analysis_id=result.public_id).cost


@with_marks
def test_what_the_provider_answers_at_the_standard_tier_costs_that(fake_llm: FakeLLM) -> None:
    agent_of(fake_llm)
    run = start(FLEX)
    fake_llm.set(flex="standard")

    run_queue(Priority.BACKFILL, retry=PATIENT)

    assert states(run) == {"done": 6}
    assert tiers_of_run(run.public_id) == {"": 6}
    assert set(Usage.objects.values_list("tier", "input_price")) == {("default", Decimal(1))}


@with_marks
def test_without_capacity_for_long_a_run_waits_and_resumes(fake_llm: FakeLLM) -> None:
    agent_of(fake_llm)
    run = start(FLEX)
    fake_llm.set(flex="busy")
    run_queue(Priority.BACKFILL, concurrency=3, retry=IMPATIENT)

    assert (reload(run).state, run.reason) == (State.PAUSED, "rate_limited")
    assert "has no flex capacity now" in run.reason_detail
    assert states(run) == {"pending": 6}
    assert run.resume_at is not None
    assert recovery.probe_due(run.resume_at) == 0, "the standard tier answers, which is no help"
    assert reload(run).resume_at is not None

    fake_llm.set(flex="ok")
    assert recovery.probe_due(run.resume_at) == 1
    run_queue(Priority.BACKFILL, retry=IMPATIENT)
    assert states(run) == {"done": 6}
    assert Usage.objects.get(who="system: probe").tier == "flex"
    assert not run.items.filter(tries__gt=0).exists()


@with_marks
@pytest.mark.parametrize("flex", ["busy", "unknown"])
def test_a_run_may_pay_the_standard_price_instead(fake_llm: FakeLLM, flex: str) -> None:
    agent_of(fake_llm)
    run = start(OR_STANDARD)
    fake_llm.set(flex=flex)

    run_queue(Priority.BACKFILL, concurrency=3, retry=IMPATIENT)

    assert reload(run).state == State.COMPLETED
    assert states(run) == {"done": 6}
    assert tiers_of_run(run.public_id) == {"": 6}


@with_marks
def test_a_model_that_the_provider_has_no_flex_for_pauses_the_run(fake_llm: FakeLLM) -> None:
    agent_of(fake_llm)
    run = start(FLEX)
    fake_llm.set(flex="unknown")

    run_queue(Priority.BACKFILL, concurrency=3, retry=IMPATIENT)

    assert (reload(run).state, run.reason) == (State.PAUSED, "provider_down")
    assert run.reason_detail.startswith("The provider doesn't offer flex for")
    assert states(run) == {"pending": 6}


@with_marks
def test_reruns_stay_standard(fake_llm: FakeLLM) -> None:
    agent = agent_of(fake_llm)
    conversation = agent.conversations.order_by("pk").first()
    assert conversation
    analysis_services.request_rerun(conversation=conversation, by=TESTS)

    run_queue(Priority.INTERACTIVE)

    assert fake_llm.stats()["tiers"] == {"default": 1}
    assert "service_tier" not in fake_llm.bodies[-1]


# --- Pages, command


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(User.objects.create_user("olga", role=Role.OPERATOR))
    return client


def figures(client: Client, **form: str) -> str:
    headers = {"HX-Request": "true"}
    form = {"channel": "voice", **form}
    return client.post("/backfills/preview/", form, headers=headers).content.decode()


def text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_the_dialog_offers_both_with_price_and_time(client: Client) -> None:
    agent_of()
    shown = figures(client)
    assert re.search(r'value="standard"\s+checked', shown)
    assert re.search(r"Flex slower.*?\$[\d.]+ · about", text(shown))
    assert 'name="flex_unavailable"' not in shown

    chosen = figures(client, lane="flex", flex_unavailable="standard")
    assert re.search(r'value="flex"\s+checked', chosen)
    assert re.search(r'name="flex_unavailable"[^>]*checked', chosen)
    [token] = re.findall(r'name="token" value="([^"]+)"', chosen)
    form = {"channel": "voice", "lane": "flex", "flex_unavailable": "standard", "token": token}
    assert client.post("/backfills/new/", form).status_code == 302
    run = Run.objects.get()
    assert (run.options["lane"], run.options["flex_unavailable"]) == ("flex", "standard")
    page = text(client.get(f"/backfills/{run.public_id}/").content.decode())
    assert "flex, else at the standard price" in page
    report = text(client.get(f"/backfills/{run.public_id}/report/").content.decode())
    assert "Flex 0 Standard 0" in report


def test_the_dialog_says_why_flex_is_not_offered(client: Client) -> None:
    agent_of(factor=None, name="gpt-plain")
    # One short line: most teams set no factors, and see the dialog every day.
    assert "Flex and Economy would cost less, but need price factors." in text(figures(client))

    chosen = figures(client, lane="flex")
    assert "isn’t offered: gpt-plain has no flex price factor" in text(chosen)
    assert "Economy would cost less, but needs price factors." in text(chosen)
    assert re.search(r'value="flex"\s+checked', chosen), "nothing typed is lost"
    assert re.search(r'id="backfill-save"[^>]*disabled', chosen)
    waiting = figures(client, lane="flex", sample="-1")
    assert '<input type="hidden" name="lane" value="flex">' in waiting


def test_the_bundled_model_has_no_choice(client: Client) -> None:
    agent_of(factor=None, is_local=True, input_price=Decimal(0), output_price=Decimal(0))
    shown = figures(client)
    assert "flex" not in text(shown).lower()
    assert 'name="lane"' not in shown


def test_the_command_takes_the_lane() -> None:
    agent_of()
    out = StringIO()
    command = ("backfill", "--channel", "voice", "--lane", "flex", "--yes")
    call_command(*command, "--flex-unavailable", "standard", stdout=out)
    assert Run.objects.get().options["flex_unavailable"] == "standard"
    assert "standard: " in out.getvalue()

    LanguageModel.objects.update(flex_factor=None)
    with pytest.raises(CommandError, match="has no flex price factor"):
        call_command(*command, stdout=out)
