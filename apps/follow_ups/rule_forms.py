"""The form of a rule: its conditions in rows, and what follows from them."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.http import QueryDict

from apps.agents.models import Agent
from apps.conversations.filters import FilterError, RuleFields, editor
from apps.conversations.filters.rows import EditorRow
from apps.conversations.filters.rules import Document, params_of_rule, read_rule, rule_of_params

from .models import Applies, FollowUpRule
from .rules import NOTES, understood

MOST_DAYS = 365


class RuleForm(forms.Form):
    """A rule to create or edit. The conditions are next to it, in `ConditionRows`."""

    agent = forms.ChoiceField(
        required=False,
        label="Agent",
        help_text="An agent’s own rule replaces the rule for all agents.",
    )
    applies = forms.ChoiceField(
        label="Results", choices=Applies.choices, initial=Applies.FIRST, widget=forms.RadioSelect
    )
    reason_field = forms.CharField(
        required=False,
        max_length=200,
        label="Reason",
        help_text="The analysis field that says why, such as follow_up_notes.",
        initial=NOTES,
    )
    due_days = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=MOST_DAYS,
        label="Due in days",
        help_text="0 is the same day. Empty: no due date.",
    )
    enabled = forms.BooleanField(required=False, label="Enabled", initial=True)

    def __init__(self, data: Any = None, *, rule: FollowUpRule | None = None) -> None:
        super().__init__(data, initial=_initial(rule))
        agents = Agent.objects.order_by("name", "pk")
        self._agents = {agent.public_id: agent for agent in agents}
        field = self.fields["agent"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", "All agents"), *((a.public_id, a.name) for a in agents)]

    @property
    def agent_selected(self) -> Agent | None:
        """Return the agent, None for all; the form must be valid."""
        return self._agents.get(self.cleaned_data["agent"])

    @property
    def values(self) -> dict[str, Any]:
        """Return the other columns of the rule; the form must be valid."""
        return {name: self.cleaned_data[name] for name in self.fields if name != "agent"}


class ConditionRows:
    """The conditions of a rule as rows of the filters' editor.

    ``document`` is None while a condition is wrong; ``error`` is about all of them.
    """

    def __init__(self, params: QueryDict, *, spare: bool = False, checked: bool = True) -> None:
        self._params, self._spare = params, spare
        self._fields = RuleFields(None)
        self.errors = _errors_of(params, self._fields) if checked else {}
        self.error = "" if params or not checked else "Add at least one condition."
        self.document: Document | None = None
        if params and not self.errors:
            try:
                document = rule_of_params(params, source=self._fields)
                self.document = read_rule(document, source=self._fields).document
            except FilterError as error:
                self.error = error.message

    @classmethod
    def of_form(cls, data: QueryDict) -> "ConditionRows":
        """Read the submitted rows."""
        rows = editor.part_of(data, "")
        redrawn = is_redrawn(data)
        params = editor.params_of(rows)
        params.pop("add", None)
        return cls(params, spare="add" in data, checked=not redrawn)

    @classmethod
    def of_document(cls, document: Document) -> "ConditionRows | None":
        """Return the rows of a stored rule; None for one that is nested deeper than rows show.

        A rule that can't be read has no rows: its fields are gone.
        """
        try:
            params = params_of_rule(understood(document).document)
        except FilterError:
            params = QueryDict()
        return None if params is None else cls(params, checked=False)

    def rows(self) -> list[EditorRow]:
        """Return the rows, and an empty one where there is no other."""
        params: Mapping[str, list[str]] = dict(self._params.lists())
        drawn = editor.rows_of(self._fields, params, self.errors)
        if self._spare or not drawn:
            taken = QueryDict(mutable=True)
            taken.update({f"{row.name}-field": "" for row in drawn})
            drawn.append(editor.new_row(self._fields, taken))
        return drawn


def is_redrawn(data: QueryDict) -> bool:
    """Return whether a form without script asks for other rows, and not to be saved."""
    return "add" in data or "drop" in data or bool(editor.half_chosen(data))


def _errors_of(params: QueryDict, fields: RuleFields) -> dict[str, str]:
    """Return the message for each condition that is wrong, by its parameter."""
    errors = {}
    for parameter, values in params.lists():
        try:
            read_rule(rule_of_params({parameter: values}, source=fields), source=fields)
        except FilterError as error:
            errors[parameter] = error.message
    return errors


def _initial(rule: FollowUpRule | None) -> dict[str, Any] | None:
    if rule is None:
        return None
    names = ("applies", "reason_field", "due_days", "enabled")
    agent = rule.agent.public_id if rule.agent else ""
    return {"agent": agent, **{name: getattr(rule, name) for name in names}}
