"""Which fields the schemas of the agents' configs have, and of which types.

A name may have several types (another agent, an earlier version): their union counts. Configs
are immutable and named by their hash, so their fields are cached for the process's life.
"""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import F, Q, QuerySet

from apps.agents.models import AgentVersion, AnalysisConfig, ConfigSave, DerivedField
from apps.llm.schema.nodes import resolve
from apps.llm.schema.roots import OWN_SCHEMA

from .grammar import ValueKind


@dataclass(frozen=True, slots=True)
class SchemaField:
    """A field as the schemas define it; ``choices`` are those of all of them, in order.

    ``agents`` are the names of those whose schemas have it. ``computed``: by a derived field.
    """

    name: str
    kinds: tuple[ValueKind, ...]
    choices: tuple[str, ...] = ()
    description: str = ""
    agents: tuple[str, ...] = ()
    computed: bool = False


def schema_fields(
    channel: str | None, *, agents: QuerySet[Any, Any] | None = None
) -> dict[str, SchemaField]:
    """Return the fields of every version and save of the channel's agents, by name; newest first.

    Pass ``agents``, a query of their keys, for the fields of those alone. Derived fields come
    last.
    """
    found: dict[str, SchemaField] = {}
    for agent, config_fields in _fields_of_configs(channel, agents):
        for field in config_fields:
            owned = field if field.computed else replace(field, agents=(agent,))
            found[field.name] = _united(found[field.name], owned) if field.name in found else owned
    return found


def _fields_of_configs(
    channel: str | None, agents: QuerySet[Any, Any] | None
) -> list[tuple[str, tuple[SchemaField, ...]]]:
    """Return one narrow query, and a second only for configs that this process has not met.

    Derived fields are in the same query, with their properties in the place of the hash.
    """
    versions = AgentVersion.objects.order_by().filter(_of("", channel, agents))
    saves = ConfigSave.objects.order_by().filter(_of("agent_version__", channel, agents))
    derived = DerivedField.objects.order_by().filter(_derived_of(channel, agents))
    rows = versions.values_list("config_id", "config__sha256", "agent__name").union(
        saves.values_list("config_id", "config__sha256", "agent_version__agent__name"),
        derived.values_list(-F("pk"), "properties", "label"),
    )
    used = [(name, owner) for _, name, owner in sorted(rows, reverse=True)]
    for properties in (name for name, _ in used if name not in _read and name.startswith("{")):
        _read[properties] = tuple(
            replace(_read_field(name, schema, {}), computed=True)
            for name, schema in json.loads(properties).items()
        )
    if unknown := {sha256 for sha256, _ in used if sha256 not in _read}:
        for config in AnalysisConfig.objects.filter(sha256__in=unknown):
            _remember(config)
    return [(agent, _read[sha256]) for sha256, agent in used if sha256 in _read]


def _of(path: str, channel: str | None, agents: QuerySet[Any, Any] | None) -> Q:
    found = Q(**{f"{path}agent__channel": channel}) if channel else Q()
    return found if agents is None else found & Q(**{f"{path}agent__in": agents})


def _derived_of(channel: str | None, agents: QuerySet[Any, Any] | None) -> Q:
    found = Q(channel=channel) if channel else Q()
    return found if agents is None else found & (Q(agent=None) | Q(agent__in=agents))


_read: dict[str, tuple[SchemaField, ...]] = {}


def _remember(config: AnalysisConfig) -> None:
    if len(_read) > 20_000:  # a process that lives for years
        _read.clear()
    answer = config.parsed().answer_schema()
    root = answer.get(OWN_SCHEMA, answer)
    _read[config.sha256] = tuple(
        _read_field(name, schema, root) for name, schema in (answer.get("properties") or {}).items()
    )


def _read_field(name: str, schema: Any, root: Mapping[str, Any]) -> SchemaField:
    kinds: list[ValueKind] = []
    choices: list[str] = []
    for variant in _variants(schema, root):
        for kind in _kinds(variant):
            if kind not in kinds:
                kinds.append(kind)
        choices += [str(v) for v in _closed_list(variant) if isinstance(v, str)]
    description = schema.get("description", "") if isinstance(schema, dict) else ""
    return SchemaField(
        name,
        tuple(kinds) or (ValueKind.TEXT, ValueKind.NUMBER, ValueKind.YES_NO, ValueKind.LIST),
        tuple(dict.fromkeys(choices)),
        str(description),
    )


def _variants(schema: Any, root: Mapping[str, Any], depth: int = 0) -> list[dict[str, Any]]:
    """Return the plain schemas that a value may follow: references and alternatives resolved.

    Where several schemas speak of the value, the most specific counts: choices, then types.
    """
    if not isinstance(schema, dict) or depth > 8:
        return []
    said = [[schema]]
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        with suppress(LookupError):
            said.append(_variants(resolve(root, reference), root, depth + 1))
    said += [_variants(part, root, depth + 1) for part in schema.get("allOf") or ()]
    for keyword in ("anyOf", "oneOf"):
        if isinstance(schema.get(keyword), list):
            found = [_variants(item, root, depth + 1) for item in schema[keyword]]
            said.append([variant for variants in found for variant in variants])
    for is_telling in (_closed_list, _kinds):
        for variants in said:
            if any(is_telling(variant) for variant in variants):
                return variants
    return [schema]


_KIND_OF_TYPE = {
    "string": ValueKind.TEXT,
    "number": ValueKind.NUMBER,
    "integer": ValueKind.NUMBER,
    "boolean": ValueKind.YES_NO,
    "array": ValueKind.LIST,
    "object": ValueKind.OTHER,
}


def _kinds(schema: Mapping[str, Any]) -> Iterable[ValueKind]:
    if closed := _closed_list(schema):
        return [kind for kind in map(_kind_of_value, closed) if kind]
    types = schema.get("type")
    names = types if isinstance(types, list) else [types]
    return [_KIND_OF_TYPE[name] for name in names if name in _KIND_OF_TYPE]


def _closed_list(schema: Mapping[str, Any]) -> list[Any]:
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) else []


def _kind_of_value(value: object) -> ValueKind | None:
    if isinstance(value, bool):
        return ValueKind.YES_NO
    if isinstance(value, int | float):
        return ValueKind.NUMBER
    if isinstance(value, str):
        return ValueKind.CHOICE
    return None if value is None else ValueKind.OTHER


def _united(first: SchemaField, second: SchemaField) -> SchemaField:
    if first == second:
        return first
    return SchemaField(
        first.name,
        tuple(dict.fromkeys((*first.kinds, *second.kinds))),
        tuple(dict.fromkeys((*first.choices, *second.choices))),
        first.description or second.description,
        tuple(dict.fromkeys((*first.agents, *second.agents))),
        first.computed and second.computed,
    )
