"""What errors of the database mean."""

from django.db import InterfaceError, OperationalError

#: Classes of SQLSTATE after which the same work may succeed: connection, rollback by deadlock,
#: resources, locks, shutdown, the system around. Not 54, a limit of PostgreSQL itself, which is
#: an OperationalError too and comes again each time.
_PASSING = frozenset({"08", "40", "53", "55", "57", "58"})


def is_passing(error: BaseException) -> bool:
    """Whether the database was away, busy or in a deadlock, so that one should come again."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    state = getattr(error.__cause__, "sqlstate", None)
    return state is None or state[:2] in _PASSING
