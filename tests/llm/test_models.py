from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from apps.llm.models import LanguageModel, Purpose, Usage

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"name": ""}, "llm_model_name_not_empty"),
        ({"api_key_env": "SECRET"}, "llm_model_key_env_ends_in_api_key"),
        ({"api_key_env": "my_API_KEY"}, "llm_model_key_env_ends_in_api_key"),
        ({"api_key_env": "A_API_KEY\n"}, "llm_model_key_env_ends_in_api_key"),
        ({"input_price": -1, "output_price": 1}, "llm_model_prices_not_negative"),
        ({"input_price": 1, "output_price": -1}, "llm_model_prices_not_negative"),
        (
            {"input_price": 1, "output_price": 1, "cached_price": -1},
            "llm_model_prices_not_negative",
        ),
        ({"input_price": 1}, "llm_model_prices_known_together"),
        ({"output_price": 1}, "llm_model_prices_known_together"),
        ({"cached_price": 1}, "llm_model_prices_known_together"),
        ({"max_output_tokens": 0}, "llm_model_answer_fits_context"),
        ({"max_output_tokens": 500, "context_tokens": 500}, "llm_model_answer_fits_context"),
        ({"structured_output": "xml"}, "llm_model_structured_output_known"),
        ({"max_concurrency": 0}, "llm_model_limits_at_least_one"),
        ({"requests_per_minute": 0}, "llm_model_limits_at_least_one"),
        ({"tokens_per_minute": 0}, "llm_model_limits_at_least_one"),
        ({"token_correction": 0}, "llm_model_token_correction_positive"),
        ({"token_correction": float("nan")}, "llm_model_token_correction_positive"),
    ],
)
def test_database_refuses(fields: dict[str, Any], constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        LanguageModel.objects.create(**{"name": "m", **fields})


def test_names_are_unique() -> None:
    LanguageModel.objects.create(name="m")
    with pytest.raises(IntegrityError, match="name"), transaction.atomic():
        LanguageModel.objects.create(name="m")


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"purpose": "fun"}, "llm_usage_purpose_known"),
        ({"input_tokens": 5, "cached_tokens": 6}, "llm_usage_cached_within_input"),
        ({"cost": -1}, "llm_usage_cost_not_negative"),
        ({"output_tokens": -1}, "output_tokens"),
    ],
)
def test_ledger_refuses(fields: dict[str, Any], constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Usage.objects.create(**{"purpose": Purpose.ANALYSIS, "model_name": "m", **fields})


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "MY2_OTHER_API_KEY", ""])
def test_names_of_keys_that_are_taken(name: str) -> None:
    LanguageModel(name="m", api_key_env=name).full_clean()


@pytest.mark.parametrize("name", ["DATABASE_URL", "SECRET_KEY", "openai_api_key", "_API_KEY"])
def test_names_of_keys_that_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="ending in _API_KEY"):
        LanguageModel(name="m", api_key_env=name).full_clean()


@pytest.mark.parametrize(
    "url", ["http://ollama:11434/v1", "https://api.example.com/v1", "http://127.0.0.1:1/v1", ""]
)
def test_addresses_that_are_taken(url: str) -> None:
    LanguageModel(name="m", base_url=url).full_clean()


@pytest.mark.parametrize(
    "url", ["ftp://x/y", "api.example.com", "http://", "http://u:p@x/", "http://x:notaport/", "x"]
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="not the address of a server"):
        LanguageModel(name="m", base_url=url).full_clean()


@pytest.mark.parametrize("value", [[1], "x", {"model": "other"}, {"response_format": {}}])
def test_parameters_that_are_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        LanguageModel(name="m", parameters=value).full_clean()


def test_a_spec_is_a_snapshot_without_the_key() -> None:
    model = LanguageModel.objects.create(
        name="m", input_price=Decimal(1), output_price=Decimal(2), parameters={"temperature": 0}
    )
    model.refresh_from_db()
    spec = model.spec()
    model.parameters["temperature"] = 1
    assert (spec.name, spec.id, dict(spec.parameters)) == ("m", model.pk, {"temperature": 0})
    assert spec.prices.output == Decimal(2)
    assert model.price_known


def test_the_ledger_outlives_its_model() -> None:
    model = LanguageModel.objects.create(name="m")
    line = Usage.objects.create(purpose=Purpose.TRY_IT, model=model, model_name="m")
    model.delete()
    line.refresh_from_db()
    assert (line.model_id, line.model_name) == (None, "m")
