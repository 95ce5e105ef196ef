"""How a filter is rejected."""

from collections.abc import Mapping

from apps.core.errors import BadRequest, Example


class FilterError(BadRequest):
    """A filter that cannot be understood; nothing is listed, never everything.

    ``errors`` holds a message for each parameter, by the parameter's name as it was given.
    """

    code = "invalid_filter"
    example = Example("Unknown field “color”.", {"colour": "Unknown field “color”."})

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(" ".join(errors.values()), errors)

    @property
    def errors(self) -> dict[str, str]:
        return self.fields


class BadValueError(ValueError):
    """One value that does not fit; its text continues “FIELD …”."""
