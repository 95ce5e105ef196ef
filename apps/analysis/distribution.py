"""Pass new current results on: to contacts, CRMs, follow-ups, and alert rules."""

from collections.abc import Sequence
from datetime import datetime

from apps.alerts.checks import results_recorded
from apps.conversations.models import Trigger
from apps.conversations.results import NewResult
from apps.crm.activities import conversations_analyzed
from apps.follow_ups.results import request_follow_ups
from apps.mappings.contributions import contribute


def distribute(results: Sequence[NewResult], *, now: datetime | None = None) -> None:
    """Give results to all that act on them, in a fixed number of statements.

    Call this in the transaction that makes them current, with their conversations locked. Copies
    (restored and recomputed results) ask for no follow-up: their conversation was read before.
    """
    to_contacts = [one for one in results if one.contacts]
    contribute(to_contacts)
    # An activity shows the summary and the outcome, which are never computed again.
    logged = [one for one in to_contacts if one.trigger != Trigger.COMPUTED]
    conversations_analyzed(
        first=[one.conversation_id for one in logged if not one.replaces],
        again=[one.conversation_id for one in logged if one.replaces],
    )
    request_follow_ups([one for one in results if not one.is_copy], now=now)
    results_recorded(
        first=[one.conversation_id for one in results if one.is_first_analysis],
        again=[one.conversation_id for one in results if not one.is_first_analysis],
    )
