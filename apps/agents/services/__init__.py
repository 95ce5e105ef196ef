"""Create, edit, publish, restore, and deactivate agents.

Every change locks the agent's row first, so two editors, two clicks and two processes come one
after the other, and each sees what the one before it left.
"""

from .common import base_content, content_at, draft_of
from .drafts import (
    MergedForm,
    SaveResult,
    create_agent,
    draft_document,
    merge_form,
    restore_save,
    save_draft,
    save_form,
)
from .errors import AgentDeactivated, DraftConflict, InvalidDraft, NothingToPublish, StalePage
from .lifecycle import deactivate, reactivate, rename_agent
from .publish import publish
from .stamp import Stamp
from .start import save_before, source_of, start_from

__all__ = [
    "AgentDeactivated",
    "DraftConflict",
    "InvalidDraft",
    "MergedForm",
    "NothingToPublish",
    "SaveResult",
    "StalePage",
    "Stamp",
    "base_content",
    "content_at",
    "create_agent",
    "deactivate",
    "draft_document",
    "draft_of",
    "merge_form",
    "publish",
    "reactivate",
    "rename_agent",
    "restore_save",
    "save_before",
    "save_draft",
    "save_form",
    "source_of",
    "start_from",
]
