"""What a version holds, as one value: editor document, post-analysis settings, history columns.

``Content`` is what a draft is compared, merged and validated as. Its outside is the draft of the
API: ``{"analysis": {…}, "post_analysis": {…}, "columns": {…}}``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

from .documents import EMPTY_SCHEMA, Columns, ConfigDocument, LongTranscript, categories, resolve
from .models import AgentVersion, ConfigSave

#: JSON as the API speaks it. Values are looked at one by one before they are trusted.
Json = dict[str, Any]

POST_ANALYSIS_DEFAULTS: Json = {
    "enabled": True,
    "sample_percent": 100,
    "min_seconds": 0,
    "min_messages": 0,
    "chat_idle_seconds": 3600,
    "long_transcript": "refuse",
    "retention_days": None,
}


@dataclass(frozen=True)
class Content:
    """What a version holds. ``editor`` keeps only what departs from a default, in fixed order."""

    channel: str
    editor: Json
    post_analysis: Json = field(default_factory=lambda: dict(POST_ANALYSIS_DEFAULTS))
    columns: Columns = field(default_factory=Columns)

    def document(self) -> ConfigDocument:
        """Return the config that follows, without the model's own parameters."""
        rule = cast("LongTranscript", self.post_analysis["long_transcript"])
        return resolve(channel=self.channel, editor=self.editor, long_transcript=rule)

    def as_draft(self) -> Json:
        """Return the API's shape, with every default filled in."""
        chosen = self.editor["built_ins"]
        return {
            "analysis": {
                "model": self.editor["model"],
                "instructions": self.editor["instructions"],
                "built_ins": {
                    c.name: {
                        "prompt": chosen.get(c.name, {}).get("prompt") or c.prompt,
                        "enabled": chosen.get(c.name, {}).get("enabled", True),
                        "required": chosen.get(c.name, {}).get("required", False),
                    }
                    for c in categories(self.channel)
                },
                "schema": self.editor["schema"],
            },
            "post_analysis": dict(self.post_analysis),
            "columns": self.columns.as_dict(),
        }

    def text(self) -> str:
        """Return the editor document as it is stored. The order of fields counts, so text it is."""
        return json.dumps(self.editor, ensure_ascii=False)

    def settings(self) -> Json:
        """Return the rest of it, as a ``ConfigSave`` keeps it."""
        return {"post_analysis": dict(self.post_analysis), "columns": self.columns.as_dict()}

    def same_as(self, other: "Content") -> bool:
        """Return whether nothing differs, the order of fields included."""
        return self.text() == other.text() and self.settings() == other.settings()


def canonical_editor(channel: str, editor: Mapping[str, Any]) -> Json:
    """Return an editor document in our order of keys, without default values.

    A prompt equal to the default isn't stored, so that it follows the default when that gets
    better.
    """
    chosen = editor.get("built_ins") or {}
    built_ins: Json = {}
    for item in categories(channel):
        given = chosen.get(item.name) or {}
        kept: Json = {}
        prompt = given.get("prompt") or ""
        if prompt.strip() and prompt.strip() != item.prompt:
            kept["prompt"] = prompt
        if not given.get("enabled", True):
            kept["enabled"] = False
        if given.get("required", False):
            kept["required"] = True
        built_ins[item.name] = kept
    return {
        "model": editor["model"],
        "instructions": editor.get("instructions") or "",
        "built_ins": built_ins,
        "schema": editor.get("schema") or dict(EMPTY_SCHEMA),
    }


def content_of(version: AgentVersion) -> Content:
    """Return what a version holds now; reads ``version.agent``."""
    channel = version.agent.channel
    return Content(
        channel=channel,
        editor=canonical_editor(channel, json.loads(version.editor_document)),
        post_analysis={
            "enabled": version.post_analysis_enabled,
            "sample_percent": plain_number(version.sample_percent),
            "min_seconds": version.min_seconds,
            "min_messages": version.min_messages,
            "chat_idle_seconds": version.chat_idle_seconds,
            "long_transcript": version.long_transcript,
            "retention_days": version.retention_days,
        },
        columns=version.columns,
    )


def content_of_save(save: ConfigSave, channel: str) -> Content:
    """Return what a draft held at one of its saves."""
    settings = save.settings
    return Content(
        channel=channel,
        editor=canonical_editor(channel, json.loads(save.editor_document)),
        post_analysis={**POST_ANALYSIS_DEFAULTS, **settings.get("post_analysis", {})},
        columns=Columns(**settings.get("columns", {})),
    )


def fill_version(version: AgentVersion, content: Content) -> None:
    """Put a content into the columns of a version; ``config`` is the caller's."""
    version.editor_document = content.text()
    post = content.post_analysis
    version.post_analysis_enabled = post["enabled"]
    version.sample_percent = Decimal(str(post["sample_percent"]))
    version.min_seconds = post["min_seconds"]
    version.min_messages = post["min_messages"]
    version.chat_idle_seconds = post["chat_idle_seconds"]
    version.long_transcript = post["long_transcript"]
    version.retention_days = post["retention_days"]
    version.summary_field = content.columns.summary
    version.outcome_field = content.columns.outcome
    version.sentiment_field = content.columns.sentiment


def plain_number(value: Decimal | float) -> int | float:
    """Return a number as JSON writes it best: 100 rather than 100.0."""
    whole = int(value)
    return whole if whole == value else float(value)
