"""Turn a rule into conditions of the database, by the filters' fields and rules."""

from dataclasses import dataclass
from typing import Any

from django.db.models import F, FloatField, Func, Q, TextField, Value
from django.db.models.expressions import Combinable

from apps.conversations.filters import Field, FilterError, RuleFields, ValueKind
from apps.conversations.filters.conditions import NumberColumn
from apps.conversations.filters.errors import BadValueError
from apps.conversations.filters.grammar import IS
from apps.conversations.filters.json_keys import JsonKey
from apps.conversations.filters.rules import Rule, read_rule

from .models import AlertRule, Kind

EVERYTHING = Q(pk__isnull=False)


class _JsonNumber(Func):
    """The number at a key of a JSON column; null where the value is of another type.

    Numbers of 16 digits and more are left out: an average of them would mean nothing.
    """

    template = (
        "(SELECT CASE WHEN jsonb_typeof(v) = 'number' THEN CASE WHEN"
        " abs(v::text::numeric) < 1e15 THEN v::text::float8 END END"
        " FROM (SELECT %(expressions)s) AS one(v))"
    )
    arg_joiner = " -> "
    output_field = FloatField()


@dataclass(frozen=True)
class Watched:
    """What a rule counts: the conversations of ``scope`` that are ``counted``, and those among
    them that are ``matched``. ``number`` is the value that an average is of."""

    scope: Q
    counted: Q
    matched: Q
    number: Combinable | None = None


def watched(rule: AlertRule) -> Watched:
    """Return what a rule counts. Raise FilterError where a field of it is gone."""
    # One of the history pages' indexes serves either scope.
    scope = Q(agent=rule.agent_id) if rule.agent_id else Q(channel=rule.channel)
    if rule.kind == Kind.AVERAGE:
        return Watched(scope, Q(number__isnull=False), Q(number=None), number_of(rule))
    if rule.kind == Kind.RATE and rule.condition is None:
        field, value = field_of(rule), text_of(rule.field_value)
        return Watched(scope, condition(field, "isset", "true"), condition(field, IS, value))
    matches = EVERYTHING
    if found := rule_of(rule):
        matches = found.q
    counted = EVERYTHING if rule.kind == Kind.COUNT else Q(analyzed_at__isnull=False)
    return Watched(scope, counted, matches)


def rule_of(rule: AlertRule) -> Rule | None:
    """Return the conditions of a rule, if it has any. Raise FilterError if a field is gone."""
    if rule.condition is None:
        return None
    return read_rule(rule.condition, source=RuleFields(rule.channel))


def field_of(rule: AlertRule) -> Field:
    """Return the field of a rate or an average. Raise FilterError where there is none."""
    found = RuleFields(rule.channel).named(rule.field)
    if found is None:
        raise FilterError({"field": f"No agent has a field named “{rule.field[:80]}”."})
    return found


def number_of(rule: AlertRule) -> Combinable:
    """Return the number that an average is of. Raise FilterError for another kind of field."""
    field = field_of(rule)
    target = field.target if ValueKind.NUMBER in field.kinds else None
    if isinstance(target, NumberColumn):
        return F(target.path)
    if isinstance(target, JsonKey) and not target.attributes:
        return _JsonNumber(F(target.column), Value(target.key, output_field=TextField()))
    raise FilterError({"field": f"“{field.label}” isn’t a number."})


def condition(field: Field, operator: str, value: str) -> Q:
    """Return the condition of one field. Raise FilterError for a bad value."""
    if operator not in field.operators:
        raise FilterError({"field": f"“{field.label}” can’t be compared with a value."})
    try:
        return field.target.condition(operator, [value])
    except BadValueError as error:
        raise FilterError({"value": f"{field.name} {error}"}) from None


def text_of(value: Any) -> str:
    """Return a value of a definition as the filters take it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def normal_condition(rule: AlertRule) -> dict[str, Any] | None:
    """Return the rule document with full names and typed values, as it is stored."""
    found = rule_of(rule)
    return found.document if found else None


def condition_words(rule: AlertRule) -> str:
    """Return the rule document for people; empty where there is none."""
    found = rule_of(rule)
    return found.text if found else ""
