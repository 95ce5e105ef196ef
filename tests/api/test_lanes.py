"""Lanes of a backfill over the REST API."""

import json
from decimal import Decimal

import pytest

from apps.llm.models import LanguageModel
from tests.factories import make_agent, make_conversations, make_model

from .conftest import Caller

pytestmark = [pytest.mark.django_db]


def test_the_api_shows_both_lanes_and_refuses_a_model_without(operator: Caller) -> None:
    make_conversations(make_agent(model=make_model(flex_factor=Decimal("0.5"))), 3)
    body = {"channel": "voice", "lane": "flex"}
    made = json.loads(operator.post("/backfills/preview", body).content)
    lanes = made["lanes"]
    assert Decimal(lanes["flex"]["cost"]) * 2 == Decimal(lanes["standard"]["cost"])
    assert made["estimate"] == lanes["flex"]
    started = operator.post("/backfills", {**body, "token": made["token"]})
    assert started.status_code == 201, started.content
    run = json.loads(started.content)
    assert (run["options"]["lane"], run["options"]["flex_unavailable"]) == ("flex", "wait")
    report = json.loads(operator.get(f"/backfills/{run['id']}/report").content)
    assert report["tiers"] == {}

    LanguageModel.objects.update(flex_factor=None)
    for path in ("/backfills/preview", "/backfills"):
        answer = operator.post(path, body)
        error = json.loads(answer.content)["error"]
        assert (answer.status_code, error["code"]) == (422, "not_available")
        assert "has no flex price factor under Models" in error["fields"]["lane"]
