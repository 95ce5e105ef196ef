"""The filter of conversations: one grammar for pages, API, backfills and commands.

`matching` for rows, `parse` for what a page draws. See docs/interfaces.md for the grammar.
"""

from .errors import FilterError
from .filterset import DEFAULT_SORT, Condition, ConversationFilterSet
from .grammar import ValueKind, operator_label, operators
from .registry import Field, field_named, fields, static_fields
from .rules import Rule, params_of_rule, read_rule, rule_of_params
from .sources import ConversationFields, FieldSource, RuleFields, source_of
from .spec import FilterSpec, Sort, matching, parse

__all__ = [
    "DEFAULT_SORT",
    "Condition",
    "ConversationFields",
    "ConversationFilterSet",
    "Field",
    "FieldSource",
    "FilterError",
    "FilterSpec",
    "Rule",
    "RuleFields",
    "Sort",
    "ValueKind",
    "field_named",
    "fields",
    "matching",
    "operator_label",
    "operators",
    "params_of_rule",
    "parse",
    "read_rule",
    "rule_of_params",
    "source_of",
    "static_fields",
]
