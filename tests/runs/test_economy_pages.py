"""The economy lane in the dialog, on the page of a run, in its report, command, and API."""

import re
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Role, User
from apps.llm.models import LanguageModel
from apps.runs.lanes import BATCH_SECONDS, LaneUnavailable
from apps.runs.models import Run, Shipment
from apps.runs.options import Options
from apps.runs.preview import Preview, make_preview
from tests.factories import make_agent, make_conversations, make_model

from .economy import ECONOMY, HALF, PRICES, start
from .test_flex import figures, text

pytestmark = [pytest.mark.django_db]


@pytest.fixture(autouse=True)
def agent() -> None:
    model = make_model(**PRICES, flex_factor=HALF, name="gpt-cheap")
    make_conversations(make_agent(model=model), 6)


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(User.objects.create_user("olga", role=Role.OPERATOR))
    return client


def preview_of(options: Options) -> Preview:
    return make_preview(channel="voice", params={}, options=options)


def shipment_of(run: Run, **values: object) -> Shipment:
    model = LanguageModel.objects.get(name="gpt-cheap")
    return Shipment.objects.create(run=run, model=model, requests=6, **values)


def test_three_lanes_are_estimated_next_to_each_other() -> None:
    standard, flex, economy = preview_of(ECONOMY).lanes
    assert [one.lane for one in (standard, flex, economy)] == ["standard", "flex", "economy"]
    assert standard.estimate.cost is not None
    assert flex.estimate.cost == economy.estimate.cost == standard.estimate.cost * HALF
    assert economy.seconds == BATCH_SECONDS
    assert start(ECONOMY).estimate == economy.as_dict()


def test_the_time_follows_batches_that_were_seen_and_the_limit_of_the_queue() -> None:
    run, now = start(), timezone.now()
    for hours in (2, 4):
        sent_at = now - timedelta(hours=hours)
        shipment_of(run, state="closed", status="completed", sent_at=sent_at, ended_at=now)
    assert preview_of(Options(include_analyzed=True)).lanes[2].seconds == 3 * 3600
    LanguageModel.objects.update(batch_queue_tokens=1)
    assert preview_of(Options(include_analyzed=True)).lanes[2].seconds > 6 * 3600


def test_a_model_without_a_factor_is_named() -> None:
    LanguageModel.objects.update(batch_factor=None)
    assert [one.lane for one in preview_of(ECONOMY).lanes] == ["standard", "flex"]
    with pytest.raises(LaneUnavailable, match="Economy isn’t available: gpt-cheap has no batch"):
        start()


@pytest.mark.parametrize(
    ("has_batches", "why"),
    [
        (None, "has no confirmed Batch API (check the connection under Models)"),
        (False, "has a provider without a Batch API"),
    ],
)
def test_it_is_offered_only_where_a_batch_api_is_known(
    client: Client, has_batches: bool | None, why: str
) -> None:
    LanguageModel.objects.update(has_batches=has_batches, base_url="https://llm.example/v1")
    assert f"Economy would cost less, but gpt-cheap {why}" in text(figures(client))
    assert f"Economy isn’t offered: gpt-cheap {why}" in text(figures(client, lane="economy"))
    with pytest.raises(LaneUnavailable, match=re.escape(f"gpt-cheap {why}")):
        start()
    # OpenAI documents its own.
    LanguageModel.objects.update(base_url="https://api.openai.com/v1")
    offered = [one.lane for one in preview_of(ECONOMY).lanes]
    assert ("economy" in offered) is (has_batches is None)


def test_the_dialog_offers_it_and_keeps_the_choice(client: Client) -> None:
    shown = figures(client, lane="economy", batch_expired="standard")
    assert re.search(r'value="economy"\s+checked', shown)
    assert re.search(r'name="batch_expired"[^>]*checked', shown)
    assert "Economy in batches, with responses within 24 hours" in text(shown)
    [token] = re.findall(r'name="token" value="([^"]+)"', shown)
    form = {"channel": "voice", "lane": "economy", "batch_expired": "standard", "token": token}
    assert client.post("/backfills/new/", form).status_code == 302
    run = Run.objects.get()
    assert (run.options["lane"], run.options["batch_expired"]) == ("economy", "standard")

    LanguageModel.objects.update(batch_factor=None)
    gone = figures(client, lane="economy")
    assert "Economy isn’t offered: gpt-cheap has no batch price factor" in text(gone)
    assert re.search(r'id="backfill-save"[^>]*disabled', gone)


def test_the_page_of_a_run_shows_its_batches(client: Client) -> None:
    run = start()
    values = {"state": "sent", "status": "in_progress", "batch_id": "batch_7", "answered": 4}
    shipment_of(run, **values, sent_at=timezone.now())
    shipment_of(run, state="closed", status="expired", error_message="Expired.")
    page = text(client.get(f"/backfills/{run.public_id}/").content.decode())
    assert "economy, paused after expired batches" in page
    assert re.search(r"In progress batch_7 gpt-cheap 6 4 0 0", page)
    assert "Expired Expired." in page
    report = text(client.get(f"/backfills/{run.public_id}/report/").content.decode())
    assert "Economy 0 Standard 0" in report


def test_the_command_takes_the_lane() -> None:
    out = StringIO()
    command = ("backfill", "--channel", "voice", "--lane", "economy", "--yes")
    call_command(*command, "--batch-expired", "standard", stdout=out)
    assert Run.objects.get().options["batch_expired"] == "standard"
    LanguageModel.objects.update(batch_factor=None)
    with pytest.raises(CommandError, match="has no batch price factor"):
        call_command(*command, stdout=out)
