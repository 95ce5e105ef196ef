"""Changes to a draft, from the API and from pages: one class parses and documents each part."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SkipValidation

from apps.core.schemas import Body, Json, Percentage, WholeNumber, rejected

MAX_PROMPT = 100_000
"""Characters of one prompt. A page of text has 3,000."""
MAX_SECONDS = 2_147_483_647
MAX_RETENTION_DAYS = 36_500
SCHEMA_EXAMPLE = {
    "type": "object",
    "properties": {"topic": {"type": "string", "enum": ["billing", "sales", "other"]}},
    "required": ["topic"],
}
_SURROGATES = {chr(c) for c in range(0xD800, 0xE000)}


def unstorable(text: str) -> str:
    """Return why PostgreSQL or a model's server can't take a text; empty where they can."""
    if "\x00" in text:
        return "This contains the character U+0000 (NUL), which can't be stored. Remove it."
    if not _SURROGATES.isdisjoint(text):
        return "This contains an invalid character (a lone surrogate). Remove it."
    return ""


def _storable(value: object) -> object:
    if isinstance(value, str):
        if len(value) > MAX_PROMPT:
            raise rejected(
                f"is {len(value):,} characters long. The maximum for a prompt is {MAX_PROMPT:,}"
            )
        if problem := unstorable(value):
            raise rejected(problem.removeprefix("This ").removesuffix("."))
    return value


def _with_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _empty_for_null(value: object) -> object:
    return "" if value is None else value


Text = Annotated[
    str,
    Field(max_length=MAX_PROMPT),
    BeforeValidator(_storable),
    AfterValidator(_with_newlines),
]
"""As it was typed, with line ends as ``\\n``."""
Name = Annotated[str, BeforeValidator(_storable), BeforeValidator(_empty_for_null)]


class BuiltInIn(Body):
    """Changes of one built-in field."""

    prompt: Text | None = None
    """Null or empty: back to the default prompt."""
    enabled: bool = True
    required: bool = True


class AnalysisPartIn(Body):
    """Changes of what an analysis asks."""

    model: Name = ""
    instructions: Text | None = None
    built_ins: dict[str, BuiltInIn] = {}
    schema_: Annotated[SkipValidation[Json | str], Field(alias="schema")] = {}
    """A JSON Schema of an object, as JSON or as the text of one."""


class PostAnalysisIn(Body):
    """Changes of when an analysis starts automatically."""

    enabled: bool = True
    sample_percent: Annotated[float, Percentage()] = 100
    min_seconds: Annotated[int, WholeNumber(0, MAX_SECONDS, "seconds")] = 0
    min_messages: Annotated[int, WholeNumber(0, MAX_SECONDS, "messages")] = 0
    chat_idle_seconds: Annotated[
        int, WholeNumber(120, 259_200, "seconds (2 minutes to 72 hours)")
    ] = 3600
    long_transcript: Literal["refuse", "truncate"] = "refuse"
    retention_days: Annotated[int, WholeNumber(1, MAX_RETENTION_DAYS, "days")] | None = None


class ColumnsIn(Body):
    """Changes of what feeds the history columns."""

    summary: Name = ""
    outcome: Name = ""
    sentiment: Name = ""


class DraftIn(Body):
    """Any part of a draft; missing parts stay as they are."""

    example = {
        "analysis": {
            "built_ins": {"call_summary": {"prompt": "In five words."}},
            "schema": SCHEMA_EXAMPLE,
        }
    }

    analysis: AnalysisPartIn | None = None
    post_analysis: PostAnalysisIn | None = None
    columns: ColumnsIn | None = None

    @classmethod
    def error_codes(cls) -> set[str]:
        """Return the code that `changes.merge` turns every error into."""
        return {"invalid_draft"}
