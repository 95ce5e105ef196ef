"""What is refused about agents, each with its reason for a person."""

from datetime import datetime

from apps.agents.changes import Fault
from apps.agents.diffs import Diff
from apps.core.errors import Conflict, UserError


class InvalidDraft(UserError):
    """The draft would not be usable. ``faults`` says why, place by place."""

    code = "invalid_draft"

    def __init__(self, faults: list[Fault]) -> None:
        fields: dict[str, str] = {}
        for fault in faults:
            fields.setdefault(fault.place + fault.pointer, str(fault))
        super().__init__(str(faults[0]), fields)
        self.faults = faults


class DraftConflict(Conflict):
    """Somebody else saved since this editor's page was loaded; nothing was overwritten.

    ``theirs`` is what they changed, ``mine`` what saving on top would now change; ``save_count``
    is the state to name when doing so.
    """

    code = "draft_conflict"

    def __init__(
        self, *, saved_by: str, saved_at: datetime, save_count: int, theirs: Diff, mine: Diff
    ) -> None:
        super().__init__(
            f"{saved_by} saved this draft while you were editing ({theirs.summary}). "
            "Your save was not made. Look at the difference, then save again or load theirs."
        )
        self.saved_by = saved_by
        self.saved_at = saved_at
        self.save_count = save_count
        self.theirs = theirs
        self.mine = mine


class NothingToPublish(Conflict):
    """The draft says what the latest published version says."""

    code = "nothing_to_publish"


class AgentDeactivated(Conflict):
    """A deactivated agent is not edited."""

    code = "agent_deactivated"
