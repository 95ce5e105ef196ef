"""Write contacts: the statements that must not overwrite what others write at the same time."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from .values import BUILT_IN_TARGETS

_FILL = """
UPDATE contacts_contact SET
  phone_number = coalesce(phone_number, %(phone_number)s), email = coalesce(email, %(email)s),
  first_name = coalesce(nullif(first_name, ''), %(first_name)s, ''),
  last_name = coalesce(nullif(last_name, ''), %(last_name)s, ''),
  provided = provided || %(provided)s::jsonb, updated_at = now()
WHERE id = %(id)s
"""


def fill(contact_id: int, values: Mapping[str, str]) -> None:
    """Add a number, an email, and names where the contact has none. Raise IntegrityError."""
    provided = {name: value for name, value in values.items() if name in BUILT_IN_TARGETS}
    parameters: dict[str, Any] = dict.fromkeys(("phone_number", *BUILT_IN_TARGETS))
    parameters |= {**values, "provided": json.dumps(provided), "id": contact_id}
    with connection.cursor() as cursor:
        cursor.execute(_FILL, parameters)


_WRITE = """
UPDATE contacts_contact c SET
  email = v.email, first_name = v.first_name, last_name = v.last_name,
  fields = v.fields, provided = v.provided, updated_at = %s
FROM jsonb_to_recordset(%s::jsonb) AS v(
  id bigint, email text, first_name text, last_name text, fields jsonb, provided jsonb)
WHERE c.id = v.id
"""


def write_values(rows: Sequence[Mapping[str, Any]], at: datetime) -> None:
    """Write the values of contacts, in one statement. Call this with the contacts locked.

    A row has ``id``, ``email``, ``first_name``, ``last_name``, ``fields``, and ``provided``.
    Raise IntegrityError for an email of another contact.
    """
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(_WRITE, [at, json.dumps(list(rows), ensure_ascii=False)])
