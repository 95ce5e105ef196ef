"""JSON of payloads that other programs read: times, and the body as it is sent."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder


def moment(at: datetime | None) -> str | None:
    """Return a time as payloads write it: ISO 8601 in UTC, ``2025-01-18T15:30:00Z``."""
    if at is None:
        return None
    precision = "milliseconds" if at.microsecond else "seconds"
    return at.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def body_of(payload: Mapping[str, Any]) -> str:
    """Return the body as it is signed and sent: compact JSON, keys in order."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"), cls=DjangoJSONEncoder)
