"""Record outcomes in groups, so that one that can't be stored spoils no other."""

import logging
from collections.abc import Callable, Sequence

from apps.core.database import is_passing
from apps.core.log_context import log_context

from .queue import O, log_ids_of

logger = logging.getLogger(__name__)


def record_group(
    outcomes: Sequence[O],
    write: Callable[[Sequence[O]], None],
    *,
    without_answer: Callable[[O], O],
) -> None:
    """Write a group in the transaction of ``write``; where that fails, write each alone.

    An outcome that can't be stored is written as ``without_answer`` returns it. Raise when the
    database is away: the caller keeps the outcomes and tries again.
    """
    try:
        write(outcomes)
    except Exception as error:  # whatever one of them breaks, the others were paid for
        if is_passing(error):
            raise
        logger.warning("Recording %d jobs failed, trying one by one", len(outcomes))
        for outcome in outcomes:
            with log_context(log_ids_of(outcome.job)):
                _record_one(outcome, write, without_answer)


def _record_one(
    outcome: O, write: Callable[[Sequence[O]], None], without_answer: Callable[[O], O]
) -> None:
    """Try twice: a clash with a writer of the same row is over when it is seen."""
    for _ in range(2):
        try:
            write([outcome])
        except Exception as error:
            if is_passing(error):
                raise
            logger.exception("The outcome of job %d can't be stored", outcome.job.key)
        else:
            return
    write([without_answer(outcome)])
