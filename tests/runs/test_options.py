"""The options of a backfill, from a form or a body."""

from decimal import Decimal
from typing import Any

import pytest

from apps.runs.options import InvalidOptions, Options, read_options


def test_the_defaults_take_all_that_lack_the_result() -> None:
    assert read_options({}) == Options(None, None, include_analyzed=False)
    assert not Options().sampled


def test_the_defaults_may_be_stated() -> None:
    stated = {
        "sample": None,
        "include_analyzed": False,
        "budget": None,
        "lane": "standard",
        "side_effects": {"contacts": True, "webhooks": "off"},
    }
    assert read_options(stated) == Options()


@pytest.mark.parametrize(
    ("sample", "options"),
    [
        ({"count": 5}, Options(sample_count=5)),
        ({"percent": 2.5}, Options(sample_percent=Decimal("2.5"))),
        ({"percent": "100"}, Options(sample_percent=Decimal(100))),
    ],
)
def test_a_sample_is_a_number_or_a_share(sample: dict[str, Any], options: Options) -> None:
    assert read_options({"sample": sample}) == options
    assert options.sampled


@pytest.mark.parametrize(
    "sample",
    [
        {"count": 0}, {"count": -1}, {"count": 1.5}, {"count": True}, {"count": "5"},
        {"count": 10_000_001}, {"percent": 0}, {"percent": 101}, {"percent": "NaN"},
        {"percent": "half"}, {"percent": True}, {"count": 1, "percent": 1}, {"part": 1}, [5], "5",
    ],
)  # fmt: skip
def test_what_is_no_sample_is_refused_by_name(sample: object) -> None:
    with pytest.raises(InvalidOptions) as refused:
        read_options({"sample": sample})
    assert {place.partition(".")[0] for place in refused.value.fields} == {"sample"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("include_analyzed", "yes"),
        ("lane", "fast"),
        ("batch_expired", "standard"),
        ("budget", "0"),
        ("budget", "-1"),
        ("budget", "1e3"),
        ("budget", "0.00001"),
        ("budget", "1000001"),
        ("budget", 12.5),
        ("budget", "many"),
        ("side_effects", {"webhooks": "some"}),
        ("side_effects", {"webhooks": ["all"]}),
        ("side_effects", {"contacts": "yes"}),
        ("side_effects", {"alerts": True}),
        ("side_effects", ["contacts"]),
        ("samples", {"count": 5}),
    ],
)
def test_what_cannot_be_done_is_refused_rather_than_left_out(name: str, value: object) -> None:
    with pytest.raises(InvalidOptions) as refused:
        read_options({name: value})
    assert {place.partition(".")[0] for place in refused.value.fields} == {name}


def test_what_is_kept_reads_back_the_same() -> None:
    for options in (
        Options(),
        Options(sample_count=7, include_analyzed=True),
        Options(sample_percent=Decimal("0.1")),
        Options(budget=Decimal("12.50")),
    ):
        assert read_options(options.as_dict()).as_dict() == options.as_dict()


def test_side_effects_are_kept_with_the_run_and_read_again() -> None:
    options = read_options({"side_effects": {"webhooks": "changed", "contacts": False}})

    assert options.as_dict()["side_effects"] == {"contacts": False, "webhooks": "changed"}
    assert read_options(options.as_dict()) == options
