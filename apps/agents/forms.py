"""Forms of the agent pages: submitted values in the form of a draft.

``changes.merge`` validates them, for pages and the API alike. Text that isn't a number is passed on
as it was typed, so that the error names it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.http import QueryDict

from apps.core.display import money
from apps.llm.connections import missing_key
from apps.llm.models import LanguageModel
from apps.llm.typical_cost import Typical, typical_conversation

from .builder import RowError, read_rows, schema_of
from .changes import COLUMN_NAMES, Fault
from .content import Json
from .documents import EMPTY_SCHEMA, categories
from .models import Agent, Channel
from .templates import TEMPLATES

#: A select of more is no help; any agent's id works in the address, as ``?source=agt_…``.
MANY_AGENTS = 200

Choices = list[tuple[str, str | list[tuple[str, str]]]]

if TYPE_CHECKING:  # generic in the stubs only
    ModelChoice = forms.ModelChoiceField[LanguageModel]
else:
    ModelChoice = forms.ModelChoiceField


def start_choices(nothing: str = "") -> Choices:
    """Return what a draft can start from: the templates, then the agents that are in use."""
    agents = Agent.objects.active().in_page_order().values_list("public_id", "name")
    groups: Choices = [("Templates", [(t.key, t.title) for t in TEMPLATES])]
    if found := list(agents[:MANY_AGENTS]):
        groups.append(("Fields of an agent", found))
    return [("", nothing), *groups] if nothing else groups


class LanguageModelSelect(forms.Select):
    """A model whose key is not set is shown, and cannot be chosen."""

    def create_option(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option = super().create_option(*args, **kwargs)
        model = getattr(option["value"], "instance", None)
        if model and not option["selected"] and missing_key(model.spec()):
            option["attrs"]["disabled"] = True
        return option


class LanguageModelField(ModelChoice):
    """A model, offered with its prices."""

    widget = LanguageModelSelect

    typical = Typical()

    def label_from_instance(self, obj: LanguageModel) -> str:
        return model_label(obj, self.typical.cost(obj))


class AgentForm(forms.Form):
    name = forms.CharField(
        max_length=200,
        widget=forms.TextInput(attrs={"autofocus": True, "placeholder": "Billing line"}),
        error_messages={"required": "Enter a name."},
    )
    channel = forms.ChoiceField(
        choices=Channel.choices,
        initial=Channel.VOICE,
        widget=forms.RadioSelect,
        help_text="Determines the built-in fields. You can’t change this later.",
        error_messages={
            "required": "Choose voice or chat.",
            "invalid_choice": "“%(value)s” isn’t a valid channel. Use voice or chat.",
        },
    )
    model = LanguageModelField(
        queryset=LanguageModel.objects.filter(enabled=True),
        required=False,
        empty_label=None,
    )
    start = forms.ChoiceField(
        label="Start from",
        required=False,
        choices=lambda: start_choices("Default prompts, no custom fields"),
        help_text="You can edit everything later.",
        error_messages={"invalid_choice": "%(value)s is neither a template nor an agent."},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        model = cast("LanguageModelField", self.fields["model"])
        model.typical = typical_conversation()
        model.help_text = (
            f"A typical conversation has about {model.typical}. Other prices are dollars per "
            "million tokens. The model can be changed at any time."
        )


class StartForm(forms.Form):
    """What to start from and how; a wrong or missing ``how`` merges, which loses nothing."""

    source = forms.CharField(
        max_length=100, error_messages={"required": "Choose a template or an agent."}
    )
    how = forms.ChoiceField(choices=[("merge", "Merge"), ("replace", "Replace")], required=False)
    prompt = forms.BooleanField(required=False)


class RenameForm(forms.Form):
    name = forms.CharField(
        max_length=200,
        widget=forms.TextInput(attrs={"autofocus": True}),
        error_messages={"required": "Enter a name."},
    )


class PublishForm(forms.Form):
    title = forms.CharField(
        max_length=200,
        required=False,
        widget=forms.TextInput(attrs={"autofocus": True, "placeholder": "What changed"}),
    )
    note = forms.CharField(
        required=False, max_length=10_000, widget=forms.Textarea(attrs={"rows": 3})
    )
    version = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
    save_count = forms.IntegerField(min_value=0, widget=forms.HiddenInput)


class StampForm(forms.Form):
    """The state of a draft that a page was filled from, and so its document with it."""

    base_version = forms.IntegerField(min_value=0, max_value=2**31)
    base = forms.IntegerField(min_value=0, max_value=2**31)

    @property
    def stamp(self) -> tuple[int, int] | None:
        """Return the number of the draft and of its save; None where the page names none."""
        values = self.cleaned_data if self.is_valid() else None
        return (values["base_version"], values["base"]) if values else None


@dataclass(frozen=True, slots=True)
class FieldsInput:
    """The fields tab as it was sent: from the builder or as JSON text.

    ``schema`` is what to save (text or value), ``fault`` why rows cannot be read, ``text`` what
    the raw editor shows again.
    """

    mode: str
    schema: object
    text: str
    rows: str = ""
    base: str = ""
    faults: tuple[Fault, ...] = ()


def prompts_changes(data: QueryDict, channel: str) -> Json:
    """Return the Prompts tab as changes to a draft."""
    return {
        "analysis": {
            "model": data.get("model", ""),
            "instructions": data.get("instructions", ""),
            "built_ins": {
                item.name: {
                    "prompt": data.get(f"{item.name}-prompt", ""),
                    "enabled": f"{item.name}-enabled" in data,
                    "required": f"{item.name}-required" in data,
                }
                for item in categories(channel)
            },
        },
        "columns": {name: data.get(f"column-{name}", "") for name in COLUMN_NAMES},
    }


def post_analysis_changes(data: QueryDict, channel: str) -> Json:
    """Return the Post analysis tab as changes to a draft."""
    changes: Json = {
        "enabled": "enabled" in data,
        "sample_percent": _number(data.get("sample_percent", "")),
        "min_seconds": _number(data.get("min_seconds", "")),
        "min_messages": _number(data.get("min_messages", "")),
        "long_transcript": data.get("long_transcript", ""),
    }
    if channel == Channel.CHAT:
        minutes = _number(data.get("chat_idle_minutes", ""))
        seconds = minutes * 60 if isinstance(minutes, Decimal) else minutes
        changes["chat_idle_seconds"] = seconds
    if "retention_days" in data:  # not sent by those who may not change it
        changes["retention_days"] = _number(data.get("retention_days", ""))
    return {"post_analysis": changes}


def fields_input(data: QueryDict) -> FieldsInput:
    """Return the Fields tab, from whichever of its two editors it came."""
    if data.get("mode") != "builder":
        text = data.get("schema", "")
        return FieldsInput("json", text, text)
    rows, base = data.get("rows", ""), data.get("base_schema", "")
    value = _json(rows)
    rows = rows if isinstance(value, list) else "[]"
    try:
        schema = schema_of(read_rows(value), base=_object(base))
    except RowError as error:
        fault = Fault("analysis.schema", error.message, f"row-{error.row}-{error.part}")
        return FieldsInput("builder", None, "", rows, base, (fault,))
    return FieldsInput("builder", schema, pretty(schema), rows, base)


def pretty(schema: object) -> str:
    """Return a schema as the raw editor shows it: short lists on one line, the order stored."""
    return json.dumps(schema, indent=2, ensure_ascii=False)


def model_label(model: LanguageModel, each: Decimal | None) -> str:
    """Return a model with its prices for a select; ``each`` is what a conversation costs."""
    if model.is_local:
        return f"{model.name} · local, free"
    if variable := missing_key(model.spec()):
        return f"{model.name} · needs {variable}"
    if not model.price_known:
        return f"{model.name} · price unknown"
    off = "" if model.enabled else " · switched off"
    typical = "" if each is None else f" · about {money(each)} per conversation"
    now = model.prices
    prices = f"${_price(now.input)} in, ${_price(now.output)} out"
    return f"{model.name} · {prices}{typical}{off}"


def _price(value: Decimal | None) -> str:
    text = f"{value or Decimal(0):f}"
    whole, _, digits = text.partition(".")
    return f"{whole}.{digits.rstrip('0').ljust(2, '0')}"


def _number(text: str) -> Decimal | str | None:
    stripped = text.strip().replace(",", ".")
    if not stripped:
        return None
    try:
        number = Decimal(stripped)
    except InvalidOperation:
        return text
    return number if number.is_finite() and len(stripped) < 30 else text


def _json(text: str) -> object:
    try:
        return json.loads(text) if len(text) < 5_000_000 else None
    except (ValueError, RecursionError):
        return None


def _object(text: str) -> Mapping[str, object]:
    value = _json(text)
    return value if isinstance(value, dict) else EMPTY_SCHEMA
