"""Draw samples by a hash of each row's key, so that the same sample comes out every time.

Python and SQL compute the same position. A sample of N rows is the first N by position, and a
sample of P percent is every row below a position, so a larger sample contains the smaller one.
"""

import hashlib
from decimal import Decimal

from django.db.models import BigIntegerField, Func

_BYTES = 6
_POSITIONS = 256**_BYTES


def is_sampled(key: str, percent: Decimal) -> bool:
    """Return whether a sample of ``percent`` contains this key."""
    position = int.from_bytes(hashlib.sha256(key.encode()).digest()[:_BYTES], "big")
    return position < sample_end(percent)


def sample_end(percent: Decimal | int) -> int:
    """Return the position below which a sample of ``percent`` lies."""
    return int(percent * _POSITIONS / 100)


def position_sql(key: str) -> str:
    """Return the SQL for the position of a text expression, from 0 to 2⁴⁸."""
    digest = f"sha256(convert_to({key}, 'UTF8'))"
    return f"('x' || encode(substring({digest} FROM 1 FOR {_BYTES}), 'hex'))::bit(48)::bigint"


class Position(Func):
    """The position of a row's key, to order and filter querysets by."""

    template = f"({position_sql('%(expressions)s')})"
    output_field = BigIntegerField()
