"""Connection checks: whether a model responds, and which cheaper lanes its provider has."""

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Role, User
from apps.llm.connection_checks import Connection, check_connection
from apps.llm.models import LanguageModel
from tests.factories import make_model
from tests.fakes.fixtures import FakeLLM

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fake_key")]

LIST = reverse("admin:llm_languagemodel_changelist")


def model_of(fake: FakeLLM) -> LanguageModel:
    return make_model(base_url=fake.url, api_key_env="FAKE_API_KEY")


def seen(model: LanguageModel) -> tuple[bool | None, bool | None]:
    model.refresh_from_db()
    return model.has_flex, model.has_batches


def test_a_provider_with_both_lanes(fake_llm: FakeLLM) -> None:
    model = model_of(fake_llm)
    assert check_connection(model) == Connection("", has_flex=True, has_batches=True)
    assert seen(model) == (True, True)


@pytest.mark.parametrize("flex", ["unknown", "standard"])
def test_a_provider_with_neither(fake_llm: FakeLLM, flex: str) -> None:
    """Some reject the tier, others respond at the standard one."""
    model = model_of(fake_llm)
    fake_llm.set(flex=flex, batches={"absent": True})
    found = check_connection(model)
    assert found == Connection("", has_flex=False, has_batches=False)
    assert "no Batch API, so that economy isn’t offered. It has no flex tier." in found.sentence
    assert seen(model) == (False, False)


def test_flex_without_capacity_says_nothing_about_the_tier(fake_llm: FakeLLM) -> None:
    fake_llm.set(flex="busy")
    found = check_connection(model_of(fake_llm))
    assert (found.problem, found.has_flex) == ("", None)


def test_a_model_that_can_not_be_asked_says_why(
    fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(fake_llm)
    fake_llm.always("401")
    found = check_connection(model)
    assert found.problem
    assert found.sentence == found.problem
    monkeypatch.delenv("FAKE_API_KEY")
    assert "Set FAKE_API_KEY" in check_connection(model).problem


class TestAdmin:
    @pytest.fixture
    def admin(self, client: Client) -> Client:
        client.force_login(User.objects.create_superuser("ada", role=Role.ADMIN))
        return client

    def test_the_list_checks_models(self, admin: Client, fake_llm: FakeLLM) -> None:
        model = model_of(fake_llm)
        chosen = {"action": "check_connection", "_selected_action": [model.pk]}
        page = admin.post(LIST, chosen, follow=True).content.decode()
        assert f"Checked {model.name}. It responds. Its provider has a Batch API" in page
        assert seen(model) == (True, True)

    @pytest.mark.parametrize("absent", [False, True])
    def test_saving_a_batch_price_factor_looks_for_a_batch_api(
        self, admin: Client, fake_llm: FakeLLM, absent: bool
    ) -> None:
        model = model_of(fake_llm)
        fake_llm.set(batches={"absent": absent})
        url = reverse("admin:llm_languagemodel_change", args=[model.pk])
        values = {
            "base_url": fake_llm.url, "api_key_env": "FAKE_API_KEY", "structured_output": "auto",
            "parameters": "{}", "input_price": "1", "output_price": "4", "batch_factor": "0.5",
            "context_tokens": "1000", "max_output_tokens": "100",
        }  # fmt: skip
        page = admin.post(url, values, follow=True).content.decode()
        word = "no" if absent else "a"
        assert f"Checked {model.name}. Its provider has {word} Batch API" in page
        assert seen(model) == (None, not absent)
