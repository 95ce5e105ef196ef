"""The options of a backfill besides its filters, as API, command, and form send them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from django import forms
from django.http import QueryDict
from pydantic import BeforeValidator

from apps.analysis.effects import UNLESS_ASKED, SideEffects, SideEffectsForm
from apps.conversations.filters.editor import FilterForm, filters_in, read_filters
from apps.conversations.filters.rows import EditorRow
from apps.core.dollars_field import DollarsField
from apps.core.errors import Example, UserError
from apps.core.schemas import Body, Dollars, Percentage, WholeNumber
from apps.llm.pricing import FLEX

from .budgets import Seen

STANDARD, WAIT, ECONOMY = "standard", "wait", "economy"
"""The usual lane; what a cheaper lane does without capacity unless asked otherwise; and the lane
of the Batch API."""
LABELS = {STANDARD: "Standard", FLEX: "Flex", ECONOMY: "Economy"}


class InvalidOptions(UserError):
    """Raised for an option that is unknown or out of range; ``fields`` names each."""

    code = "invalid_options"
    example = Example(
        "sample.count must be a whole number from 1 to 10,000,000, not “0”.",
        {"sample.count": "sample.count must be a whole number from 1 to 10,000,000, not “0”."},
    )


class NotAvailable(InvalidOptions):
    """Raised for a lane that the models of a backfill don't have: ignored, it would cost money."""

    code = "not_available"
    example = Example(
        "Flex isn’t available: gpt-4.1-mini has no flex price factor under Models. Remove lane.",
        {"lane": "gpt-4.1-mini has no flex price factor under Models."},
    )


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a backfill, at their defaults.

    At most one of ``sample_count`` and ``sample_percent`` is set; both draw by the ID of the
    conversation, so that the same sample comes out each time.
    """

    sample_count: int | None = None
    sample_percent: Decimal | None = None
    include_analyzed: bool = False
    side_effects: SideEffects = UNLESS_ASKED
    budget: Decimal | None = None
    lane: str = STANDARD
    flex_unavailable: str = WAIT
    batch_expired: str = WAIT

    @property
    def sampled(self) -> bool:
        return self.sample_count is not None or self.sample_percent is not None

    def as_dict(self) -> dict[str, Any]:
        """Return the options as the API shows them and as they are stored with the run."""
        sample: dict[str, Any] | None = None
        if self.sample_count is not None:
            sample = {"count": self.sample_count}
        elif self.sample_percent is not None:
            sample = {"percent": float(self.sample_percent)}
        return {
            "sample": sample,
            "include_analyzed": self.include_analyzed,
            "side_effects": self.side_effects.as_dict(),
            "lane": self.lane,
            "flex_unavailable": self.flex_unavailable if self.lane == FLEX else None,
            "batch_expired": self.batch_expired if self.lane == ECONOMY else None,
            "budget": None if self.budget is None else f"{self.budget:f}",
        }


class SampleByCount(Body):
    """N of the matching conversations, drawn by their IDs: the same ones each time."""

    count: Annotated[int, WholeNumber(1, 10_000_000)]


def _as_number(value: object) -> object:
    """Read a number that was written as text, as in a command."""
    try:
        return Decimal(value) if isinstance(value, str) else value
    except InvalidOperation:
        return value


class SampleByShare(Body):
    """A share of the matching conversations, drawn by their IDs: the same ones each time."""

    percent: Annotated[float, Percentage(above_zero=True), BeforeValidator(_as_number)]


def _none_if_empty(value: object) -> object:
    return None if value in ("", {}) else value


class OptionsIn(Body):
    """The options as the API, the command and the form send them, and as a run stores them."""

    unknown = InvalidOptions
    missing = InvalidOptions
    invalid = InvalidOptions
    wrong_type = InvalidOptions

    sample: Annotated[SampleByCount | SampleByShare | None, BeforeValidator(_none_if_empty)] = None
    include_analyzed: bool = False
    """Also reanalyze conversations that already have a result for these prompts."""
    side_effects: SideEffects | None = None
    lane: Annotated[
        Literal["standard", "flex", "economy"] | None, BeforeValidator(_none_if_empty)
    ] = None
    """`flex`: slower responses at a lower price, where each model has a flex price factor.
    `economy`: responses within 24 hours through the provider's Batch API, where each model has a
    batch price factor."""
    flex_unavailable: Annotated[
        Literal["wait", "standard"] | None, BeforeValidator(_none_if_empty)
    ] = None
    """In the lane `flex`, what happens after two minutes without flex capacity: `wait` (the
    default) pauses the backfill until there is some, `standard` pays the standard price."""
    batch_expired: Annotated[
        Literal["wait", "standard"] | None, BeforeValidator(_none_if_empty)
    ] = None
    """In the lane `economy`, what happens after two batches in a row that the provider did not
    complete in 24 hours: `wait` (the default) pauses the backfill, `standard` pays the standard
    price for the rest."""
    budget: Annotated[str | None, Dollars(), BeforeValidator(_none_if_empty)] = None
    """A limit in US dollars as text. The backfill pauses when this much is spent. Requires a price
    for each model."""

    def options(self) -> Options:
        """Return the options. Raises InvalidOptions for one that has no effect."""
        for name, lane in (("flex_unavailable", FLEX), ("batch_expired", ECONOMY)):
            if getattr(self, name) and self.lane != lane:
                message = f"{name} needs the lane {lane}. Set lane to {lane}, or remove it."
                raise InvalidOptions(message, {name: message})
        count, percent = None, None
        if isinstance(self.sample, SampleByCount):
            count = self.sample.count
        elif self.sample:
            percent = Decimal(str(self.sample.percent))
        effects = self.side_effects or UNLESS_ASKED
        budget = None if self.budget is None else Decimal(self.budget)
        return Options(
            count,
            percent,
            self.include_analyzed,
            effects,
            budget,
            lane=self.lane or STANDARD,
            flex_unavailable=self.flex_unavailable or WAIT,
            batch_expired=self.batch_expired or WAIT,
        )


def read_options(data: Mapping[str, Any]) -> Options:
    """Return the options in some data. Raises InvalidOptions, naming each bad one."""
    return OptionsIn.parse(data).options()


#: The options of a backfill.
BACKFILL_OPTIONS = {
    *("sample", "sample_unit", "include_analyzed", "contacts", "webhooks"),
    *("lane", "flex_unavailable", "batch_expired", "budget"),
}

BUDGET_RULE = "The budget must be more than $0 and at most $1,000,000, with up to 4 decimal places."


class OptionsForm(SideEffectsForm):
    """The folded options of the form. ``options`` is None while something is wrong."""

    sample = forms.DecimalField(
        required=False,
        label="Sample",
        widget=forms.NumberInput(attrs={"min": "0", "step": "any", "placeholder": "all"}),
    )
    sample_unit = forms.ChoiceField(
        required=False,
        label="Unit of the sample",
        choices=[("count", "conversations"), ("percent", "percent")],
        widget=forms.Select(attrs={"aria-label": "Unit of the sample"}),
    )
    budget = forms.DecimalField(
        required=False,
        label="Budget in US dollars",
        widget=forms.NumberInput(attrs={"min": "0", "step": "any", "placeholder": "no limit"}),
        error_messages={"invalid": BUDGET_RULE},
    )
    include_analyzed = forms.BooleanField(required=False, label="Include up-to-date results")
    lane = forms.ChoiceField(
        required=False,
        label="Lane",
        choices=list(LABELS.items()),
        error_messages={"invalid_choice": "The lane must be standard, flex, or economy."},
    )
    flex_unavailable = forms.ChoiceField(
        required=False,
        label="Without flex capacity",
        choices=[(WAIT, "wait"), (STANDARD, "pay the standard price")],
        error_messages={"invalid_choice": "Without flex capacity, wait or use standard."},
    )
    batch_expired = forms.ChoiceField(
        required=False,
        label="After expired batches",
        choices=[(WAIT, "wait"), (STANDARD, "pay the standard price")],
        error_messages={"invalid_choice": "After expired batches, wait or use standard."},
    )
    options: Options | None = None
    proposed: int | None = None
    """The sample that the form proposes: the page explains it next to its field."""

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if self.errors:
            return data
        try:
            self.options = read_options(
                {
                    "include_analyzed": data["include_analyzed"],
                    "sample": _sample(data),
                    "side_effects": self.side_effects.as_dict(),
                    "budget": data["budget"],
                    "lane": data["lane"],
                    "flex_unavailable": data["flex_unavailable"] if data["lane"] == FLEX else "",
                    "batch_expired": data["batch_expired"] if data["lane"] == ECONOMY else "",
                }
            )
        except InvalidOptions as error:
            if "budget" in error.fields:
                self.add_error("budget", BUDGET_RULE)
            else:
                self.add_error("sample", re.sub(r"^sample\.\w+", "The sample", error.message))
        return data

    @property
    def lane_fields(self) -> list[forms.BoundField]:
        """Return the fields of the lane, which stay in the form if there are no numbers."""
        return [self[name] for name in ("lane", "flex_unavailable", "batch_expired")]

    @property
    def is_plain(self) -> bool:
        """Whether nothing is chosen that is folded, so that it may stay so."""
        return not self.errors and self._folded == Options()

    @property
    def _folded(self) -> Options | None:
        return self.options and replace(
            self.options, lane=STANDARD, flex_unavailable=WAIT, batch_expired=WAIT
        )


def _sample(data: dict[str, Any]) -> dict[str, Any] | None:
    amount: Decimal | None = data["sample"]
    if amount is None:
        return None
    if data["sample_unit"] == "percent":
        return {"percent": amount}
    return {"count": int(amount) if amount == int(amount) else float(amount)}


@dataclass(frozen=True)
class Question(FilterForm):
    """The form of a backfill that was read. ``options`` is None where one of them is wrong."""

    options_form: OptionsForm

    @property
    def options(self) -> Options | None:
        return self.options_form.options

    def rows(self) -> list[EditorRow]:
        """Return the filter rows, and an empty one where there is no other."""
        return super().rows() or replace(self, spare_row="1").rows()


def with_sample(data: QueryDict, sample: int | None) -> QueryDict:
    """Return the address that opens the form with a sample proposed, where it names none."""
    if sample is None or "sample" in data:
        return data
    proposing = data.copy()
    proposing["sample"] = str(sample)
    return proposing


def read_question(channel: str, data: QueryDict, *, proposed: int | None = None) -> Question:
    """What a form, or the address of a history page, asks for. Nothing wrong is left out.

    ``proposed`` is the sample to begin with, where the address names none.
    """
    opened, data = data, with_sample(data, proposed)
    options_form = OptionsForm(data)
    options_form.is_valid()
    options_form.proposed = proposed if data is not opened else None
    given = filters_in(data, other=BACKFILL_OPTIONS)
    return Question(**read_filters(channel, given, data), options_form=options_form)


class BudgetForm(forms.Form):
    """The new budget of a backfill, and the one that was shown, empty for none."""

    budget = DollarsField(label="Budget in US dollars", help_text="Empty removes the limit.")
    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    @property
    def seen_budget(self) -> Seen:
        """Return the budget that the form was opened with."""
        try:
            return Seen(Decimal(self.cleaned_data["seen"]) if self.cleaned_data["seen"] else None)
        except InvalidOperation:
            return Seen(Decimal(-1))
