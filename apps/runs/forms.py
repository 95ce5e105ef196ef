"""What the backfill form asks: filter rows and options, read strictly."""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from django.http import Http404, QueryDict

from apps.agents.models import Channel
from apps.analysis.effects import SideEffectsForm
from apps.conversations.filters import (
    ConversationFields,
    FilterError,
    FilterSpec,
    editor,
    field_named,
    parse,
)
from apps.conversations.filters.grammar import split_group, split_name
from apps.core.dollars_field import DollarsField
from apps.llm.pricing import FLEX

from .budgets import Seen
from .lanes import LABELS
from .options import ECONOMY, STANDARD, WAIT, InvalidOptions, Options, read_options

#: Names in the forms of all runs that are not filters.
_NOT_FILTERS = {
    *("channel", "csrfmiddlewaretoken", "token", "look", "show", "add", "remove", "drop"),
    *("sort", "columns", "cursor", "all_matching"),
}
#: Submit buttons that only ask to be shown something, without script or in another dialog.
_LOOKS = ("look", "show", "add", "drop", "remove")
#: The options of a backfill.
BACKFILL_OPTIONS = {
    *("sample", "sample_unit", "include_analyzed", "contacts", "webhooks"),
    *("lane", "flex_unavailable", "batch_expired", "budget"),
}

BUDGET_RULE = "The budget must be more than $0 and at most $1,000,000, with up to 4 decimal places."

Params = dict[str, list[str]]


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
    """The sample that nobody asked for: it is explained beside its field."""

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
        """Return the fields of the lane, which stay in the form where there are no figures."""
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


@dataclass(frozen=True)
class Kept:
    """A filter that no row shows: a selection of rows, or what is no filter at all.

    It stays in the form until a person removes it, so that it never falls away unseen.
    """

    name: str
    values: list[str]
    message: str


@dataclass(frozen=True)
class FilterForm:
    """The filters of a form that was read. ``spec`` is None where one of them is wrong.

    ``given`` are the filters as they were typed, ``errors`` a message by parameter; ``row_of``
    is the parameter by the number of the submitted row, ``spare_row`` the group in which an empty
    row is added: `editor.NEW_GROUP` for one of its own, "1" for none, empty for no row.
    """

    channel: str
    given: Params
    spec: FilterSpec | None
    errors: dict[str, str]
    row_of: dict[str, str]
    spare_row: str

    @property
    def search(self) -> str:
        """The words that are searched for, which are a filter without a row."""
        return " ".join(self.given.get("q", []))

    @property
    def chosen_ids(self) -> list[str]:
        """Conversations that were selected on a history page, which no row has room for."""
        return [] if self._has_row("id") else self.given.get("id", [])

    @property
    def kept(self) -> list[Kept]:
        """Filters that no row can show."""
        return [
            Kept(name, values, self.errors.get(name, ""))
            for name, values in self.given.items()
            if name != "q" and not self._has_row(name)
        ]

    @property
    def waiting(self) -> list[str]:
        """Labels of the rows in which a field was chosen and no value yet."""
        return [self._label(name) or name for name in self._without_value()]

    @property
    def row_messages(self) -> list[tuple[str, str]]:
        """A message for each submitted row, empty where it is valid, or not yet filled in."""
        told = self._without_value()
        messages = []
        for number, parameter in self.row_of.items():
            messages.append((number, "" if parameter in told else self.errors.get(parameter, "")))
            told.add(parameter)
        return messages

    def rows(self) -> list[editor.EditorRow]:
        """Return the filter rows as the template draws them."""
        filters = {
            name: values
            for name, values in self.given.items()
            if name != "q" and self._has_row(name)
        }
        drawn = editor.rows_of(ConversationFields(self.channel), filters, self.errors)
        if self.spare_row:
            taken = QueryDict(mutable=True)
            for row in drawn:
                taken.update({f"{row.name}-field": "", f"{row.name}-any": row.group})
            taken["add"] = self.spare_row
            group = editor.added_to(taken)
            added = editor.new_row(ConversationFields(self.channel), taken, group=group)
            drawn = editor.together([*drawn, added])
        return drawn

    def _without_value(self) -> set[str]:
        return {
            name for name in self.errors if not "".join(self.given.get(name, [])).strip(" ,")
        } & set(self.row_of.values())

    def _has_row(self, parameter: str) -> bool:
        """Return whether a row shows it. A selection on a history page is shown by its number."""
        if parameter == "id" and len(self.given.get("id", [])) > 1:
            return "id" in self.row_of.values()
        return self._label(parameter) is not None

    def _label(self, parameter: str) -> str | None:
        field = field_named(split_name(split_group(parameter)[1])[0], self.channel)
        return field.label if field else None


def channel_of(data: QueryDict) -> Channel:
    """Return the channel that a form or an address names. Raises Http404 for another, or none."""
    channel = data.get("channel", "")
    if channel not in Channel.values:
        raise Http404("channel must be voice or chat.")
    return Channel(channel)


def only_looks(data: QueryDict) -> bool:
    """Return whether a form was sent to be shown again, not to start anything."""
    return any(name in data for name in _LOOKS)


def filters_in(data: QueryDict, *, other: Collection[str]) -> Params:
    """Return the filters of a form or an address. ``other`` are its names that are none."""
    return {
        name: values
        for name, values in editor.params_of(data).lists()
        if name not in {*_NOT_FILTERS, *other, data.get("remove", "")}
        and not (name == "q" and not "".join(values).strip())  # a search box that was emptied
    }


def read_filters(channel: str, given: Params, data: QueryDict) -> dict[str, Any]:
    """Return the values of a `FilterForm`. Nothing that is wrong is left out."""
    spec: FilterSpec | None = None
    errors: dict[str, str] = {}
    try:
        spec = parse(channel, given)
    except FilterError as error:
        errors = error.errors
    return {
        "channel": channel,
        "given": given,
        "spec": spec,
        "errors": errors,
        "row_of": {str(n): name for n, name in editor.parameters_by_row(data).items()},
        "spare_row": data.get("add", ""),
    }


@dataclass(frozen=True)
class Question(FilterForm):
    """The form of a backfill that was read. ``options`` is None where one of them is wrong."""

    options_form: OptionsForm

    @property
    def options(self) -> Options | None:
        return self.options_form.options

    def rows(self) -> list[editor.EditorRow]:
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
