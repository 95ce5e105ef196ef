"""Compute the values of marked contacts, and write those that changed."""

from collections.abc import Sequence

from .fold import FoldedValue


def mark(contact_ids: Sequence[int]) -> None:
    """Mark contacts to be folded within seconds. Lock nothing."""


def refold(contact_ids: Sequence[int]) -> int:
    """Fold these contacts now, in the caller's transaction or one of its own.

    A contact that another transaction holds stays marked for the sweep. Return the number of
    changed contacts.
    """
    return 0


def fold_marked(*, limit: int = 500) -> int:
    """Fold up to ``limit`` marked contacts in one transaction. Return their number."""
    return 0


def values_of(contact_id: int) -> dict[str, FoldedValue]:
    """Return the value of each field of a contact, with the contributions it comes from."""
    return {}
