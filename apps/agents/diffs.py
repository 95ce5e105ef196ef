"""What differs between two versions, saves or configs, said for people.

Pure: built from ``Content`` (what a draft holds) or ``ConfigDocument`` (what a request was made
of). A change names its place, and carries both sides as text that ``{% text_diff %}`` compares
word by word.
"""

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from apps.llm.schema.merge import implied_type

from .content import Content
from .documents import ConfigDocument, categories

Kind = Literal["model", "prompt", "field", "setting"]
Verb = Literal["added", "removed", "changed", "moved"]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. ``before`` and ``after`` are readable text; one is empty where the thing
    was added or removed, both are where it only moved."""

    kind: Kind
    verb: Verb
    label: str
    before: str = ""
    after: str = ""

    @property
    def is_short(self) -> bool:
        """Return whether both sides fit on one line, ``before → after``."""
        return all("\n" not in text and len(text) <= 60 for text in (self.before, self.after))


@dataclass(frozen=True, slots=True)
class Diff:
    """All differences, in the order of the agent's page."""

    changes: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __len__(self) -> int:
        return len(self.changes)

    @property
    def summary(self) -> str:
        """``2 prompts and 1 field changed``, ``the model changed``, ``nothing changed``."""
        counts = Counter(change.kind for change in self.changes)
        parts = ["the model"] if counts.pop("model", 0) else []
        parts += [f"{count:,} {kind}{'' if count == 1 else 's'}" for kind, count in counts.items()]
        if not parts:
            return "nothing changed"
        *most, last = parts
        return f"{', '.join(most)} and {last} changed" if most else f"{last} changed"


@dataclass(frozen=True)
class _Side:
    model: str
    prompts: dict[str, str]
    switches: dict[str, str]
    fields: dict[str, str]
    settings: dict[str, str] = field(default_factory=dict)


def diff_contents(before: Content, after: Content) -> Diff:
    """Between two contents of one agent: prompts, fields, settings and history columns."""
    return _diff(_side_of_content(before), _side_of_content(after))


def diff_configs(before: ConfigDocument, after: ConfigDocument) -> Diff:
    """Between two configs, such as that of a result and that of the draft."""
    return _diff(_side_of_config(before), _side_of_config(after))


def field_text(schema: object, *, required: bool = False) -> str:
    """Return a field's definition in lines: type, description, each choice, bounds, condition."""
    if not isinstance(schema, Mapping):
        return f"Schema: {_json(schema)}"
    lines = [f"Type: {_type_words(schema)}"]
    if required:
        lines.append("Required")
    for keyword, value in schema.items():
        lines += _keyword_lines(keyword, value)
    return "\n".join(lines)


def _side_of_content(content: Content) -> _Side:
    side = _side_of_config(content.document())
    draft = content.as_draft()["analysis"]["built_ins"]
    titles = _titles(content.channel)
    post = content.post_analysis
    idle = {"Chat is idle after": f"{post['chat_idle_seconds']:,} s"}
    return _Side(
        model=side.model,
        # Also the prompts of what is switched off: they are kept, and may have been edited.
        prompts={
            "Analysis prompt": content.editor["instructions"],
            **{titles[name]: setting["prompt"] for name, setting in draft.items()},
        },
        switches={
            titles[name]: _switch(on=setting["enabled"], required=setting["required"])
            for name, setting in draft.items()
        },
        fields=side.fields,
        settings={
            **side.settings,
            "Automatic analysis": "on" if post["enabled"] else "off",
            "Share of conversations": f"{post['sample_percent']}%",
            "Minimum length": f"{post['min_seconds']:,} s, {post['min_messages']:,} messages",
            **(idle if content.channel == "chat" else {}),
            "Data retention": _kept(post["retention_days"]),
            **{
                f"Column {column.capitalize()}": name or "nothing"
                for column, name in content.columns.as_dict().items()
            },
        },
    )


def _kept(days: int | None) -> str:
    return "indefinitely" if days is None else f"{days:,} days"


