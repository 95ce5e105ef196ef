"""Keyset pagination: page 10,000 costs what page 1 costs, and no row is shown twice or missed.

A cursor holds the sort values of the row beside the page; the next page starts behind them with
a comparison of rows, `(sort_at, id) < (…, …)`, which an index on the same columns answers. An
OFFSET would read and throw away everything before it.

Rows whose first sort value is null always come last, in either direction. They are asked for in
a query of their own, so that one plain index `(column, id)` serves both directions.
"""

from __future__ import annotations
