"""The filter of conversations: one grammar for pages, API, backfills and commands.

`matching` for rows, `parse` for what a page draws. See docs/interfaces.md for the grammar.
"""

from .errors import FilterError
from .filterset import DEFAULT_SORT, Condition, ConversationFilterSet
from .operators import ValueKind, operator_label, operators
from .registry import Field, field_named, fields, static_fields
from .sources import ConversationFields, FieldSource
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
    "Sort",
    "ValueKind",
    "field_named",
    "fields",
    "matching",
    "operator_label",
    "operators",
    "parse",
    "static_fields",
]
