"""Leave a service alone for a while after it could not be reached."""

import time


class Breaker:
    """One per service and purpose in a process; a lost update costs one more failed connection."""

    def __init__(self, seconds: float = 5.0) -> None:
        self.seconds = seconds
        self._until = 0.0

    @property
    def is_open(self) -> bool:
        """Return whether the service is to be left alone now."""
        return time.monotonic() < self._until

    def trip(self) -> None:
        """Leave the service alone for the next seconds."""
        self._until = time.monotonic() + self.seconds

    def reset(self) -> None:
        """Try the service again now."""
        self._until = 0.0
