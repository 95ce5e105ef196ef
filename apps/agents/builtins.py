"""The built-in categories of each channel and their default prompts."""

from dataclasses import dataclass
from typing import Any

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

BY_CHANNEL: dict[str, tuple[Category, ...]] = {"voice": VOICE, "chat": CHAT}


def categories(channel: str) -> tuple[Category, ...]:
    """The built-in categories of a channel, in the order in which a model fills them."""
    return BY_CHANNEL[channel]


def category(channel: str, name: str) -> Category:
    """One built-in category; KeyError where the channel has none of that name."""
    for item in BY_CHANNEL[channel]:
        if item.name == name:
            return item
    raise KeyError(name)
