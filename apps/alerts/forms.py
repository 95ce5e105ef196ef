"""Forms of rules and incidents, and the filter of the list of incidents."""

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

from django import forms
from django.http import QueryDict

from apps.accounts.models import User
from apps.agents.models import Agent, Channel
from apps.conversations.filters import (
    FilterError,
    RuleFields,
    ValueKind,
    editor,
    parse,
)
from apps.conversations.filters.rows import EditorRow
from apps.conversations.filters.rules import params_of_rule, rule_of_params
from apps.core.errors import UserError

from .definitions import MOST, NAME_LENGTH, Definition
from .incidents import NOTE_LENGTH
from .models import AlertRule, ChannelKind, Direction, IncidentState, Kind, NoData

Choices: TypeAlias = list[tuple[str, str | list[tuple[str, str]]]]

EACH = "each"
_PLAIN = {"autocomplete": "off", "spellcheck": "false"}
_WATCHABLE = {ValueKind.YES_NO, ValueKind.CHOICE, ValueKind.NUMBER}
_SPLIT = re.compile(r"[\s,;]+")
#: What a setting of a definition is called on the form, where the names differ; None: the form
#: as a whole.
_NAMES: dict[str, str | None] = {"channel": "scope", "when": None}


def _whole(name: str, label: str, initial: int, help_text: str = "") -> forms.IntegerField:
    low, high = MOST[name]
    return forms.IntegerField(
        label=label, min_value=low, max_value=high, initial=initial, help_text=help_text,
        required=False,
    )  # fmt: skip


