"""What differs between two analysis configs, for a person who is about to pay for a rerun."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from apps.agents.documents import ConfigDocument

What = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs: its kind (prompt, field, …), its name, and its text on both sides."""

    kind: str
    name: str
    what: What
    before: str = ""
    after: str = ""


def differences(before: ConfigDocument, after: ConfigDocument) -> list[Difference]:
    """Everything that makes ``after`` another config than ``before``; empty where equal."""
    found = _texts(
        "prompt",
        {b.name: _with_rule(b.prompt, required=b.required) for b in before.built_ins},
        {b.name: _with_rule(b.prompt, required=b.required) for b in after.built_ins},
    )
    found += _texts("field", _fields(before), _fields(after))
    settings = [
        ("analysis prompt", "\n\n".join(before.instructions), "\n\n".join(after.instructions)),
        ("model", before.model, after.model),
        ("model's parameters", _json(before.parameters), _json(after.parameters)),
        ("long-transcript rule", before.long_transcript, after.long_transcript),
        ("order of fields", *_orders(before, after)),
        ("schema's other rules", _json(_rest(before)), _json(_rest(after))),
        ("wording of requests", f"revision {before.revision}", f"revision {after.revision}"),
    ]
    found += [Difference("", name, "changed", a, b) for name, a, b in settings if a != b]
    return found


def in_words(found: Sequence[Difference]) -> str:
    """For example ``2 prompts, 1 field and the model``; empty where nothing differs."""
    counts = Counter(d.kind for d in found if d.kind)
    parts = [f"{n} {kind}{'s' if n > 1 else ''}" for kind, n in counts.items()]
    parts += [f"the {d.name}" for d in found if not d.kind]
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def _texts(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[Difference]:
    found = []
    for name in [*after, *(name for name in before if name not in after)]:
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        what: What = "added" if old is None else "removed" if new is None else "changed"
        found.append(Difference(kind, name, what, old or "", new or ""))
    return found


def _with_rule(text: str, *, required: bool) -> str:
    return f"{text}\n(required)" if required else text


def _fields(document: ConfigDocument) -> dict[str, str]:
    required = set(document.schema.get("required") or ())
    return {
        name: _with_rule(_json(schema), required=name in required)
        for name, schema in document.own_fields().items()
    }


def _orders(before: ConfigDocument, after: ConfigDocument) -> tuple[str, str]:
    """The order of the fields that both have; it is the order in which a model fills them."""
    common = set(before.field_names()) & set(after.field_names())
    return (
        "\n".join(n for n in before.field_names() if n in common),
        "\n".join(n for n in after.field_names() if n in common),
    )


def _rest(document: ConfigDocument) -> dict[str, Any]:
    skipped = {"type", "properties", "required"}
    return {k: v for k, v in document.schema.items() if k not in skipped}


def _json(value: object) -> str:
    if isinstance(value, Mapping):
        value = dict(value)
    return json.dumps(value, indent=2, ensure_ascii=False)
