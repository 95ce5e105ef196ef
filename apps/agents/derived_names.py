"""Names of fields: what a schema and a derived field may not share.

Saving either holds the names until the end of the transaction, so that two people who save at the
same time can't both take one.
"""

import json

from django.db import connection

from .models import DerivedField

_HOLD = "SELECT pg_advisory_xact_lock{}(hashtextextended('names of fields', 0))"


def derived_names() -> frozenset[str]:
    """Return the name of every field that a derived field adds to results; one query."""
    properties = DerivedField.objects.order_by().values_list("properties", flat=True)
    return frozenset(name for text in properties for name in json.loads(text))


def hold_names(*, for_schemas: bool) -> None:
    """Let saves of schemas wait for those of derived fields, and the other way around."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLD.format("_shared" if for_schemas else ""))