class RuleForm(forms.Form):
    """A rule as a page edits it. Percentages are entered as such; conditions are rows."""

    name = forms.CharField(
        label="Name", max_length=NAME_LENGTH, widget=forms.TextInput(attrs=_PLAIN)
    )
    kind = forms.ChoiceField(label="Watch", choices=Kind.choices, widget=forms.RadioSelect)
    scope = forms.ChoiceField(label="Conversations")
    field = forms.ChoiceField(label="Field", required=False)
    value = forms.CharField(
        label="Value that is counted", max_length=200, required=False, initial="yes",
        widget=forms.TextInput(attrs=_PLAIN), help_text="Such as yes, no, or billing.",
    )  # fmt: skip
    direction = forms.ChoiceField(label="Alert when it is", choices=Direction.choices)
    threshold = forms.FloatField(label="Threshold", required=False)
    recovery = forms.FloatField(
        label="Recovers at", required=False, help_text="Empty: at the threshold."
    )
    window_hours = _whole("window_hours", "Window in hours", 24)
    min_conversations = _whole(
        "min_conversations", "Minimum conversations", 20, "Fewer count as no data."
    )
    for_minutes = _whole("for_minutes", "Bad for, in minutes", 0, "0: alerts immediately.")
    no_data = forms.ChoiceField(label="Without data", choices=NoData.choices)
    include_reruns = forms.BooleanField(
        label="Also reruns and backfills", required=False,
        help_text="Off: only first analyses, so that a backfill floods no one.",
    )  # fmt: skip
    quiet_hours = _whole("quiet_hours", "Close after, in hours", 24, "Without a new match.")
    members = forms.ModelMultipleChoiceField(
        label="Members",
        queryset=User.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    addresses = forms.CharField(
        label="Other email addresses", required=False, max_length=10_000,
        widget=forms.Textarea(attrs={"rows": 2, **_PLAIN}),
    )  # fmt: skip
    slack = forms.CharField(
        label="Slack webhook URL", max_length=2000, required=False,
        widget=forms.PasswordInput(attrs={**_PLAIN, "class": "mono", "data-1p-ignore": ""}),
    )  # fmt: skip
    teams = forms.CharField(
        label="Teams webhook URL", max_length=2000, required=False,
        widget=forms.PasswordInput(attrs={**_PLAIN, "class": "mono", "data-1p-ignore": ""}),
    )  # fmt: skip
    remove_slack = forms.BooleanField(label="Remove the Slack channel", required=False)
    remove_teams = forms.BooleanField(label="Remove the Teams channel", required=False)
    remind_hours = _whole("remind_hours", "Remind every, in hours", 0, "0: never.")
    seen = forms.CharField(required=False, max_length=40, widget=forms.HiddenInput)

    def __init__(
        self, channel: str, data: QueryDict | None = None, *, rule: AlertRule | None = None
    ) -> None:
        initial = _initial(rule) if rule else {"kind": Kind.RATE.value, "scope": ""}
        super().__init__(data, initial=initial)
        self.channel, self.rule, self.posted = channel, rule, data
        self.source = RuleFields(channel)
        self.conditions, self.row_errors, self.kept = self._read_conditions(data)
        self._set_choices()
        for kind in self._stored_channels():
            self.fields[kind].help_text = "Leave empty to keep the stored one."

    @property
    def rows(self) -> Sequence[EditorRow]:
        """Return the rows of the conditions, each with its error."""
        rows = editor.rows_of(self.source, dict(self.conditions.lists()), self.row_errors)
        if self.posted is not None and "add" in self.posted:
            rows.append(editor.new_row(self.source, self.posted))
        return rows

    @property
    def removable(self) -> list[forms.BoundField]:
        return [self[f"remove_{kind}"] for kind in self._stored_channels()]

    def clean(self) -> dict[str, Any]:
        """Reject conditions that can't be read, and rates that aren't percentages."""
        data = super().clean() or {}
        if self.row_errors:
            self.add_error(None, "Fix the conditions.")
        if data.get("kind") == Kind.RATE:
            self._check_percent("threshold")
            self._check_percent("recovery")
        return data

    def _check_percent(self, name: str) -> None:
        value = self.cleaned_data.get(name)
        if value is not None and not 0 <= value <= 100:
            self.add_error(name, "Must be from 0% to 100%.")

    def definition(self) -> Definition:
        """Return what the form asks for; it must be valid."""
        data = self.cleaned_data
        kind, scope = data["kind"], data["scope"]
        agent = None if scope in {"", EACH} else Agent.objects.get(public_id=scope)
        scale = _scale(kind, data["field"])
        document = self.kept
        if document is None and self.conditions:
            document = rule_of_params(self.conditions, source=self.source)
        numbers = {n: _number(data[n], self.fields[n].initial) for n in MOST}
        by_field = kind == Kind.AVERAGE or (kind == Kind.RATE and bool(data["field"]))
        return Definition(
            name=data["name"],
            kind=kind,
            channel=self.channel,
            agent=agent,
            per_agent=scope == EACH,
            condition=None if by_field else document,
            field=data["field"] if by_field else "",
            field_value=_value(data["value"]) if by_field and kind == Kind.RATE else None,
            include_reruns=data["include_reruns"],
            direction=data["direction"],
            threshold=_scaled(data["threshold"], scale),
            recovery=_scaled(data["recovery"], scale),
            no_data=data["no_data"],
            members=list(data["members"]),
            addresses=list(dict.fromkeys(filter(None, _SPLIT.split(data["addresses"])))),
            channels=self._channels(),
            **numbers,
        )

    def add_problems(self, error: UserError) -> None:
        """Show an error of a service at its fields."""
        shown = False
        for name, message in error.fields.items():
            target = _NAMES.get(name, name)
            if target is None or target in self.fields:
                self.add_error(target, message)
                shown = True
        if not shown:
            self.add_error(None, error.message)

    @property
    def is_unfinished(self) -> bool:
        """Whether a row of the conditions or a required field is still to be filled in."""
        errors = [one for found in self.errors.as_data().values() for one in found]
        return bool(self.row_errors) or any(error.code == "required" for error in errors)

    def first_problem(self) -> str:
        """Return the first error, with the label of its field."""
        name, messages = next(iter(self.errors.items()))
        label = self.fields[name].label if name in self.fields else ""
        return f"{label}: {messages[0]}" if label else str(messages[0])

    def _channels(self) -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        for kind in ChannelKind.values:
            if self.cleaned_data[f"remove_{kind}"]:
                found[kind] = None
            if self.cleaned_data[kind]:
                found[kind] = self.cleaned_data[kind].strip()
        return found

    def _stored_channels(self) -> list[str]:
        if self.rule is None or not self.rule.pk:
            return []
        return list(self.rule.channels.values_list("kind", flat=True))

    def _read_conditions(
        self, data: QueryDict | None
    ) -> tuple[QueryDict, dict[str, str], dict[str, Any] | None]:
        """Return conditions as parameters, their errors, and a rule too deep for the rows."""
        empty = QueryDict(mutable=True)
        if data is None:
            document = self.rule.condition if self.rule else None
            params = params_of_rule(document) if document else empty
            return (params, {}, None) if params is not None else (empty, {}, document)
        if "keep" in data and self.rule and self.rule.condition:
            return empty, {}, self.rule.condition
        params = editor.params_of(editor.part_of(data, ""))
        for name in [name for name in params if name.startswith("add")]:  # buttons, not filters
            del params[name]
        try:
            parse(self.channel, params)
        except FilterError as error:
            return params, error.errors, None
        return params, {}, None

    def _set_choices(self) -> None:
        agents = Agent.objects.active().filter(channel=self.channel).in_page_order()
        named = [(agent.public_id, agent.name) for agent in agents]
        if self.rule and self.rule.agent and self.rule.agent.public_id not in dict(named):
            named.append((self.rule.agent.public_id, self.rule.agent.name))
        noun = Channel(self.channel).noun()
        self._choose("scope", [("", f"All {noun}"), (EACH, "Each agent separately"), *named])
        self._choose("field", [("", "Conditions below"), *self._watchable()])
        members = self.fields["members"]
        assert isinstance(members, forms.ModelMultipleChoiceField)
        members.queryset = User.objects.filter(is_active=True).exclude(email="").order_by("pk")
        self.fields["scope"].required = False

    def _watchable(self) -> Choices:
        """Return the fields that a rule can watch, in the groups of the filters."""
        groups: Choices = []
        known: set[str] = set()
        for label, options in self.source.groups():
            fields = [self.source.named(name) for name, _ in options]
            found = [(f.name, f.label) for f in fields if f and set(f.kinds) & _WATCHABLE]
            known.update(name for name, _ in found)
            if found:
                groups.append((label, found))
        stored = self.rule.field if self.rule else ""
        return [*groups, (stored, stored)] if stored and stored not in known else groups

    def _choose(self, name: str, choices: Choices) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices


def _initial(rule: AlertRule) -> dict[str, Any]:
    scale = _scale(rule.kind, rule.field)
    plain = ("name", "kind", "field", "direction", "no_data", "include_reruns", *MOST)
    value = {True: "yes", False: "no", None: ""}.get(rule.field_value, rule.field_value)
    return {
        **{name: getattr(rule, name) for name in plain},
        "scope": rule.agent.public_id if rule.agent else EACH if rule.per_agent else "",
        "value": value,
        "threshold": _shown(rule.threshold, scale),
        "recovery": _shown(rule.recovery, scale),
        "members": rule.members.all(),
        "addresses": "\n".join(rule.addresses),
        "seen": rule.updated_at.isoformat(),
    }


def _scale(kind: str, field: str) -> float:
    """Return what a stored number is multiplied by in the form: to percent, or to seconds."""
    if kind == Kind.RATE:
        return 100
    return 0.001 if kind == Kind.AVERAGE and field == "duration_ms" else 1


def _shown(value: float | None, scale: float) -> float | None:
    return None if value is None else round(value * scale, 10)


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else round(value / scale, 12)


def _number(value: int | None, initial: Any) -> int:
    return int(initial) if value is None else value


def _value(text: str) -> Any:
    """Return the value that is counted: yes and no are those of yes/no fields."""
    stripped = text.strip()
    return {"yes": True, "no": False}.get(stripped.lower(), stripped)


class IncidentsForm(forms.Form):
    """The filters of the list of incidents."""

    state = forms.ChoiceField(
        required=False,
        label="State",
        choices=[("", "Unresolved"), *IncidentState.choices, ("all", "All")],
        error_messages={"invalid_choice": "Unknown state “%(value)s”."},
    )
    rule = forms.ChoiceField(
        required=False,
        label="Rule",
        error_messages={"invalid_choice": "Unknown rule “%(value)s”."},
    )

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        rules = AlertRule.objects.order_by("name").values_list("public_id", "name")
        field = self.fields["rule"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", "All rules"), *rules]


class NoteForm(forms.Form):
    """The note of an incident."""

    note = forms.CharField(
        required=False, max_length=NOTE_LENGTH, label="Note",
        widget=forms.Textarea(attrs={"rows": 4, "autofocus": True}),
    )  # fmt: skip


class _UserField(forms.ModelChoiceField[User]):
    def label_from_instance(self, obj: User) -> str:
        return obj.label


class OwnerForm(forms.Form):
    """Who looks at an incident."""

    owner = _UserField(
        label="Owner",
        queryset=User.objects.none(),
        required=False,
        to_field_name="username",
        empty_label="No one",
    )

    def __init__(self, data: Any = None, **options: Any) -> None:
        super().__init__(data, **options)
        field = self.fields["owner"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = User.objects.filter(is_active=True).order_by("username")
