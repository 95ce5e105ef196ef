"""What a derived field is: its checks, and the values that follow from those that match.

A definition is a JSON object, by the type of the field:

    boolean   {"rule": RULE}
    choice    {"cases": [{"value": "hot", "when": RULE}, …], "otherwise": "cold"}
    number    {"scorecard": {"points": [{"label": "Greeting", "when": RULE, "points": 10}, …],
                             "pass_mark": 70, "knock_outs": [{"label": "…", "when": RULE}]}}

A scorecard adds three fields: NAME (percent of the points that can be reached), NAME_passed, and
NAME_failed (labels of the checks that gave no points, and of the knock-outs).
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from django.db.models import Q

from apps.agents.models import Agent, DerivedField, DerivedType
from apps.conversations.filters import FilterError, Rule, RuleFields, read_rule
from apps.core.errors import Example, UserError
from apps.core.validation_messages import shown

MAX_CHECKS = 40
MAX_POINTS = 1_000
MAX_TEXT = 100


class InvalidDerivedField(UserError):
    """Raised for a derived field that can't be saved. ``fields`` has a message per part."""

    code = "invalid_derived_field"
    example = Example(
        "Unknown field “scores” in “rule”.", {"rule.field": "Unknown field “scores” in “rule”."}
    )


@dataclass(frozen=True, slots=True)
class Check:
    """A rule of a definition. ``value`` is of a case, ``points`` and ``label`` of a scorecard."""

    rule: Rule
    label: str = ""
    points: int = 0
    value: str = ""
    is_knock_out: bool = False


@dataclass(frozen=True, slots=True)
class Definition:
    """A derived field that was understood in full."""

    name: str
    type: DerivedType
    channel: str
    agent_id: int | None
    checks: tuple[Check, ...]
    otherwise: str = ""
    pass_mark: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Return the fields that it adds to a result."""
        return names_of(self.name, self.type)

    @property
    def inputs(self) -> frozenset[str]:
        """Return the fields of analyses that its rules read, by their name in a result."""
        found = {name for check in self.checks for name in check.rule.fields}
        return frozenset(n.removeprefix("analysis.") for n in found if n.startswith("analysis."))

    def applies(self, *, channel: str, agent_id: int, asked: Collection[str]) -> bool:
        """Return whether it is computed for a result of an agent that has the ``asked`` fields.

        A definition that reads fields of analyses needs one of them. A field that the agent's own
        schema has is never computed.
        """
        if channel != self.channel or self.agent_id not in {None, agent_id}:
            return False
        if set(self.names) & set(asked):
            return False
        return not self.inputs or bool(self.inputs & set(asked))

    def values(self, matches: Sequence[bool]) -> dict[str, Any]:
        """Return the values that follow from which of its checks match."""
        if self.type == DerivedType.BOOLEAN:
            return {self.name: matches[0]}
        if self.type == DerivedType.CHOICE:
            found = (c.value for c, yes in zip(self.checks, matches, strict=True) if yes)
            value = next(found, self.otherwise)
            return {self.name: value} if value else {}
        return self._scores(list(zip(self.checks, matches, strict=True)))

    def _scores(self, found: Sequence[tuple[Check, bool]]) -> dict[str, Any]:
        total = sum(check.points for check, _ in found)
        gained = sum(check.points for check, matches in found if matches)
        failed = [check.label for check, matches in found if matches == check.is_knock_out]
        knocked_out = any(check.is_knock_out and matches for check, matches in found)
        score = (200 * gained + total) // (2 * total)  # rounded half up
        passed = score >= (self.pass_mark or 0) and not knocked_out
        return dict(zip(self.names, (score, passed, failed), strict=True))


def names_of(name: str, kind: str) -> tuple[str, ...]:
    """Return the fields that a derived field of this type adds to a result."""
    if kind == DerivedType.NUMBER:
        return name, f"{name}_passed", f"{name}_failed"
    return (name,)


def definition_of(field: DerivedField, source: RuleFields) -> Definition:
    """Return the definition of a stored field. Raises InvalidDerivedField."""
    return read_definition(
        field.definition,
        name=field.name,
        kind=DerivedType(field.type),
        channel=field.channel,
        agent_id=field.agent_id,
        source=source,
    )


def read_definition(
    document: object,
    *,
    name: str,
    kind: DerivedType,
    channel: str,
    agent_id: int | None,
    source: RuleFields,
) -> Definition:
    """Understand a definition in full. Raises InvalidDerivedField with a message per part."""
    reader = _Reader(source)
    body = reader.mapping(document, "definition")
    checks: Sequence[Check] = ()
    otherwise, pass_mark = "", None
    if kind == DerivedType.BOOLEAN:
        reader.only(body, {"rule"}, "")
        checks = [Check(rule) for rule in reader.rule(body.get("rule"), "rule")]
    elif kind == DerivedType.CHOICE:
        reader.only(body, {"cases", "otherwise"}, "")
        checks = list(reader.cases(body.get("cases")))
        otherwise = reader.text(body.get("otherwise") or "", "otherwise", empty=True)
    else:
        reader.only(body, {"scorecard"}, "")
        card = reader.mapping(body.get("scorecard"), "scorecard")
        reader.only(card, {"points", "pass_mark", "knock_outs"}, "scorecard")
        checks = list(reader.scored(card))
        pass_mark = reader.whole(card.get("pass_mark"), "scorecard.pass_mark", most=100)
    reader.finish()
    return Definition(name, kind, channel, agent_id, tuple(checks), otherwise, pass_mark)


def document_of(definition: Definition) -> dict[str, Any]:
    """Return a definition as it is stored, with its rules in normal form."""
    checks = definition.checks
    if definition.type == DerivedType.BOOLEAN:
        return {"rule": checks[0].rule.document}
    if definition.type == DerivedType.CHOICE:
        cases = [{"value": check.value, "when": check.rule.document} for check in checks]
        return {"cases": cases, "otherwise": definition.otherwise or None}
    return {
        "scorecard": {
            "points": [
                {"label": check.label, "when": check.rule.document, "points": check.points}
                for check in checks
                if not check.is_knock_out
            ],
            "pass_mark": definition.pass_mark,
            "knock_outs": [
                {"label": check.label, "when": check.rule.document}
                for check in checks
                if check.is_knock_out
            ],
        }
    }


def properties_of(definition: Definition, label: str) -> str:
    """Return the JSON Schema of each field that a definition adds, as text."""
    if definition.type == DerivedType.BOOLEAN:
        schemas: list[dict[str, Any]] = [{"type": "boolean", "description": label}]
    elif definition.type == DerivedType.CHOICE:
        values = [*(check.value for check in definition.checks), definition.otherwise]
        known = list(dict.fromkeys(value for value in values if value))
        schemas = [{"type": "string", "enum": known, "description": label}]
    else:
        schemas = [
            {"type": "integer", "description": f"{label}: percent of the points"},
            {"type": "boolean", "description": f"{label}: passed"},
            {
                "type": "array",
                "items": {"type": "string"},
                "description": f"{label}: failed checks",
            },
        ]
    return json.dumps(dict(zip(definition.names, schemas, strict=True)), ensure_ascii=False)


def derived_properties(
    *, channel: str | None = None, agent: Agent | None = None
) -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each derived field of a channel, or of an agent; one query."""
    rows = DerivedField.objects.all()
    if channel is not None:
        rows = rows.filter(channel=channel)
    if agent is not None:
        rows = rows.filter(Q(agent=None) | Q(agent=agent), channel=agent.channel)
    found: dict[str, dict[str, Any]] = {}
    for properties in rows.values_list("properties", flat=True):
        found |= json.loads(properties)
    return found


