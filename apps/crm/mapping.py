"""Check which contact field may go to which field of a CRM."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from apps.contacts.values import ValueSpec

from .connectors.base import FieldType, RemoteField
from .connectors.values import mismatch
from .values import specs


def as_stored(fields: Sequence[RemoteField]) -> list[dict[str, Any]]:
    """Return a field list as it is stored with a connection."""
    return [asdict(one) for one in fields]


def as_read(stored: Sequence[Mapping[str, Any]]) -> dict[str, RemoteField]:
    """Return a stored field list by name."""
    return {one["name"]: _read(one) for one in stored}


def _read(stored: Mapping[str, Any]) -> RemoteField:
    lists = {name: tuple(stored.get(name, ())) for name in ("choices", "labels")}
    return RemoteField(**{**stored, **lists, "type": FieldType(stored["type"])})


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
    return _mismatch(spec, field)


def fits(spec: ValueSpec, field: RemoteField) -> bool:
    """Return whether a contact field can be mapped to this field of the CRM."""
    return not _mismatch(spec, field)


def _mismatch(spec: ValueSpec, field: RemoteField) -> str:
    return mismatch(FieldType(spec.type), field, spec.choices) or ""
