"""What a typical conversation costs: by the ledger, or by an assumption that is named."""

import re
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Role, User
from apps.llm.models import LanguageModel, Usage
from apps.llm.typical_cost import ENOUGH, Typical, typical_conversation
from tests.factories import make_agent, make_conversation, make_model

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _key(settings: Any) -> None:
    settings.OPENAI_API_KEY = "k"


def pay(how_many: int, *, read: int, written: int, purpose: str = "analysis") -> None:
    Usage.objects.bulk_create(
        Usage(purpose=purpose, model_name="m", input_tokens=read, output_tokens=written)
        for _ in range(how_many)
    )


def test_a_few_analyses_tell_nothing() -> None:
    pay(ENOUGH - 1, read=9_000, written=900)
    pay(50, read=9_000, written=900, purpose="try_it")
    assert typical_conversation() == Typical()
    assert "an assumption until conversations have been analyzed" in str(Typical())


def test_the_mean_of_the_latest_analyses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.llm.typical_cost.NEWEST", 40)
    pay(5, read=1_000_000, written=10_000)  # long ago
    pay(20, read=1_000, written=100)
    pay(20, read=3_000, written=200)
    pay(9, read=0, written=0)  # never answered
    typical = typical_conversation()
    assert typical == Typical(2_000, 150, 40)
    assert str(typical) == "2,000 tokens in and 150 out, the mean of the last 40 analyses"


def test_cost_is_the_list_price_of_a_rerun() -> None:
    typical = Typical(1_000, 100)
    assert typical.cost(make_model(free_first_run=True)) == Decimal("0.00056")
    assert typical.cost(make_model(input_price=None, output_price=None)) is None
    assert typical.cost(make_model(is_local=True)) == 0


def test_it_is_beside_the_prices_of_models(client: Client) -> None:
    client.force_login(User.objects.create_user("ada", role=Role.ADMIN))
    model, unpriced = make_model(), LanguageModel.objects.create(name="unpriced")
    page = client.get(reverse("admin:llm_languagemodel_changelist")).content.decode()
    assert "about $0.00088<" in page
    assert "Per conversation: 1,600 tokens in and 150 out, an assumption" in page
    assert "price unknown" in page
    pay(ENOUGH, read=1_000, written=100)
    for one, text in ((model, "about $0.00056 for 1,000 tokens"), (unpriced, "price unknown")):
        url = reverse("admin:llm_languagemodel_change", args=[one.pk])
        assert text in client.get(url).content.decode()
    assert client.get(reverse("admin:llm_languagemodel_add")).status_code == 200
    form = client.get(reverse("agents:new")).content.decode()
    assert f"{model.name} · $0.40 in, $1.60 out · about $0.00056 per conversation" in form
    assert "1,000 tokens in and 100 out, the mean of the last 20 analyses" in form


def test_an_agent_is_counted_by_its_own_conversations(client: Client) -> None:
    client.force_login(User.objects.create_user("eve", role=Role.EDITOR))
    agent = make_agent()
    dear = make_model(name="dear", input_price=Decimal(40), output_price=Decimal(160))
    url = reverse("agents:prompts", args=[agent.public_id])
    page = client.get(url).content.decode()
    assert "an assumed transcript of 1,000 tokens" in page
    before = _price_of(page, dear.name)
    make_conversation(agent, prompt_tokens_est=50_000)
    page = client.get(url).content.decode()
    assert "assumed" not in page
    chosen = agent.versions.drafts().with_config().get().config.model.name
    assert _price_of(page, dear.name) > before
    assert _price_of(page, dear.name) == pytest.approx(100 * _price_of(page, chosen), rel=0.05)


def _price_of(page: str, name: str) -> float:
    found = re.search(rf">{name} · \$\S+ in, \$\S+ out · about \$(\S+) per conversation", page)
    assert found
    return float(found[1])
