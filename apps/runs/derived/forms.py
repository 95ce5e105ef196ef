"""The form of a derived field: its checks are blocks of filter rows."""

import re
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.http import QueryDict

from apps.agents.models import Agent, Channel, DerivedField, DerivedType
from apps.conversations.derived.services import revision_of
from apps.conversations.filters import RuleFields, editor, params_of_rule, rule_of_params
from apps.conversations.filters.rows import EditorRow
from apps.core.errors import UserError

_BLOCK = re.compile(r"c(\d{1,2})-")
_PLAIN = {"autocomplete": "off", "spellcheck": "false"}
_CONDITIONS = ("rule", "when")
"""Settings that hold the conditions of a block."""
_NO_CONDITION = "Add at least one condition."
_PATH = re.compile(r"(rule|cases|scorecard\.(?:points|knock_outs))(?:\[(\d+)\])?")


@dataclass
class Block:
    """One check as the form draws it. ``document`` is a rule that rows can't show."""

    number: int
    rows: list[EditorRow]
    label: str = ""
    points: str = ""
    value: str = ""
    is_knock_out: bool = False
    document: dict[str, Any] | None = None
    when: dict[str, Any] | None = None
    errors: list[str] = field(default_factory=list)

    @property
    def prefix(self) -> str:
        return f"c{self.number}-"


