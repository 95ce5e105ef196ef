"""Merge the configs of a transferred conversation."""

import json
from collections.abc import Sequence
from typing import Any

from apps.llm.schema import flat_root

from .documents import ConfigDocument, Schema

#: One link of a chain: the transfer's setting, the destination's public id, its document.
Link = tuple[str, str, ConfigDocument]

_DEFINITIONS = ("$defs", "definitions")


def fold(first_id: str, first: ConfigDocument, links: Sequence[Link]) -> ConfigDocument:
    """Fold a chain of agents into the one config that reads the conversation.

    ``only_destination_agent`` takes the destination's configuration whole; ``both_agents`` merges
    it into the result so far. ``first_id`` and the ids in ``links`` name the agents whose
    ``$defs`` stay separate. A chain without transfers is the first agent's document, unchanged,
    so that it has the same hash as the draft itself.
    """
    current, current_id = first, first_id
    merged = False
    for setting, agent_id, document in links:
        if setting == "only_destination_agent":
            current, merged = document, False
        else:
            source = current if merged else _with_own_defs(current, current_id)
            current, merged = _merge(source, _with_own_defs(document, agent_id)), True
        current_id = agent_id
    return current


def _merge(source: ConfigDocument, destination: ConfigDocument) -> ConfigDocument:
    """Union of the fields; all else is the destination's; both analysis prompts, source first."""
    inherited = tuple(i for i in source.instructions if i not in destination.instructions)
    return ConfigDocument(
        channel=destination.channel,
        model=destination.model,
        parameters=destination.parameters,
        built_ins=destination.built_ins,
        instructions=inherited + destination.instructions,
        schema=_merge_schemas(source.schema, destination.schema),
        long_transcript=destination.long_transcript,
        revision=destination.revision,
    )


def _merge_schemas(source: Schema, destination: Schema) -> Schema:
    """Return the destination's schema with the fields that only the source has.

    Where fields are added, rules of the destination about the whole object go: it knew nothing of
    those fields. The fields that such rules speak of stay, as optional ones.
    """
    ours, theirs = flat_root(source), flat_root(destination)
    own = _mapping(theirs.get("properties"))
    fields = _mapping(ours.get("properties"))
    inherited = {name: value for name, value in fields.items() if name not in own}
    if inherited or theirs is destination:
        required = [name for name in _names(ours.get("required")) if name in inherited]
        merged = {
            **theirs,
            "type": "object",
            "properties": {**inherited, **own},
            "required": required + _names(theirs.get("required")),
        }
    else:
        merged = dict(destination)
    for keyword in _DEFINITIONS:
        definitions = {**_mapping(source.get(keyword)), **_mapping(destination.get(keyword))}
        if definitions:
            merged[keyword] = definitions
    return merged


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _names(value: object) -> list[str]:
    return value if isinstance(value, list) else []


def _with_own_defs(document: ConfigDocument, agent_id: str) -> ConfigDocument:
    """Return the document with its definitions renamed by agent, references included."""
    listed = [(k, n) for k in _DEFINITIONS for n in _mapping(document.schema.get(k))]
    if not listed:
        return document
    renamed = {
        f"#/{keyword}/{_pointer(name)}": f"#/{keyword}/{_pointer(f'{agent_id}.{name}')}"
        for keyword, name in listed
    }
    schema = rewrite_refs(document.schema, renamed)
    for keyword in dict.fromkeys(keyword for keyword, _ in listed):
        schema[keyword] = {f"{agent_id}.{name}": v for name, v in schema[keyword].items()}
    return ConfigDocument(
        channel=document.channel,
        model=document.model,
        parameters=document.parameters,
        built_ins=document.built_ins,
        instructions=document.instructions,
        schema=schema,
        long_transcript=document.long_transcript,
        revision=document.revision,
    )


def _pointer(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def rewrite_refs(schema: Schema, renamed: dict[str, str]) -> Schema:
    """A copy in which each local ``$ref`` below a renamed definition points to its new name."""

    def hook(node: dict[str, Any]) -> dict[str, Any]:
        ref = node.get("$ref")
        if isinstance(ref, str):
            for old, new in renamed.items():
                if ref == old or ref.startswith(old + "/"):
                    node["$ref"] = new + ref[len(old) :]
        return node

    copy: Schema = json.loads(json.dumps(schema), object_hook=hook)
    return copy
