import re
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import AuditEntry, Role, User
from apps.llm.models import LanguageModel, Usage

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin_page(client: Client) -> Client:
    user = User.objects.create_user("ada", password="x", role=Role.ADMIN)
    client.force_login(user)
    return client


def test_prices_are_edited_and_audited(admin_page: Client) -> None:
    model = LanguageModel.objects.create(name="m")
    url = reverse("admin:llm_languagemodel_change", args=[model.pk])
    assert admin_page.get(url).status_code == 200
    form = {
        "enabled": "on", "base_url": "", "api_key_env": "", "structured_output": "auto",
        "parameters": "{}", "input_price": "0.4", "cached_price": "", "output_price": "1.6",
        "free_first_run": "on", "context_tokens": "1000", "max_output_tokens": "100",
    }  # fmt: skip
    assert admin_page.post(url, form).status_code == 302
    model.refresh_from_db()
    assert (str(model.input_price), model.free_first_run) == ("0.400000", True)
    assert AuditEntry.objects.filter(verb="languagemodel.changed").exists()


def test_the_list_shows_prices_as_people_write_them(admin_page: Client) -> None:
    LanguageModel.objects.create(name="m", input_price=Decimal(2), output_price=Decimal("0.075"))

    page = admin_page.get(reverse("admin:llm_languagemodel_changelist")).text

    for shown in ("$2.00", "$0.075"):
        assert f">{shown}</td>" in page


def test_half_a_price_is_refused_with_a_sentence(admin_page: Client) -> None:
    model = LanguageModel.objects.create(name="m")
    url = reverse("admin:llm_languagemodel_change", args=[model.pk])
    form = {
        "structured_output": "auto", "parameters": "{}", "input_price": "0.4",
        "context_tokens": "1000", "max_output_tokens": "100",
    }  # fmt: skip
    answer = admin_page.post(url, form)
    assert answer.status_code == 200
    assert "Set both input and output prices, or leave both blank." in answer.content.decode()


def test_the_ledger_is_only_read(admin_page: Client) -> None:
    Usage.objects.create(purpose="analysis", model_name="m")
    assert admin_page.get(reverse("admin:llm_usage_changelist")).status_code == 200
    assert admin_page.get(reverse("admin:llm_usage_add")).status_code == 403


def test_others_stay_out(client: Client) -> None:
    client.force_login(User.objects.create_user("ed", password="x", role=Role.EDITOR))
    assert client.get(reverse("admin:llm_languagemodel_changelist")).status_code == 403


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"input_price": "-1"}, "The price must be 0 or more, not -1."),
        ({"output_price": "-0.000001"}, "The price must be 0 or more"),
        ({"cached_price": "-1"}, "The price must be 0 or more"),
        ({"max_concurrency": "0"}, "A limit is at least 1"),
        ({"max_output_tokens": "0"}, "The maximum response length must be at least 1 token"),
        ({"api_key_env": "PATH"}, "_API_KEY"),
    ],
)
def test_a_wrong_value_is_refused_with_a_sentence(
    admin_page: Client, values: dict[str, str], sentence: str
) -> None:
    model = LanguageModel.objects.create(name="m")
    url = reverse("admin:llm_languagemodel_change", args=[model.pk])
    form = {
        "structured_output": "auto", "parameters": "{}", "input_price": "0.4",
        "output_price": "1.6", "context_tokens": "1000", "max_output_tokens": "100",
    } | values  # fmt: skip

    answer = admin_page.post(url, form)

    assert answer.status_code == 200
    assert sentence in answer.text
    assert "llm_model_" not in answer.text, "the name of a constraint is for nobody"


def test_admin_has_the_icon_of_the_product(admin_page: Client) -> None:
    page = admin_page.get(reverse("admin:llm_languagemodel_changelist")).text
    assert re.search(r'<link rel="icon" href="[^"]*img/mark[^"]*\.svg"', page)
