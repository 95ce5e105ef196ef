"""Merge changes into a draft and check the result.

Pure functions: nothing here reads the database. Each fault names its place in the API's draft
and says in one message which value was rejected and how to fix it.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from pydantic import ValidationError

from apps.core.validation_messages import FieldProblem, problems_of, shown
from apps.llm.schema import Problem
from apps.llm.schema import problems as schema_problems
from apps.llm.schema.json_text import locate
from apps.llm.schema.nodes import escape

from .content import Content, Json, canonical_editor, plain_number
from .documents import Columns, categories, default_columns
from .edit_merge import same_schema
from .schemas import DraftIn

MAX_FIELD_NAME = 64
COLUMN_NAMES = ("summary", "outcome", "sentiment")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that blocks a save.

    ``place`` is a path in the API's draft (``analysis.built_ins.call_summary.prompt``); for a
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


def merge(
    content: Content, changes: object, *, derived: Collection[str] = ()
) -> tuple[Content, list[Fault]]:
    """Return the content with the changes in it, and the problems with the result.

    ``changes`` is any part of the API's draft. A built-in's prompt of ``None`` or ``""`` goes back
    to the default. ``analysis.schema`` may be JSON text: faults then have line and column.
    ``derived`` are the names of derived fields, which no schema may use.
    Where there are faults, the content that is returned must not be stored.
    """
    draft, faults = _read(content.channel, changes)
    given = draft.model_dump(exclude_unset=True, exclude={"analysis": {"schema_"}})
    analysis, schema_sent = given.get("analysis") or {}, None
    if draft.analysis and "schema_" in draft.analysis.model_fields_set:
        schema_sent = draft.analysis.schema_
        schema, schema_faults = read_schema(schema_sent)
        analysis["schema"] = _keep_form(schema, content.editor["schema"])
        faults += schema_faults
    if faults:
        return content, faults
    chosen = given.get("columns") or {}
    merged = replace(
        content,
        editor=_merge_analysis(content, analysis),
        post_analysis={**content.post_analysis, **_post_analysis(given.get("post_analysis") or {})},
    )
    merged = replace(merged, columns=_columns(content, merged, chosen))
    return merged, _located(_whole_faults(merged, chosen, derived), schema_sent)


def _read(channel: str, changes: object) -> tuple[DraftIn, list[Fault]]:
    """Return the changes that could be read, and the faults of the others."""
    try:
        draft = DraftIn.model_validate(changes)
    except ValidationError as error:
        faults = [_fault(problem) for problem in problems_of(error, changes)]
        schema = _schema_in(changes)
        found = {} if schema is None else {"analysis": {"schema": schema}}
        return DraftIn.model_validate(found), faults
    known = {category.name for category in categories(channel)}
    given = draft.analysis.built_ins if draft.analysis else {}
    return draft, [
        Fault(
            f"analysis.built_ins.{name[:60]}",
            f"Unknown key {shown(name)}. Expected one of: {', '.join(sorted(known))}.",
        )
        for name in given
        if name not in known
    ]


def _schema_in(changes: object) -> object:
    """Return the schema in changes of which another part is wrong."""
    analysis = changes.get("analysis") if isinstance(changes, Mapping) else None
    return analysis.get("schema") if isinstance(analysis, Mapping) else None


def _fault(problem: FieldProblem) -> Fault:
    if problem.kind == "unknown":
        return Fault(problem.path, f"Unknown key {shown(problem.path)}.")
    return Fault(problem.path, problem.about("This" if problem.path else "The draft"))


def _merge_analysis(content: Content, given: Json) -> Json:
    built_ins = {
        name: {**content.editor["built_ins"].get(name, {}), **setting}
        for name, setting in given.pop("built_ins", {}).items()
    }
    editor = {**content.editor, **given, "built_ins": {**content.editor["built_ins"], **built_ins}}
    editor["model"] = editor["model"] or content.editor["model"]
    return canonical_editor(content.channel, editor)


def _post_analysis(given: Json) -> Json:
    if "sample_percent" in given:
        given["sample_percent"] = plain_number(given["sample_percent"])
    return given


def read_schema(given: object) -> tuple[Json, list[Fault]]:
    """Return a schema given as JSON text or as a value, and the problems with it in itself."""
    if not isinstance(given, str | Mapping):
        return {}, [
            Fault("analysis.schema", f"The schema must be a JSON object, not {shown(given)}.")
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
            Fault("analysis.schema", "The schema contains a number that is too large for JSON.")
        ]
    return schema, []


def _keep_form(schema: Json, before: Json) -> Json:
    """Return the schema, or the one before if only the order of keywords differs.

    The order of the fields does mean something, and counts.
    """
    return before if same_schema(schema, before) else schema


def _columns(before: Content, after: Content, chosen: Mapping[str, str]) -> Columns:
    """The chosen columns. One that no one chose follows its default, or what vanished below it."""
    names = set(after.document().field_names())
    old_default = default_columns(before.channel, before.document()).as_dict()
    new_default = default_columns(after.channel, after.document()).as_dict()
    result = before.columns.as_dict()
    for column, name in result.items():
        if name == old_default[column] or (name and name not in names):
            result[column] = new_default[column]
    return Columns(**{**result, **chosen})


def _whole_faults(
    content: Content, chosen: Mapping[str, str], derived: Collection[str]
) -> list[Fault]:
    """Yield problems that show only when all parts are checked together."""
    faults = list(_name_faults(content, derived))
    names = content.document().field_names()
    if not names:
        faults.append(
            Fault(
                "analysis.schema",
                "Add a field or turn on a built-in field. A draft needs at least one.",
            )
        )
    for column, name in chosen.items():
        if name and name not in names:
            faults.append(
                Fault(
                    f"columns.{column}",
                    f"{shown(name)} isn't a field or an enabled built-in field.",
                )
            )
    return faults


def _located(faults: list[Fault], schema: object) -> list[Fault]:
    """Return the faults with line and column, where the schema came as text."""
    if not isinstance(schema, str):
        return faults
    problems = [Problem(f.pointer, f.message) for f in faults if f.pointer]
    places = {p.pointer: p for p in locate(schema, problems)}
    return [
        replace(f, line=places[f.pointer].line, column=places[f.pointer].column) if f.pointer else f
        for f in faults
    ]


def _name_faults(content: Content, derived: Collection[str]) -> Iterator[Fault]:
    taken = {c.name for c in categories(content.channel)}
    document = content.document()
    fields = document.own_fields()
    for name in fields:
        pointer = "/properties/" + escape(name)
        fault = name_fault(name, taken)
        if not fault and name in derived:
            fault = f"{shown(name)} is the name of a derived field. Choose another name."
        if fault:
            yield Fault("analysis.schema", fault, pointer)
    for name in document.schema.get("required") or ():
        if name not in fields:
            said = f"“required” names {shown(name)}, which is not a field."
            yield Fault("analysis.schema", said, "/required")


def name_fault(name: str, taken: set[str]) -> str:
    """Return why a field cannot be called that; empty where it can.

    Anything that can be seen and typed into a filter ``analysis.NAME`` will do, in any script.
    """
    if not name.strip():
        return "A field has no name."
    if name in taken:
        return f"{shown(name)} is reserved for a built-in field. Choose another name."
    if len(name) > MAX_FIELD_NAME:
        return (
            f"The name {shown(name)} has {len(name)} characters. The maximum is {MAX_FIELD_NAME}."
        )
    if name != name.strip():
        return f"The name {shown(name)} starts or ends with a space."
    if not name.isprintable():
        return f"The name {shown(name)} contains a control character. Remove it."
    return ""
