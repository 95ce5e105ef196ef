"""The two documents of a version: what the editors show, and the config that follows from it.

The *editor document* is the ``analysis`` part of the API's draft: it keeps the prompt of a
built-in that is switched off, and leaves out unchanged values. The *config document* is
everything that determines a request, with the defaults resolved; it is
hashed, frozen, and sent. The built-in categories and their default prompts are at the end.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal, cast

from apps.llm.schema import flat_root, with_built_ins

#: Revision of the prompt builder. Raise it when `apps.analysis.prompts` changes what a request
#: says, so that results made before and after are told apart.
PROMPT_REVISION = 2

LongTranscript = Literal["refuse", "truncate"]
Schema = dict[str, Any]

EMPTY_SCHEMA: Schema = {"type": "object", "properties": {}, "required": []}


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A built-in category that is switched on, with the prompt that is really sent."""

    name: str
    prompt: str
    required: bool


@dataclass(frozen=True)
class ConfigDocument:
    """Everything that determines a request about one conversation.

    ``instructions`` is a tuple because a fold of transferred agents keeps each agent's analysis
    prompt. ``schema`` holds the agent's own fields, in the editor's order.
    """

    channel: str
    model: str
    built_ins: tuple[BuiltIn, ...]
    schema: Schema
    instructions: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    long_transcript: LongTranscript = "refuse"
    revision: int = PROMPT_REVISION

    def text(self) -> str:
        """The canonical JSON text: fixed order of our keys, the editor's order in the schema."""
        return json.dumps(
            {
                "revision": self.revision,
                "channel": self.channel,
                "model": self.model,
                "parameters": dict(sorted(self.parameters.items())),
                "instructions": list(self.instructions),
                "built_ins": [
                    {"name": b.name, "prompt": b.prompt, "required": b.required}
                    for b in self.built_ins
                ],
                "schema": self.schema,
                "long_transcript": self.long_transcript,
            },
            ensure_ascii=False,
            separators=(",", ":"),
        )

    def sha256(self) -> str:
        """Hex hash of the canonical text: the config's name."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    @cached_property
    def _root(self) -> Schema:
        """The top of the schema, flattened: asked for several times by each request."""
        return flat_root(self.schema)

    def own_fields(self) -> dict[str, Any]:
        """Return the agent's own fields: name → JSON Schema of its value.

        Those of definitions, alternatives and conditions at the top of the schema are among them.
        """
        return cast("dict[str, Any]", self._root.get("properties") or {})

    def required_names(self) -> tuple[str, ...]:
        """Fields that must not stay empty: built-ins first, then own ones."""
        built_ins = tuple(b.name for b in self.built_ins if b.required)
        own = cast("list[str]", self._root.get("required") or [])
        return built_ins + tuple(own)

    def field_names(self) -> tuple[str, ...]:
        """Return every field that a result of this config may hold, in order."""
        return tuple(b.name for b in self.built_ins) + tuple(self.own_fields())

    def answer_schema(self) -> Schema:
        """Return the operator's JSON Schema of a whole response: built-ins, then the own fields.

        Responses are judged by this; the agent's own fields by the agent's own schema, whole.
        """
        values = {item.name: item.value for item in categories(self.channel)}
        built_ins: dict[str, Any] = {
            b.name: {**values[b.name], "description": b.prompt} for b in self.built_ins
        }
        required = [b.name for b in self.built_ins if b.required]
        return with_built_ins(self.schema, built_ins, required)


@dataclass(frozen=True, slots=True)
class Columns:
    """Which field feeds each history column; an empty name feeds nothing."""

    summary: str = ""
    outcome: str = ""
    sentiment: str = ""

    def as_dict(self) -> dict[str, str]:
        return {"summary": self.summary, "outcome": self.outcome, "sentiment": self.sentiment}


@lru_cache(maxsize=2048)
def parse_config(text: str, sha256: str) -> ConfigDocument:
    """Read a stored config document. ``sha256`` keeps the cache's key short to compare."""
    data = json.loads(text)
    return ConfigDocument(
        channel=data["channel"],
        model=data["model"],
        built_ins=tuple(BuiltIn(**item) for item in data["built_ins"]),
        schema=data["schema"],
        instructions=tuple(data["instructions"]),
        parameters=data["parameters"],
        long_transcript=data["long_transcript"],
        revision=data["revision"],
    )


