"""What is done to agents: made, edited, published, restored, deactivated (product 1.1, 1.5).

Every change locks the agent's row first, so two editors, two clicks and two processes come one
after the other, and each sees what the one before it left.
"""

from .common import base_content, draft_of
from .drafts import SaveResult, create_agent, draft_document, restore_save, save_draft
from .lifecycle import deactivate, reactivate, rename_agent
from .publishing import publish
from .refusals import AgentDeactivated, DraftConflict, InvalidDraft, NothingToPublish
from .starting import save_before, source_of, start_from

__all__ = [
    "AgentDeactivated",
    "DraftConflict",
    "InvalidDraft",
    "NothingToPublish",
    "SaveResult",
    "base_content",
    "create_agent",
    "deactivate",
    "draft_document",
    "draft_of",
    "publish",
    "reactivate",
    "rename_agent",
    "restore_save",
    "save_before",
    "save_draft",
    "source_of",
    "start_from",
]
