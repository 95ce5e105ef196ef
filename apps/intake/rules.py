"""What becomes of the analysis that a platform made itself (product 2.3)."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class PlatformRule:
    """An intake source's rule: use *theirs*, make *ours*, or *wait* so many minutes for theirs.

    ``theirs``: their result is stored as imported, ours is never asked for by itself. ``ours``:
    theirs is kept in the metadata under ``platform_analysis``, ours is asked for when the
    conversation ends. ``wait``: as theirs, but ours is asked for when none came in time.
    """

    rule: Literal["theirs", "ours", "wait"]
    wait_minutes: int = 10