def resolve(
    *,
    channel: str,
    editor: Mapping[str, Any],
    long_transcript: LongTranscript,
    parameters: Mapping[str, Any] | None = None,
) -> ConfigDocument:
    """Return the config that an editor document amounts to, with every default filled in.

    A built-in that the document does not name is on, with its default prompt, and not required.
    """
    instructions = str(editor.get("instructions") or "").strip()
    return ConfigDocument(
        channel=channel,
        model=str(editor["model"]),
        built_ins=tuple(_built_ins(channel, editor.get("built_ins") or {})),
        schema=editor.get("schema") or EMPTY_SCHEMA,
        instructions=(instructions,) if instructions else (),
        parameters=parameters or {},
        long_transcript=long_transcript,
    )


def _built_ins(channel: str, chosen: Mapping[str, Any]) -> Sequence[BuiltIn]:
    result = []
    for item in categories(channel):
        setting = chosen.get(item.name) or {}
        if not setting.get("enabled", True):
            continue
        prompt = str(setting.get("prompt") or "").strip() or item.prompt
        result.append(BuiltIn(item.name, prompt, bool(setting.get("required", False))))
    return result


def default_columns(channel: str, document: ConfigDocument) -> Columns:
    """The columns of a document for which no one chose any: built-ins where they are on, else a
    field of the agent's own with a fitting name."""
    on = {b.name for b in document.built_ins}
    chosen = {c.column: c.name for c in categories(channel) if c.name in on}
    own = document.own_fields()
    for column, names in _OWN_COLUMNS.items():
        chosen.setdefault(column, next((n for n in names if n in own), ""))
    return Columns(**chosen)


_OWN_COLUMNS = {
    "summary": ("summary",),
    "outcome": ("resolved", "resolution_status", "outcome", "successful", "lead_quality"),
    "sentiment": ("sentiment", "user_sentiment", "customer_sentiment"),
}


SENTIMENTS = ("Negative", "Neutral", "Positive", "Unknown")


@dataclass(frozen=True, slots=True)
class Category:
    """A built-in category: its name in results, the JSON Schema of its value, its default prompt.

    ``column`` is the history column that it feeds by default.
    """

    name: str
    title: str
    column: str
    value: dict[str, Any]
    prompt: str


_SENTIMENT = Category(
    name="user_sentiment",
    title="User sentiment",
    column="sentiment",
    value={"type": "string", "enum": list(SENTIMENTS)},
    prompt=(
        "How the user felt, judged by their words over the whole conversation and above all by "
        "how it ended. Unknown where the user said too little to tell."
    ),
)

VOICE = (
    Category(
        name="call_summary",
        title="Call summary",
        column="summary",
        value={"type": "string"},
        prompt=(
            "Write a summary of the call in one to three sentences: why the user called, what "
            "was done, and how it ended. Name amounts, dates and promises that matter later."
        ),
    ),
    Category(
        name="call_successful",
        title="Call successful",
        column="outcome",
        value={"type": "boolean"},
        prompt=(
            "True when the user got what they called for, or a clear next step that they "
            "accepted. False when the matter stayed open, the user gave up, or the agent could "
            "not help."
        ),
    ),
    _SENTIMENT,
)

CHAT = (
    Category(
        name="chat_summary",
        title="Chat summary",
        column="summary",
        value={"type": "string"},
        prompt=(
            "Write a summary of the chat in one to three sentences: what the user wanted, what "
            "was done, and how it ended. Name amounts, dates and promises that matter later."
        ),
    ),
    Category(
        name="chat_successful",
        title="Chat successful",
        column="outcome",
        value={"type": "boolean"},
        prompt=(
            "True when the user got what they wrote for, or a clear next step that they "
            "accepted. False when the matter stayed open, the user left, or the agent could not "
            "help."
        ),
    ),
    _SENTIMENT,
)

_BY_CHANNEL = {"voice": VOICE, "chat": CHAT}


def categories(channel: str) -> tuple[Category, ...]:
    """Return the built-in categories of a channel, in the order in which a model fills them."""
    return _BY_CHANNEL[channel]
