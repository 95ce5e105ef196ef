"""The query of a filtered list: as it should read, and without parts of it."""

from django.http import QueryDict

from . import editor

_BLANK = ("q", "sort", "all_matching")
"""Parameters that a form sends empty when nothing was meant."""


def plain_query(query: QueryDict) -> QueryDict | None:
    """Return the query as it should be in the URL; None where it already is."""
    blank = [name for name in _BLANK if name in query and not "".join(query.getlist(name)).strip()]
    if not blank and not editor.is_form(query):
        return None
    plain = editor.params_of(query)
    for name in blank:
        plain.pop(name, None)
    return plain


def without(params: QueryDict, name: str) -> QueryDict:
    """Return the page's query without one parameter."""
    rest = params.copy()
    rest.pop(name, None)
    return rest


def other_params(params: QueryDict, *, leave_out: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the page's parameters as hidden fields of a form that changes only one of them."""
    return [
        (name, value)
        for name, values in params.lists()
        if name not in leave_out
        for value in values
    ]
