"""The state of a draft that a page was filled from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stamp:
    """The number of a draft, and how often it had been saved."""

    version: int
    save_count: int
