"""Check which contact field may go to which field of a CRM."""

from collections.abc import Mapping, Sequence
from typing import Any

from apps.contacts.values import ValueSpec

from .connectors.base import FieldType, RemoteField
from .values import specs

_TAKES: dict[FieldType, frozenset[FieldType]] = {
    FieldType.TEXT: frozenset({FieldType.TEXT}),
    FieldType.NUMBER: frozenset({FieldType.NUMBER, FieldType.TEXT}),
    FieldType.BOOLEAN: frozenset({FieldType.BOOLEAN, FieldType.TEXT}),
    FieldType.DATE: frozenset({FieldType.DATE, FieldType.TEXT}),
    FieldType.DATETIME: frozenset({FieldType.DATETIME, FieldType.TEXT}),
    FieldType.CHOICE: frozenset({FieldType.CHOICE, FieldType.TEXT}),
}
"""The types of CRM fields that take a contact field of each type."""


def as_stored(fields: Sequence[RemoteField]) -> list[dict[str, Any]]:
    """Return a field list as it is stored with a connection."""
    return [
        {
            "name": one.name,
            "label": one.label,
            "type": one.type.value,
            "writable": one.writable,
            "vendor_type": one.vendor_type,
            "choices": list(one.choices),
        }
        for one in fields
    ]


def as_read(stored: Sequence[Mapping[str, Any]]) -> dict[str, RemoteField]:
    """Return a stored field list by name."""
    return {
        one["name"]: RemoteField(
            name=one["name"],
            label=one["label"],
            type=FieldType(one["type"]),
            writable=one["writable"],
            vendor_type=one["vendor_type"],
            choices=tuple(one["choices"]),
        )
        for one in stored
    }


def problems(
    field_map: Mapping[str, str], remote: Mapping[str, RemoteField] | None
) -> dict[str, str]:
    """Return a message for each contact field that can't be mapped as asked.

    ``remote`` is the CRM's field list; None where any name is accepted.
    """
    known = specs()
    found: dict[str, str] = {}
    used: dict[str, str] = {}
    for name, target in field_map.items():
        if name == "phone_number":
            found[name] = "The phone number identifies the contact and is never written."
        elif name not in known:
            found[name] = f"Unknown contact field “{name[:60]}”."
        elif target in used:
            found[name] = f"“{target[:60]}” is mapped twice."
        elif remote is not None and (problem := _problem(known[name], target, remote)):
            found[name] = problem
        used[target] = name
    return found


def _problem(spec: ValueSpec, target: str, remote: Mapping[str, RemoteField]) -> str:
    field = remote.get(target)
    if field is None:
        return (
            f"The CRM has no field “{target[:60]}”. Test the connection to read its fields again."
        )
    if not field.writable:
        return f"{field.label} is read-only in the CRM."
    if field.type not in _TAKES[FieldType(spec.type)]:
        return f"{field.label} is of type {field.vendor_type or field.type}, not {spec.type}."
    if field.type == FieldType.CHOICE and field.choices:
        missing = [choice for choice in spec.choices if choice not in field.choices]
        if missing:
            return f"{field.label} has no choice “{missing[0][:60]}”."
    return ""
