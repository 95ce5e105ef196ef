"""Facts of the machine."""

import os

MOST_MODEL_THREADS = 8
"""The bundled model is so small that more threads wait for one another longer than they work."""


def usable_cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux
    return len(affinity(0)) if affinity else os.cpu_count() or 1
