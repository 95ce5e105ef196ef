"""Changes to a draft, from any door: read, held against the rules, merged.

Pure functions: nothing here reads the database. Each fault names its place in the API's shape
and says in one sentence what was refused and what would do.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from apps.llm.schema import Problem
from apps.llm.schema import problems as schema_problems
from apps.llm.schema.json_text import locate

from .builtins import categories
from .content import Content, Json, canonical_editor, plain_number
from .documents import Columns, default_columns
from .edit_merge import same_schema

MAX_PROMPT = 100_000
"""Characters of one prompt. A page of text has 3,000."""
MAX_FIELD_NAME = 64
MAX_SECONDS = 2_147_483_647
MAX_RETENTION_DAYS = 36_500

COLUMN_NAMES = ("summary", "outcome", "sentiment")
_SURROGATES = {chr(c) for c in range(0xD800, 0xE000)}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that blocks a save.

    ``place`` is a path in the API's shape (``analysis.built_ins.call_summary.prompt``); for a
    schema ``pointer`` leads into it, and ``line`` and ``column`` (from 1) where it came as text.
    """

    place: str
    message: str
    pointer: str = ""
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        at = f"Line {self.line}, column {self.column}: " if self.line else ""
        return f"{at}{self.message}"


class _Reader:
    """Walks through what was sent, collects faults, hands out only what is right."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def refuse(self, place: str, message: str) -> None:
        self.faults.append(Fault(place, message))

    def group(self, value: object, place: str, known: tuple[str, ...]) -> Mapping[str, object]:
        """An object with no other names than these; what is wrong reads as empty."""
        if not isinstance(value, Mapping):
            self.refuse(place, f"“{place or 'the draft'}” must be an object, not {show(value)}.")
            return {}
        for name in value:
            if name not in known:
                path = f"{place}.{name}" if place else str(name)
                self.refuse(path, f"{show(name)} is not known here; known are {', '.join(known)}.")
        return {name: value[name] for name in known if name in value}

    def text(self, value: object, place: str) -> str | None:
        """A prompt: as it was written, with line ends as ``\\n``."""
        if value is None:
            return ""
        if not isinstance(value, str):
            self.refuse(place, f"This must be text, not {show(value)}.")
        elif len(value) > MAX_PROMPT:
            self.refuse(
                place,
                f"This has {len(value):,} characters; {MAX_PROMPT:,} are the most of a prompt.",
            )
        elif fault := unstorable(value):
            self.refuse(place, fault)
        else:
            return value.replace("\r\n", "\n").replace("\r", "\n")
        return None

    def yes_no(self, value: object, place: str) -> bool | None:
        if isinstance(value, bool):
            return value
        self.refuse(place, f"This must be true or false, not {show(value)}.")
        return None

    def count(self, value: object, place: str, low: int, high: int, unit: str) -> int | None:
        number = _number(value)
        if number is None or number != int(number) or not low <= number <= high:
            self.refuse(
                place,
                f"This must be a whole number from {low:,} to {high:,} {unit}, not {show(value)}.",
            )
            return None
        return int(number)

    def share(self, value: object, place: str) -> int | float | None:
        number = _number(value)
        if number is None or not 0 <= number <= 100:
            self.refuse(place, f"This must be a percentage from 0 to 100, not {show(value)}.")
        elif number != round(number, 3):
            self.refuse(place, f"{show(value)} has more than three decimal places.")
        else:
            return plain_number(number)
        return None


def merge(content: Content, changes: object) -> tuple[Content, list[Fault]]:
    """The content with the changes in it, and what is wrong with the result.

    ``changes`` is any part of the API's shape. A built-in's prompt of ``None`` or ``""`` goes back
    to the default. ``analysis.schema`` may be JSON text: faults then have line and column.
    Where there are faults, the content that is returned must not be kept.
    """
    reader = _Reader()
    parts = reader.group(changes, "", ("analysis", "post_analysis", "columns"))
    editor = content.editor
    if "analysis" in parts:
        editor = _merge_analysis(reader, content, parts["analysis"])
    post_analysis = content.post_analysis
    if "post_analysis" in parts:
        post_analysis = {**post_analysis, **_read_post_analysis(reader, parts["post_analysis"])}
    merged = replace(content, editor=editor, post_analysis=post_analysis)
    chosen = _read_columns(reader, parts["columns"]) if "columns" in parts else {}
    if reader.faults:
        return merged, reader.faults
    merged = replace(merged, columns=_columns(content, merged, chosen))
    return merged, _located(_whole_faults(merged, chosen), changes)


def show(value: object) -> str:
    """A refused value as a person would recognise it, short."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "“true”" if value else "“false”"
    text = value if isinstance(value, str) else str(value)
    text = "".join(c if c.isprintable() else "�" for c in text[:61])
    return f"“{text[:60]}…”" if len(text) > 60 else f"“{text}”"


