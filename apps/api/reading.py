"""Plain values of a body that an operation reads by itself."""

from collections.abc import Mapping
from typing import Any

from apps.core.errors import UserError


class InvalidValue(UserError):
    """A value of the body that is of another type than it has to be."""

    code = "invalid_value"


def text(body: Mapping[str, Any], name: str) -> str:
    """A text, empty where it is absent or null. Raises InvalidValue for anything else."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidValue(f"{name} is a text, not {str(value)[:60]}.", {name: "A text."})
    return value
