"""The queue of follow-ups: filters, order, counts, and pages."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, F, Q
from django.utils import timezone

from apps.accounts.models import User
from apps.conversations.models import Conversation
from apps.core.pagination import Page, page

from .models import FollowUp, FollowUpQuerySet

PER_PAGE = 50
VIEWS: Mapping[str, str] = {
    "": "Open",
    "mine": "Mine",
    "unassigned": "Unassigned",
    "overdue": "Overdue",
    "done": "Done",
}
SORTS = ("due_at", "-due_at", "created_at", "-created_at")


@dataclass(frozen=True, slots=True)
class Queue:
    """A view of the queue for one reader, of one agent or of all."""

    user: User
    view: str = ""
    agent: str = ""
    sort: str = ""

    @property
    def order(self) -> str:
        """Return the sort column: the newest first of done ones, else the first due."""
        if self.view == "done":
            return "-done_at"
        return self.sort or "due_at"

    def rows(self) -> FollowUpQuerySet:
        """Return the follow-ups of this view, in no particular order."""
        rows = FollowUp.objects.all()
        if self.agent:
            rows = rows.of_agent(self.agent)
        return {
            "": rows.open,
            "mine": rows.open().filter(owner=self.user).all,
            "unassigned": rows.open().filter(owner=None).all,
            "overdue": lambda: rows.overdue(timezone.now()),
            "done": rows.done,
        }[self.view]()

    def page(self, cursor: str | None) -> Page[FollowUp]:
        """Return one page. Raises CursorError."""
        rows = self.rows().with_conversations()
        return page(rows, order=[self.order], cursor=cursor, limit=PER_PAGE)


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of open follow-ups."""

    open: int
    mine: int
    unassigned: int
    overdue: int

    @property
    def waiting(self) -> int:
        """Return how many need this reader: owned by them, or by no one."""
        return self.mine + self.unassigned


def counts_for(user: User, *, agent: str = "", now: datetime | None = None) -> Counts:
    """Count the open follow-ups, in one query."""
    at = now or timezone.now()
    rows = FollowUp.objects.open()
    if agent:
        rows = rows.of_agent(agent)
    return Counts(
        **rows.aggregate(
            open=Count("pk"),
            mine=Count("pk", filter=Q(owner=user)),
            unassigned=Count("pk", filter=Q(owner=None)),
            overdue=Count("pk", filter=Q(due_at__lt=at)),
        )
    )


def follow_up_of(conversation: Conversation) -> FollowUp | None:
    """Return the open follow-up of a conversation, else the one that was finished last."""
    rows = FollowUp.objects.filter(conversation=conversation).select_related("owner")
    found = rows.order_by(F("done_at").desc(nulls_first=True), "-pk").first()
    if found is not None:
        found.conversation = conversation
    return found
