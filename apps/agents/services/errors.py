"""Errors of the services of agents, with messages for people."""

from datetime import datetime

from apps.agents.changes import Fault
from apps.agents.content import Content
from apps.agents.diffs import Diff
from apps.core.errors import Conflict, Example, UserError

from .stamp import Stamp


class InvalidDraft(UserError):
    """The draft would not be usable. ``faults`` says why, place by place."""

    code = "invalid_draft"
    example = Example(
        "This must be a whole number from 0 to 2,147,483,647 seconds, not “-1”.",
        {
            "post_analysis.min_seconds": "This must be a whole number from 0 to 2,147,483,647 "
            "seconds, not “-1”."
        },
    )

    def __init__(self, faults: list[Fault]) -> None:
        fields: dict[str, str] = {}
        for fault in faults:
            fields.setdefault(fault.place + fault.pointer, str(fault))
        super().__init__(str(faults[0]), fields)
        self.faults = faults


class DraftConflict(Conflict):
    """Raised when someone else saved since this editor's page was loaded. Nothing is overwritten.

    `theirs` has the other person's changes, `mine` the changes that saving on top would make, and
    `merged` the draft after that. `stamp` is the state of the draft that `merged` is based on.
    """

    code = "draft_conflict"

    def __init__(
        self,
        *,
        saved_by: str,
        saved_at: datetime,
        stamp: Stamp,
        theirs: Diff,
        mine: Diff,
        merged: Content,
    ) -> None:
        super().__init__(
            f"{saved_by} saved this draft while you were editing ({theirs.summary}). "
            "Your changes weren't saved. Review the differences, then save again or load the "
            "other version."
        )
        self.saved_by = saved_by
        self.saved_at = saved_at
        self.stamp = stamp
        self.theirs = theirs
        self.mine = mine
        self.merged = merged


class StalePage(Conflict):
    """A page names a state that its draft never had: its form cannot be compared with anything."""

    code = "stale_page"


class NothingToPublish(Conflict):
    """The draft says what the latest published version says."""

    code = "nothing_to_publish"
    example = Example("V3 draft has no changes since V2. Edit it before publishing.")


class AgentDeactivated(Conflict):
    """A deactivated agent is not edited."""

    code = "agent_deactivated"
    example = Example("Billing line is deactivated. Reactivate it to make changes.")