def unstorable(text: str) -> str:
    """Why PostgreSQL or a model's server could not take a text; empty where they can."""
    if "\x00" in text:
        return "This holds the character U+0000 (NUL), which cannot be stored. Remove it."
    if not _SURROGATES.isdisjoint(text):
        return "This holds half of a character pair (a lone surrogate). Remove or retype it."
    return ""


def _merge_analysis(reader: _Reader, content: Content, given: object) -> Json:
    parts = reader.group(given, "analysis", ("model", "instructions", "built_ins", "schema"))
    editor = dict(content.editor)
    if "model" in parts:
        editor["model"] = reader.text(parts["model"], "analysis.model") or editor["model"]
    if "instructions" in parts:
        editor["instructions"] = reader.text(parts["instructions"], "analysis.instructions")
    if "built_ins" in parts:
        editor["built_ins"] = _merge_built_ins(reader, content, parts["built_ins"])
    if "schema" in parts:
        schema, faults = read_schema(parts["schema"])
        reader.faults += faults
        editor["schema"] = _keep_form(schema, content.editor["schema"])
    return canonical_editor(content.channel, editor)


def _merge_built_ins(reader: _Reader, content: Content, given: object) -> Json:
    names = tuple(c.name for c in categories(content.channel))
    settings = dict(content.editor["built_ins"])
    for name, value in reader.group(given, "analysis.built_ins", names).items():
        place = f"analysis.built_ins.{name}"
        parts = reader.group(value, place, ("prompt", "enabled", "required"))
        setting = dict(settings.get(name, {}))
        if "prompt" in parts:
            setting["prompt"] = reader.text(parts["prompt"], f"{place}.prompt")
        for key in ("enabled", "required"):
            if key in parts:
                setting[key] = reader.yes_no(parts[key], f"{place}.{key}")
        settings[name] = setting
    return settings


def read_schema(given: object) -> tuple[Json, list[Fault]]:
    """A schema given as JSON text or as a value, and what is wrong with it in itself."""
    if not isinstance(given, str | Mapping):
        return {}, [
            Fault("analysis.schema", f"The schema must be a JSON object, not {show(given)}.")
        ]
    faults = [
        Fault("analysis.schema", p.message, p.pointer, p.line, p.column)
        for p in schema_problems(given)
    ]
    if faults:
        return {}, faults
    schema = json.loads(given) if isinstance(given, str) else dict(given)
    try:
        json.dumps(schema, allow_nan=False)
    except ValueError:
        return {}, [
            Fault("analysis.schema", "The schema holds a number that is too large for JSON.")
        ]
    return schema, []


def _keep_form(schema: Json, before: Json) -> Json:
    """The schema, or the one before if they mean the same: another order of keywords is no change.

    The order of the fields does mean something, and counts.
    """
    return before if same_schema(schema, before) else schema


