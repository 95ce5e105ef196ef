"""`/api/budgets`: caps, what was spent, and when they reset."""

import json
from decimal import Decimal

import pytest

from apps.accounts.models import AuditEntry, Role
from apps.llm import ledger
from apps.llm.models import Purpose, SpendingCap, Usage
from tests.factories import make_agent, make_model

from .conftest import CallerOf

pytestmark = pytest.mark.django_db


def test_caps_are_set_read_and_replaced(caller_of: CallerOf) -> None:
    agent = make_agent()
    row = Usage(
        purpose=Purpose.ANALYSIS, model_name="m", agent_id=agent.public_id, cost=Decimal("1.5")
    )
    ledger.write([row])
    sent = {"day": "50", "month": "1000.5", "agents": {agent.public_id: {"day": "1.25"}}}

    answer = json.loads(caller_of(Role.ADMIN).send("PUT", "/budgets", sent).content)

    assert answer == json.loads(caller_of(Role.ADMIN).get("/budgets").content)
    assert (answer["day"]["limit"], answer["month"]["limit"]) == ("50.0000", "1000.5000")
    assert Decimal(answer["day"]["spent"]) == Decimal("1.5")
    assert answer["day"]["reached"] is False
    assert answer["agents"][agent.public_id]["day"]["reached"] is True
    assert answer["agents"][agent.public_id]["month"] is None

    answer = json.loads(caller_of(Role.ADMIN).send("PUT", "/budgets", {"day": "60"}).content)
    assert (answer["month"], answer["agents"]) == (None, {})
    answer = json.loads(caller_of(Role.ADMIN).send("PUT", "/budgets", {}).content)
    assert (answer["day"], SpendingCap.objects.count()) == (None, 0)
    entries = AuditEntry.objects.filter(verb="caps.changed").order_by("pk")
    assert [entry.detail["to"] for entry in entries][1:] == [{"": {"day": "60.00"}}, {}]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"day": "0"}, "invalid_value"),
        ({"day": 5}, "invalid_value"),
        ({"week": "5"}, "unknown_keys"),
        ({"agents": {"agt_nope": {"day": "1"}}}, "unknown_agent"),
    ],
)
def test_what_is_no_cap_is_named(caller_of: CallerOf, sent: dict[str, object], code: str) -> None:
    response = caller_of(Role.ADMIN).send("PUT", "/budgets", sent)

    assert response.status_code == 422
    assert json.loads(response.content)["error"]["code"] == code
    assert not SpendingCap.objects.exists()


def test_caps_need_the_price_of_each_model_in_use(caller_of: CallerOf) -> None:
    make_agent(model=make_model(name="mystery-1", input_price=None, output_price=None))

    response = caller_of(Role.ADMIN).send("PUT", "/budgets", {"day": "5"})

    assert response.status_code == 422
    assert "mystery-1" in json.loads(response.content)["error"]["message"]
