"""The form that a chip opens: one filter of a page's query to change, or one to add."""

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import QueryDict

from . import editor
from .grammar import free_group, split_group
from .rows import EditorRow
from .sources import FieldSource


@dataclass(frozen=True, slots=True)
class ChipForm:
    """The row to edit, and the page's other parameters as hidden fields of the form.

    ``alternative`` is the query that opens the form of an alternative to this filter, empty for a
    new filter.
    """

    row: EditorRow
    others: list[tuple[str, str]]
    alternative: str = ""


def chip_form(source: FieldSource, query: QueryDict, *, own: Collection[str]) -> ChipForm:
    """Return the form of the filter that ``edit`` names, of an alternative to one, or of a new one.

    ``own`` are the parameters of the form's own URL, which are none of the page.
    """
    given = {name: values for name, values in query.lists() if name not in own}
    edited, beside = query.get("edit", ""), query.get("alternative", "")
    if edited in given:
        asked = urlencode({"alternative": edited, **given}, doseq=True)
        row = editor.rows_of(source, {edited: given.pop(edited)})[0]
        return ChipForm(row, _pairs(given), asked)
    group = ""
    if beside in given:
        group, _ = split_group(beside)
        if not group and (group := free_group(split_group(name)[0] for name in given)):
            given[f"{group}.{beside}"] = given.pop(beside)
    return ChipForm(editor.new_row(source, QueryDict(), group=group), _pairs(given))


def _pairs(given: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, values in given.items() for value in values]