def _read_post_analysis(reader: _Reader, given: object) -> Json:
    names = (
        "enabled", "sample_percent", "min_seconds", "min_messages", "chat_idle_seconds",
        "long_transcript", "retention_days",
    )  # fmt: skip
    place = "post_analysis"
    parts = reader.group(given, place, names)
    found: Json = {}
    if "enabled" in parts:
        found["enabled"] = reader.yes_no(parts["enabled"], f"{place}.enabled")
    if "sample_percent" in parts:
        found["sample_percent"] = reader.share(parts["sample_percent"], f"{place}.sample_percent")
    for name, low, high, unit in (
        ("min_seconds", 0, MAX_SECONDS, "seconds"),
        ("min_messages", 0, MAX_SECONDS, "messages"),
        ("chat_idle_seconds", 120, 259_200, "seconds (2 minutes to 72 hours)"),
    ):
        if name in parts:
            found[name] = reader.count(parts[name], f"{place}.{name}", low, high, unit)
    if "long_transcript" in parts:
        if parts["long_transcript"] not in ("refuse", "truncate"):
            said = f"This must be refuse or truncate, not {show(parts['long_transcript'])}."
            reader.refuse(f"{place}.long_transcript", said)
        found["long_transcript"] = parts["long_transcript"]
    if "retention_days" in parts:
        days, at = parts["retention_days"], f"{place}.retention_days"
        found["retention_days"] = (
            None if days is None else reader.count(days, at, 1, MAX_RETENTION_DAYS, "days")
        )
    return found


def _read_columns(reader: _Reader, given: object) -> dict[str, str]:
    parts = reader.group(given, "columns", COLUMN_NAMES)
    return {name: reader.text(value, f"columns.{name}") or "" for name, value in parts.items()}


def _columns(before: Content, after: Content, chosen: Mapping[str, str]) -> Columns:
    """The chosen columns. One that nobody chose follows its default, or what vanished below it."""
    names = set(after.document().field_names())
    old_default = default_columns(before.channel, before.document()).as_dict()
    new_default = default_columns(after.channel, after.document()).as_dict()
    result = before.columns.as_dict()
    for column, name in result.items():
        if name == old_default[column] or (name and name not in names):
            result[column] = new_default[column]
    return Columns(**{**result, **chosen})


def _whole_faults(content: Content, chosen: Mapping[str, str]) -> list[Fault]:
    """What is wrong only when all parts are looked at together."""
    faults = list(_name_faults(content))
    names = content.document().field_names()
    if not names:
        faults.append(
            Fault(
                "analysis.schema",
                "There is nothing to fill in: switch on a built-in category or add a field.",
            )
        )
    for column, name in chosen.items():
        if name and name not in names:
            faults.append(
                Fault(
                    f"columns.{column}",
                    f"{show(name)} is neither a field nor a built-in category that is switched on.",
                )
            )
    return faults


def _located(faults: list[Fault], changes: object) -> list[Fault]:
    """The faults with line and column, where the schema came as text."""
    analysis = changes.get("analysis") if isinstance(changes, Mapping) else None
    text = analysis.get("schema") if isinstance(analysis, Mapping) else None
    if not isinstance(text, str):
        return faults
    problems = [Problem(f.pointer, f.message) for f in faults if f.pointer]
    places = {p.pointer: p for p in locate(text, problems)}
    return [
        replace(f, line=places[f.pointer].line, column=places[f.pointer].column) if f.pointer else f
        for f in faults
    ]


def _name_faults(content: Content) -> Iterator[Fault]:
    taken = {c.name for c in categories(content.channel)}
    document = content.document()
    fields = document.own_fields()
    for name in fields:
        pointer = "/properties/" + name.replace("~", "~0").replace("/", "~1")
        if fault := name_fault(name, taken):
            yield Fault("analysis.schema", fault, pointer)
    for name in document.schema.get("required") or ():
        if name not in fields:
            said = f"“required” names {show(name)}, which is not a field."
            yield Fault("analysis.schema", said, "/required")


def name_fault(name: str, taken: set[str]) -> str:
    """Why a field cannot be called that; empty where it can.

    Anything that can be seen and typed into a filter ``analysis.NAME`` will do, in any script.
    """
    if not name.strip():
        return "A field has no name."
    if name in taken:
        return f"{show(name)} is a built-in category, on or off; give the field another name."
    if len(name) > MAX_FIELD_NAME:
        return f"The name {show(name)} has {len(name)} characters; {MAX_FIELD_NAME} are the most."
    if name != name.strip():
        return f"The name {show(name)} begins or ends with a blank."
    if not name.isprintable():
        return f"The name {show(name)} holds a control character, which nobody can type or see."
    return ""


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    number = Decimal(str(value))
    return number if number.is_finite() else None