def _side_of_config(document: ConfigDocument) -> _Side:
    titles = _titles(document.channel)
    on = {b.name: b for b in document.built_ins}
    required = set(document.schema.get("required") or ())
    rest = {k: v for k, v in document.schema.items() if k not in {"type", "properties", "required"}}
    return _Side(
        model=document.model,
        prompts={
            "Analysis prompt": "\n\n".join(document.instructions),
            **{titles[b.name]: b.prompt for b in document.built_ins},
        },
        switches={
            title: _switch(on=name in on, required=name in on and on[name].required)
            for name, title in titles.items()
        },
        fields={
            name: field_text(schema, required=name in required)
            for name, schema in document.own_fields().items()
        },
        settings={
            "Long transcript": "refuse"
            if document.long_transcript == "refuse"
            else "keep the beginning and the end",
            **{f"Schema keyword {key}": _json(value) for key, value in rest.items()},
            **{f"Model parameter {key}": _json(v) for key, v in document.parameters.items()},
            "Prompt builder": f"revision {document.revision}",
        },
    )


def _titles(channel: str) -> dict[str, str]:
    return {c.name: c.title for c in categories(channel)}


def _switch(*, on: bool, required: bool) -> str:
    if not on:
        return "off"
    return "on, required" if required else "on, optional"


def _diff(before: _Side, after: _Side) -> Diff:
    changes: list[Change] = []
    if before.model != after.model:
        changes.append(Change("model", "changed", "Model", before.model, after.model))
    changes += _texts("prompt", before.prompts, after.prompts)
    changes += _switches(before.switches, after.switches)
    changes += _texts("field", before.fields, after.fields)
    changes += [
        Change("field", "moved", name) for name in _moved(list(before.fields), list(after.fields))
    ]
    changes += _texts("setting", before.settings, after.settings)
    return Diff(tuple(changes))


def _texts(kind: Kind, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for name, text in after.items():
        old = before.get(name)
        if old is None and (text or kind == "field"):
            yield Change(kind, "added", name, "", text)
        elif old is not None and old != text:
            verb: Verb = "changed" if old and text else "added" if text else "removed"
            yield Change(kind, verb, name, old, text)
    for name, text in before.items():
        if name not in after and (text or kind == "field"):
            yield Change(kind, "removed", name, text, "")


def _switches(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name, "off"), after.get(name, "off")
        if old != new:
            yield Change("setting", "changed", name, old, new)


def _moved(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """The fewest fields whose moving explains the new order of those that both sides have."""
    places = {name: index for index, name in enumerate(before)}
    common = [name for name in after if name in places]
    stay = _longest_rising([places[name] for name in common])
    return [name for name in common if places[name] not in stay]


def _longest_rising(numbers: Sequence[int]) -> set[int]:
    """Return a longest strictly rising subsequence, as a set: the numbers are all different."""
    tails: list[int] = []
    previous: dict[int, int | None] = {}
    for number in numbers:
        at = bisect_left(tails, number)
        previous[number] = tails[at - 1] if at else None
        tails[at : at + 1] = [number]
    found: set[int] = set()
    step: int | None = tails[-1] if tails else None
    while step is not None:
        found.add(step)
        step = previous[step]
    return found


def _type_words(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "Selector"
    if "type" not in schema and any(k in schema for k in ("$ref", "anyOf", "oneOf", "allOf")):
        return "As defined"
    kind = schema.get("type", implied_type(schema) or "string")
    if kind == "string" and schema.get("format") == "date":
        return "Date"
    names = {"string": "Text", "boolean": "Yes-no", "number": "Number", "integer": "Integer"}
    if kind == "array":
        items = schema.get("items")
        return "List" if items == {"type": "string"} else f"List of {_json(items)}"
    return names.get(kind, _json(kind)) if isinstance(kind, str) else _json(kind)


def _keyword_lines(keyword: str, value: object) -> Iterator[str]:
    words = {
        "x-condition": "Condition",
        "minimum": "Minimum",
        "maximum": "Maximum",
        "minItems": "Items at least",
        "maxItems": "Items at most",
    }
    if keyword in {"type", "items"} or (keyword == "format" and value == "date"):
        return
    if keyword == "description" and isinstance(value, str):
        yield f"Description: {value}"
    elif keyword in {"enum", "examples"} and isinstance(value, list):
        word = "Choice" if keyword == "enum" else "Example"
        yield from (f"{word}: {v if isinstance(v, str) else _json(v)}" for v in value)
    else:
        text = value if isinstance(value, str) else _json(value)
        yield f"{words.get(keyword, keyword)}: {text}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
