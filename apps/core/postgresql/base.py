"""Check a stored connection by its socket, and only now and then by a statement."""

import select
import time

from django.db.backends.postgresql import base
from psycopg.pq import TransactionStatus

ASK_SECONDS = 5.0
"""How long the response to a statement vouches for a connection on which nothing arrived since."""


class DatabaseWrapper(base.DatabaseWrapper):
    """A server that ends a connection closes its socket: a look at the socket finds that.

    Without a word only a network breaks off, so PostgreSQL is asked too, every few seconds.
    """

    _asked_at = float("-inf")

    def is_usable(self) -> bool:
        """Return whether the connection can be used for the next request."""
        now, stored = time.monotonic(), self.connection
        if now - self._asked_at < ASK_SECONDS and stored is not None and not stored.closed:
            is_idle = stored.info.transaction_status == TransactionStatus.IDLE
            if is_idle and not _has_arrived(stored.fileno()):
                return True
        usable = super().is_usable()
        if usable:
            self._asked_at = now
        return usable


def _has_arrived(descriptor: int) -> bool:
    """Return whether there is something to read: the end of the connection, or a notice."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
