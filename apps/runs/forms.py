"""What the backfill form asks: filter rows and options, read strictly."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms
from django.http import QueryDict

from apps.analysis.forms import SideEffectsForm
from apps.conversations.filters import FilterError, FilterSpec, editor, field_named, parse
from apps.conversations.filters.operators import split_name

from .options import InvalidOptions, Options, read_options

#: Names of the form that are no filters, and those of a history page that a run has no use for.
OWN = {
    *("channel", "csrfmiddlewaretoken", "token", "show", "add", "remove"),
    *("sample", "sample_unit", "include_analyzed", "webhooks"),
}
OF_A_PAGE = {"sort", "columns", "cursor", "all_matching"}

Params = dict[str, list[str]]


class OptionsForm(SideEffectsForm):
    """The folded options of the form. ``options`` is None while something is wrong."""

    sample = forms.DecimalField(
        required=False,
        label="Only a sample of",
        widget=forms.NumberInput(attrs={"min": "0", "step": "any", "placeholder": "all"}),
    )
    sample_unit = forms.ChoiceField(
        required=False,
        label="Unit of the sample",
        choices=[("count", "conversations"), ("percent", "percent")],
        widget=forms.Select(attrs={"aria-label": "Unit of the sample"}),
    )
    include_analyzed = forms.BooleanField(
        required=False, label="Include those that already have this result"
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
                }
            )
        except InvalidOptions as error:
            self.add_error("sample", re.sub(r"^sample\.\w+", "The sample", error.message))
        return data

    @property
    def is_plain(self) -> bool:
        """Whether nothing is chosen, so that the options may stay folded."""
        return not self.errors and self.options == Options()


def _sample(data: dict[str, Any]) -> dict[str, Any] | None:
    amount: Decimal | None = data["sample"]
    if amount is None:
        return None
    if data["sample_unit"] == "percent":
        return {"percent": amount}
    return {"count": int(amount) if amount == int(amount) else float(amount)}


@dataclass(frozen=True)
class Kept:
    """A filter that no row shows: a selection of rows, or what is no filter at all.

    It stays in the form until a person removes it, so that it never falls away unseen.
    """

    name: str
    values: list[str]
    message: str


@dataclass(frozen=True)
class Question:
    """A form that was read. ``spec`` and ``options`` are None where something is wrong with them.

    ``given`` are the filters as they were typed, ``errors`` a sentence by parameter; ``row_of``
    is the parameter by the number of the submitted row.
    """

    channel: str
    given: Params
    spec: FilterSpec | None
    errors: dict[str, str]
    row_of: dict[str, str]
    options_form: OptionsForm
    spare_row: bool = False

    @property
    def options(self) -> Options | None:
        return self.options_form.options

    @property
    def search(self) -> str:
        """The words that are searched for, which are a filter without a row."""
        return " ".join(self.given.get("q", []))

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
        """A message for each submitted row, empty where it is well, or not yet filled in."""
        told = self._without_value()
        messages = []
        for number, parameter in self.row_of.items():
            messages.append((number, "" if parameter in told else self.errors.get(parameter, "")))
            told.add(parameter)
        return messages

    def rows(self) -> list[editor.EditorRow]:
        """The filter rows as the template draws them."""
        filters = {
            name: values
            for name, values in self.given.items()
            if name != "q" and self._has_row(name)
        }
        drawn = editor.rows_of(self.channel, filters, self.errors)
        if self.spare_row or not drawn:
            taken = QueryDict(mutable=True)
            taken.update({f"{row.name}-field": "" for row in drawn})
            drawn.append(editor.new_row(self.channel, taken))
        return drawn

    def _has_row(self, parameter: str) -> bool:
        """Whether a row shows it. A selection on a history page is shown by its number."""
        if parameter == "id" and len(self.given["id"]) > 1 and "id" not in self.row_of.values():
            return False
        return self._label(parameter) is not None

    def _label(self, parameter: str) -> str | None:
        field = field_named(split_name(parameter)[0], self.channel)
        return field.label if field else None

    def _without_value(self) -> set[str]:
        return {
            name for name in self.errors if not "".join(self.given.get(name, [])).strip(" ,")
        } & set(self.row_of.values())


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
    params = editor.params_of(data)
    removed = data.get("remove", "")
    given = {
        name: values
        for name, values in params.lists()
        if name not in {*OWN, *OF_A_PAGE, removed} and not _is_empty_search(name, values)
    }
    options_form = OptionsForm(data)
    options_form.is_valid()
    options_form.proposed = proposed if data is not opened else None
    spec: FilterSpec | None = None
    errors: dict[str, str] = {}
    try:
        spec = parse(channel, given)
    except FilterError as error:
        errors = error.errors
    return Question(
        channel=channel,
        given=given,
        spec=spec,
        errors=errors,
        row_of=_parameters_by_row(data),
        options_form=options_form,
        spare_row="add" in data,
    )


def _is_empty_search(name: str, values: list[str]) -> bool:
    """A search box that was emptied asks for nothing."""
    return name == "q" and not "".join(values).strip()


def _parameters_by_row(data: QueryDict) -> dict[str, str]:
    """The parameter that each submitted row amounts to, by the row's number."""
    found: dict[str, str] = {}
    for name in data:
        prefix, _, last = name.rpartition("-")
        if last == "field" and prefix.startswith("row-"):
            operator = data.get(f"{prefix}-op", "")
            field = data.get(name, "")
            parameter = f"{field}__{operator}" if operator else field
            found[prefix.removeprefix("row-")] = parameter
    return found
