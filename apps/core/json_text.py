"""Read JSON as JSON: Python alone also accepts NaN, keys given twice, and reads digits slowly."""

import json
import sys
from typing import Any, NoReturn


class InvalidJson(ValueError):
    """Raised for JSON that Python would read and no one should store; says why, for a person."""


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text, in time that grows with its length only.

    Raises InvalidJson, or json.JSONDecodeError for text that isn't JSON.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_once_each)
    except (InvalidJson, json.JSONDecodeError):
        raise
    except RecursionError:
        raise InvalidJson("the nesting is too deep") from None
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        raise invalid_number(error) from None


def invalid_number(error: ValueError) -> InvalidJson:
    """Return the error for a number that Python can't read, without Python's advice on flags."""
    if "digits" in str(error):
        return InvalidJson(f"a number has more than {sys.get_int_max_str_digits():,} digits")
    return InvalidJson(str(error))


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidJson(f"{name} is not a JSON number")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise InvalidJson(f"duplicate key “{name[:60]}”")
            seen.add(name)
    return found
