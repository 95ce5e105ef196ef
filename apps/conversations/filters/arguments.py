"""Filters of a command line: ``--filter NAME=VALUE``, repeated."""

from collections.abc import Iterable

from .errors import FilterError


def from_arguments(texts: Iterable[str]) -> dict[str, list[str]]:
    """``NAME=VALUE`` as parameters; the same name again means any of its values.

    Raises FilterError for one without a name or an equals sign: never all rows instead.
    """
    params: dict[str, list[str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise FilterError({text: f"--filter takes NAME=VALUE, not “{text}”."})
        params.setdefault(name, []).append(value)
    return params