class _Reader:
    """Reads the parts of a definition and collects a message for each wrong one."""

    def __init__(self, source: RuleFields) -> None:
        self.source = source
        self.problems: dict[str, str] = {}

    def finish(self) -> None:
        """Raise InvalidDerivedField where anything was wrong."""
        if self.problems:
            raise InvalidDerivedField(" ".join(self.problems.values()), self.problems)

    def mapping(self, value: object, path: str) -> Mapping[str, Any]:
        """Return the object, without which the rest can't be read. Raises InvalidDerivedField."""
        if not isinstance(value, Mapping):
            self._wrong(path, "must be an object.")
            self.finish()
        return cast("Mapping[str, Any]", value)

    def only(self, value: Mapping[str, Any], known: Collection[str], path: str) -> None:
        for key in sorted(str(name) for name in value if name not in known):
            where = f"{path}.{key}" if path else key
            self._wrong(where, f"is unknown here. Known: {', '.join(sorted(known))}.")

    def rule(self, value: object, path: str) -> list[Rule]:
        """Return the rule, or none."""
        try:
            return [read_rule(value, source=self.source, path=path)]
        except FilterError as error:
            self.problems.update(error.errors)
            return []

    def cases(self, value: object) -> Iterator[Check]:
        for path, item in self._items(value, "cases", {"value", "when"}):
            text = self.text(item.get("value"), f"{path}.value")
            for rule in self.rule(item.get("when"), f"{path}.when"):
                yield Check(rule, value=text)

    def scored(self, card: Mapping[str, Any]) -> Iterator[Check]:
        here = "scorecard.points"
        for path, item in self._items(card.get("points"), here, {"label", "when", "points"}):
            label = self.text(item.get("label"), f"{path}.label")
            points = self.whole(item.get("points"), f"{path}.points", least=1, most=MAX_POINTS)
            for rule in self.rule(item.get("when"), f"{path}.when"):
                yield Check(rule, label=label, points=points)
        here = "scorecard.knock_outs"
        given = card.get("knock_outs") or []
        for path, item in self._items(given, here, {"label", "when"}, empty=True):
            label = self.text(item.get("label"), f"{path}.label")
            for rule in self.rule(item.get("when"), f"{path}.when"):
                yield Check(rule, label=label, is_knock_out=True)

    def text(self, value: object, path: str, *, empty: bool = False) -> str:
        if isinstance(value, str) and "\x00" not in value:
            found = " ".join(value.split())
            if (found or empty) and len(found) <= MAX_TEXT:
                return found
        self._wrong(path, f"must be a text of 1 to {MAX_TEXT} characters.")
        return ""

    def whole(self, value: object, path: str, *, most: int, least: int = 0) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        given = "nothing" if value is None else shown(str(value))
        self._wrong(path, f"must be a whole number from {least} to {most:,}, not {given}.")
        return least

    def _items(
        self, value: object, path: str, known: Collection[str], *, empty: bool = False
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        if not isinstance(value, list) or not (value or empty) or len(value) > MAX_CHECKS:
            self._wrong(path, f"must be a list of 1 to {MAX_CHECKS} parts.")
            return
        for place, item in enumerate(value):
            here = f"{path}[{place}]"
            part = self.mapping(item, here)
            self.only(part, known, here)
            yield here, part

    def _wrong(self, path: str, problem: str) -> None:
        self.problems.setdefault(path, f"{path} {problem}")
