"""Hints about a draft as a whole: how many fields, in which order, which of them say the same."""

from collections.abc import Iterator

from apps.agents.content import Content
from apps.agents.documents import categories

from . import names
from .fields import FieldAt, fields_of, placeholder_in
from .suggestions import Fix, Suggestion, moved_before

MANY_FIELDS = 20
MANY_REQUIRED = 6
LONG_PROMPT = 600
"""Words of an analysis prompt; a built-in category's prompt is long at a quarter of it."""


def whole_hints(content: Content) -> Iterator[Suggestion]:
    """Yield what could be better about the draft as a whole."""
    built_ins = [built_in.name for built_in in content.document().built_ins]
    own = [field for field in fields_of(content.editor["schema"]) if not field.parent]
    yield from _count_hints(own, built_ins)
    yield from _same_hints(own, built_ins)
    yield from _order_hints(own)
    yield from _prompt_hints(content)
    yield from _column_hints(content)


def _count_hints(own: list[FieldAt], built_ins: list[str]) -> Iterator[Suggestion]:
    count = len(own) + len(built_ins)
    if own and count > MANY_FIELDS:
        yield Suggestion(
            "too_many_fields",
            f"{count} fields are filled in one request. Quality drops above about {MANY_FIELDS}. "
            "Remove fields you don't use.",
        )
    required = [field for field in own if field.required]
    if len(required) == len(own) >= MANY_REQUIRED:
        yield Suggestion(
            "all_required",
            f"A conversation counts as unsuccessful if any of these {len(own)} fields is empty. "
            "Require only the essential ones.",
        )


def _same_hints(own: list[FieldAt], built_ins: list[str]) -> Iterator[Suggestion]:
    summaries = [name for name in built_ins if names.is_summary(name)]
    summary_fields = [f for f in own if f.type == "string" and names.is_summary(f.name)]
    summaries += [field.name for field in summary_fields]
    if summary_fields and len(summaries) > 1:
        last, shown = summary_fields[-1], " and ".join(f"“{name}”" for name in summaries)
        built_in = summaries[0] if summaries[0] in built_ins else ""
        count = "both" if len(summaries) == 2 else "all"
        message = f"{shown} are {count} paid for with every conversation. One good one will do."
        yield Suggestion("summaries", message, last.path, last.pointer, built_in=built_in)
    seen = {names.meaning(name): name for name in built_ins}
    for field in own:
        said = names.meaning(field.name)
        twin = seen.setdefault(said, field.name)
        if twin == field.name or (field in summary_fields and len(summaries) > 1):
            continue
        built_in = twin if twin in built_ins else ""
        what = f"the built-in “{twin}”" if built_in else f"“{twin}”"
        message = f"It seems to ask what {what} asks. Keep one, or say how they differ."
        yield Suggestion("same_meaning", message, field.path, field.pointer, built_in=built_in)


def _order_hints(own: list[FieldAt]) -> Iterator[Suggestion]:
    """Yield a model that gives its verdict first finds reasons for it afterward."""
    earlier: dict[frozenset[str], FieldAt] = {}
    before: FieldAt | None = None
    for field in own:
        said = names.meaning(field.name)
        if "reason" in said and field.type == "string" and not field.schema.get("x-condition"):
            verdict = earlier.get(said - {"reason"}) if said != {"reason"} else before
            if verdict is not None and (verdict.type != "string" or verdict.choices):
                mend = Fix(f"Move it before {verdict.name}", moved_before(field.name, verdict.name))
                message = (
                    f"Fields are filled in order: “{verdict.name}” is decided before its reason "
                    "is written, and the reason then only defends it."
                )
                yield Suggestion("verdict_first", message, field.path, field.pointer, mend=mend)
        earlier.setdefault(said, field)
        before = field


def _prompt_hints(content: Content) -> Iterator[Suggestion]:
    prompts = {"analysis.instructions": ("Analysis prompt", content.editor["instructions"])}
    for built_in in content.document().built_ins:
        place = f"analysis.built_ins.{built_in.name}.prompt"
        prompts[place] = (built_in.name, built_in.prompt)
    for place, (name, text) in prompts.items():
        most = LONG_PROMPT if place == "analysis.instructions" else LONG_PROMPT // 4
        count = len(text.split())
        if count > most:
            message = f"{count} words are sent with every conversation. {most} are usually enough."
            yield Suggestion("long_prompt", message, name, place=place)
        if found := placeholder_in(text):
            message = f"{found} is sent to the model literally. Replace it or remove it."
            yield Suggestion("placeholder", message, name, place=place)


def _column_hints(content: Content) -> Iterator[Suggestion]:
    for column, name in content.columns.as_dict().items():
        if name:
            continue
        built_in = next(c.title for c in categories(content.channel) if c.column == column)
        message = f"This column is empty in lists. Choose a field or turn on {built_in}."
        yield Suggestion("empty_column", message, column.title(), place=f"columns.{column}")