class DerivedFieldForm(forms.Form):
    """A derived field to create or edit. The service checks it."""

    name = forms.CharField(
        max_length=50,
        label="Name",
        help_text="How filters, columns, and the API call it, such as quality.",
        widget=forms.TextInput(attrs=_PLAIN),
    )
    label = forms.CharField(max_length=100, label="Label", widget=forms.TextInput(attrs=_PLAIN))
    agent = forms.ChoiceField(required=False, label="Agent")
    pass_mark = forms.IntegerField(
        required=False, min_value=0, max_value=100, initial=70, label="Pass mark",
        help_text="Percent of the points.",
    )  # fmt: skip
    otherwise = forms.CharField(
        required=False, max_length=100, label="Otherwise", help_text="Empty: no value."
    )
    seen = forms.CharField(required=False, max_length=40, widget=forms.HiddenInput)

    def __init__(
        self,
        kind: DerivedType,
        channel: str,
        data: QueryDict | None = None,
        *,
        stored: DerivedField | None = None,
    ) -> None:
        super().__init__(data, initial=_initial(stored))
        self.kind, self.channel, self.stored = kind, channel, stored
        self.source = RuleFields(channel, derived=False)
        agents = Agent.objects.active().filter(channel=channel).in_page_order()
        noun = Channel(channel).noun()
        choices = [("", f"All {noun} with these fields")]
        choices += [(agent.public_id, agent.name) for agent in agents]
        agent_field = self.fields["agent"]
        assert isinstance(agent_field, forms.ChoiceField)
        agent_field.choices = choices
        if stored is not None:
            self.fields["name"].disabled = True
        self.blocks = self._posted(data) if data is not None else self._stored()

    @property
    def is_scorecard(self) -> bool:
        return self.kind == DerivedType.NUMBER

    @property
    def is_choice(self) -> bool:
        return self.kind == DerivedType.CHOICE

    @property
    def chosen_agent(self) -> Agent | None:
        """Return the chosen agent, None for all."""
        chosen = self.cleaned_data["agent"]
        return Agent.objects.get(public_id=chosen) if chosen else None

    def definition(self) -> dict[str, Any]:
        """Return the definition that the blocks make; the service checks it."""
        if self.kind == DerivedType.BOOLEAN:
            return {"rule": self.blocks[0].when if self.blocks else None}
        if self.is_choice:
            cases = [{"value": one.value, "when": one.when} for one in self.blocks]
            return {"cases": cases, "otherwise": self.cleaned_data["otherwise"]}
        return {
            "scorecard": {
                "points": [
                    {"label": one.label, "when": one.when, "points": _number(one.points)}
                    for one in self.blocks
                    if not one.is_knock_out
                ],
                "pass_mark": self.cleaned_data["pass_mark"],
                "knock_outs": [
                    {"label": one.label, "when": one.when}
                    for one in self.blocks
                    if one.is_knock_out
                ],
            }
        }

    def add_problems(self, error: UserError) -> None:
        """Show an error of the service at its field or its block."""
        for path, message in (error.fields or {"": error.message}).items():
            name = "agent" if path == "agent_id" else path.removeprefix("scorecard.")
            block = self._block_at(path)
            if name in self.fields:
                self.add_error(name, message)
            elif block is not None:
                is_empty = block.when is None and path.rpartition(".")[2] in _CONDITIONS
                block.errors.append(_NO_CONDITION if is_empty else _without_path(message))
            else:
                self.add_error(None, message)

    def _block_at(self, path: str) -> Block | None:
        found = _PATH.match(path)
        if found is None:
            return None
        kept = self.blocks
        if self.is_scorecard:
            wanted = found[1].endswith("knock_outs")
            kept = [one for one in self.blocks if one.is_knock_out == wanted]
        place = int(found[2] or 0)
        return kept[place] if place < len(kept) else None

    def _posted(self, data: QueryDict) -> list[Block]:
        numbers = sorted({int(found[1]) for name in data if (found := _BLOCK.match(name))})
        dropped = set(data.getlist("less"))
        blocks = [self._read(data, n) for n in numbers if str(n) not in dropped]
        if "more" in data or not blocks:
            blocks.append(self._empty(max(numbers, default=-1) + 1))
        return blocks

    def _read(self, data: QueryDict, number: int) -> Block:
        prefix = f"c{number}-"
        part = editor.part_of(data, prefix)
        params = editor.params_of(part)
        params.pop("add", None)
        rows = editor.rows_of(self.source, dict(params.lists()), prefix=prefix)
        if "add" in part or not rows:
            rows.append(editor.new_row(self.source, part, prefix=prefix))
        kept = self._kept(number) if f"{prefix}keep" in data else None
        lists = dict(params.lists())
        return Block(
            number=number,
            rows=rows,
            label=data.get(f"{prefix}label", ""),
            points=data.get(f"{prefix}points", ""),
            value=data.get(f"{prefix}value", ""),
            is_knock_out=f"{prefix}knock" in data,
            document=kept,
            when=kept or (rule_of_params(lists, source=self.source) if lists else None),
        )

    def _kept(self, number: int) -> dict[str, Any] | None:
        """Return the stored rule of a block that rows can't show."""
        stored = self._stored()
        return stored[number].document if number < len(stored) else None

    def _stored(self) -> list[Block]:
        definition = self.stored.definition if self.stored else {}
        if self.stored is None or self.stored.type != self.kind:
            return [self._empty(0)]
        if "rule" in definition:
            return [self._shown(0, definition["rule"])]
        if "cases" in definition:
            return [
                self._shown(n, case["when"], value=case["value"])
                for n, case in enumerate(definition["cases"])
            ]
        card = definition["scorecard"]
        blocks = [
            self._shown(n, one["when"], label=one["label"], points=str(one["points"]))
            for n, one in enumerate(card["points"])
        ]
        return blocks + [
            self._shown(n, one["when"], label=one["label"], is_knock_out=True)
            for n, one in enumerate(card["knock_outs"], start=len(blocks))
        ]

    def _shown(self, number: int, rule: dict[str, Any], **values: Any) -> Block:
        params = params_of_rule(rule)
        if params is None:
            return Block(number, [], document=rule, when=rule, **values)
        lists = dict(params.lists())
        rows = editor.rows_of(self.source, lists, prefix=f"c{number}-")
        return Block(number, rows, when=rule, **values)

    def _empty(self, number: int) -> Block:
        prefix = f"c{number}-"
        rows = [editor.new_row(self.source, QueryDict(), prefix=prefix)]
        return Block(number, rows, points="10" if self.is_scorecard else "")


def _initial(stored: DerivedField | None) -> dict[str, Any] | None:
    if stored is None:
        return None
    definition = stored.definition
    return {
        "name": stored.name,
        "label": stored.label,
        "agent": stored.agent.public_id if stored.agent else "",
        "pass_mark": definition.get("scorecard", {}).get("pass_mark"),
        "otherwise": definition.get("otherwise") or "",
        "seen": revision_of(stored),
    }


def _number(text: str) -> object:
    return int(text) if text.strip().isdecimal() and len(text) < 9 else text


def _without_path(message: str) -> str:
    """Return a message without the path that an API caller needs."""
    words = message.split(" ", 1)
    path = words[0].rstrip(":")
    if "." not in path and "[" not in path:
        return message
    rest = words[1] if len(words) > 1 else message
    return {"points": "Points ", "label": "The label ", "value": "The value "}.get(
        path.rpartition(".")[2], ""
    ) + rest
