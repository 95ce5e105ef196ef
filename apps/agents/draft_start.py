"""The changes to a draft that start from a template or from another agent's fields.

Pure. A ``Start`` says in full what would change before anything does, and carries the changes as
``services.save_draft`` takes them, so that a start is a save like any other: listed, compared,
restored.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from apps.llm.schema import flat_root
from apps.llm.schema.nodes import escape

from .content import Content, Json
from .documents import Category, Schema, categories
from .plans import DEFINITIONS, rewrite_refs
from .templates import Template

How = Literal["merge", "replace"]
#: What becomes of the analysis prompt.
PromptFate = Literal["kept", "set", "added", "replaced"]


@dataclass(frozen=True, slots=True)
class Source:
    """What can be started from. ``columns``: the history columns that its fields feed in place of
    the built-in categories."""

    key: str
    title: str
    schema: Schema
    instructions: str
    columns: Mapping[str, str]

    @property
    def fields(self) -> dict[str, object]:
        return dict(cast("dict[str, object]", flat_root(self.schema).get("properties") or {}))


@dataclass(frozen=True, slots=True)
class Start:
    """What starting from ``source`` does; ``columns`` are the history columns that change, and
    ``changes`` are for ``services.save_draft``."""

    source: Source
    how: How
    added: tuple[str, ...]
    replaced: tuple[str, ...]
    kept: tuple[str, ...]
    removed: tuple[str, ...]
    switched_off: tuple[str, ...]
    switched_on: tuple[str, ...]
    columns: Mapping[str, str]
    prompt: PromptFate
    changes: Json


def template_source(template: Template) -> Source:
    """Return a template as something to start from."""
    return Source(
        template.key, template.title, template.schema(), template.instructions, template.columns
    )


def agent_source(key: str, title: str, content: Content) -> Source:
    """Another agent's draft as something to start from, whatever its channel."""
    own = content.document().own_fields()
    on = {built_in.name for built_in in content.document().built_ins}
    off = {c.column for c in categories(content.channel) if c.name not in on}
    fed = {c: name for c, name in content.columns.as_dict().items() if name in own and c in off}
    schema: Schema = content.editor["schema"]
    return Source(key, title, schema, str(content.editor["instructions"]), fed)


def plan_start(
    content: Content, source: Source, *, how: How = "merge", with_prompt: bool = True
) -> Start:
    """Return what a draft becomes.

    Merging keeps the fields that are there, in their order; on equal names the source's definition
    wins. Replacing takes the source's fields alone, and switches a built-in category on again
    where the field that replaced it is deleted without a successor.
    """
    own: dict[str, object] = content.document().own_fields()
    new = source.fields
    different = {name for name in own if name in new and not _same(own[name], new[name])}
    gone = () if how == "merge" else tuple(name for name in own if name not in new)
    off, on = _switches(content, source, gone)
    columns = {**{c.column: c.name for c in on}, **source.columns}
    prompt, instructions = _prompt(content, source, how, with_prompt=with_prompt)
    schema = source.schema if how == "replace" else _merged(content.editor["schema"], source)
    built_ins = {c.name: {"enabled": c in on} for c in (*off, *on)}
    analysis = {"schema": schema, "built_ins": built_ins, "instructions": instructions}
    return Start(
        source=source,
        how=how,
        added=tuple(name for name in new if name not in own),
        replaced=tuple(name for name in own if name in different),
        kept=tuple(name for name in own if name not in different and name not in gone),
        removed=gone,
        switched_off=tuple(category.name for category in off),
        switched_on=tuple(category.name for category in on),
        columns={c: n for c, n in columns.items() if content.columns.as_dict()[c] != n},
        prompt=prompt,
        changes={"analysis": analysis, "columns": columns},
    )


def _switches(
    content: Content, source: Source, gone: tuple[str, ...]
) -> tuple[tuple[Category, ...], tuple[Category, ...]]:
    """Return the built-in categories that go off and those that continue again."""
    on = {built_in.name for built_in in content.document().built_ins}
    fed = content.columns.as_dict()
    off = [c for c in categories(content.channel) if c.column in source.columns and c.name in on]
    again = [
        c
        for c in categories(content.channel)
        if c.name not in on and c.column not in source.columns and fed[c.column] in gone
    ]
    return tuple(off), tuple(again)


def _prompt(
    content: Content, source: Source, how: How, *, with_prompt: bool
) -> tuple[PromptFate, str]:
    present, offered = str(content.editor["instructions"]), source.instructions.strip()
    if not with_prompt or not offered or offered in present:
        return "kept", present
    if not present.strip():
        return "set", offered
    if how == "replace":
        return "replaced", offered
    return "added", f"{present.rstrip()}\n\n{offered}"


def _merged(present: Schema, source: Source) -> Schema:
    """Return both schemas in one; other keywords at the top of the current one stay."""
    schema: Schema = flat_root(_with_own_definitions(source.schema, present))
    new = schema.get("properties") or {}
    kept = [name for name in present.get("required") or () if name not in new]
    merged: Schema = {
        **present,
        "properties": {**(present.get("properties") or {}), **new},
        "required": [*kept, *(schema.get("required") or ())],
    }
    for keyword in DEFINITIONS:
        if keyword in schema:
            merged[keyword] = {**(present.get(keyword) or {}), **schema[keyword]}
    return merged


def _with_own_definitions(schema: Schema, present: Schema) -> Schema:
    """Return the schema, its definitions renamed where the current one has the same names."""
    renamed: dict[str, str] = {}
    definitions: dict[str, Schema] = {}
    for keyword in DEFINITIONS:
        there = present.get(keyword) or {}
        given = schema.get(keyword) or {}
        for name, value in given.items():
            new = name
            while new in there and not _same(there[new], value):
                new += "_"
            definitions.setdefault(keyword, {})[new] = value
            if new != name:
                renamed[f"#/{keyword}/{escape(name)}"] = f"#/{keyword}/{escape(new)}"
    return rewrite_refs({**schema, **definitions}, renamed) if renamed else schema


def _same(one: object, two: object) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
