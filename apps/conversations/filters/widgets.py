"""The widget of each kind of value, for the add-a-row editor."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.utils.datastructures import MultiValueDict

from .kinds import Kind


class _Several(forms.Widget):
    """Reads every value of its name: repeating a parameter means *any of*."""

    def value_from_datadict(self, data: Mapping[str, Any], files: object, name: str) -> list[str]:
        return data.getlist(name) if isinstance(data, MultiValueDict) else [data[name]]


class TextValues(_Several, forms.TextInput):
    pass


class NumberValues(_Several, forms.NumberInput):
    pass


class DateValues(_Several, forms.DateInput):
    input_type = "date"


class ChoiceValues(forms.CheckboxSelectMultiple):
    pass


class YesNoValues(_Several, forms.Select):
    pass


_YES_NO = (("true", "Yes"), ("false", "No"))


def widget_for(kind: Kind, operator: str, choices: Sequence[tuple[str, str]]) -> forms.Widget:
    """The widget for one value of this kind (of a choice: for all of them)."""
    if operator == "isset" or kind is Kind.YES_NO:
        return YesNoValues(choices=_YES_NO)
    if kind is Kind.CHOICE:
        return ChoiceValues(choices=choices)
    if kind is Kind.NUMBER:
        return NumberValues(attrs={"step": "any"})
    if kind is Kind.TIME:
        return DateValues()
    return TextValues()
