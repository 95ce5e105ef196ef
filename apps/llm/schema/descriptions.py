"""What a model can only be told in words: examples, conditions, and bounds it is not held to."""

from __future__ import annotations

import json
from collections.abc import Mapping

_ENDS = ".!?:;)。\uff01\uff1f"  # the last two are the full-width ! and ?


def describe(node: Mapping[str, object], *, conditional: bool) -> str:
    """The description of a field with all that strict mode has no keyword for.

    ``conditional`` says whether ``x-condition`` applies; on a required field it is ignored
    (product 3.3).
    """
    parts = [_sentence(node.get("description") or node.get("title"))]
    if conditional and (condition := _sentence(node.get("x-condition"))):
        parts.append(f"Only fill this in under this condition, else null: {condition}")
    examples = node.get("examples")
    if isinstance(examples, list) and examples:
        shown = ", ".join(_example(example) for example in examples[:10])
        parts.append(f"Examples: {shown}.")
    parts.append(_bounds(node))
    return " ".join(part for part in parts if part)


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _sentence(value: object) -> str:
    text = _text(value)
    return text if not text or text[-1] in _ENDS else f"{text}."


def _example(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _bounds(node: Mapping[str, object]) -> str:
    least, most = node.get("minLength"), node.get("maxLength")
    found = []
    if least and most:
        found.append(f"Between {least} and {most} characters.")
    elif least:
        found.append(f"At least {least} characters.")
    elif most is not None:
        found.append(f"At most {most} characters.")
    if node.get("uniqueItems") is True:
        found.append("No item twice.")
    return " ".join(found)
