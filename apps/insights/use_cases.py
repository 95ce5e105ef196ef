"""Ready views of insights: which fields fill them.

A view has *slots*. A slot is filled by the first field that has one of its names and types: the
names of the field templates come first, then what teams call the same thing. An address can choose
another field (`slot.NAME=FIELD`). A slot without a field says which template has one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .fields import FieldType, InsightField

YES_NO = (FieldType.BOOLEAN,)
CHOICE = (FieldType.CHOICE, FieldType.LIST, FieldType.TEXT)
NUMBER = (FieldType.NUMBER,)


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for a field. ``template`` is the key of the field template that has one.

    ``contains`` are parts of names, for fields that no name of the list fits. With
    ``takes_scorecards``, a scorecard comes before these.
    """

    name: str
    label: str
    types: tuple[FieldType, ...]
    names: tuple[str, ...]
    template: str
    contains: tuple[str, ...] = ()
    takes_scorecards: bool = False


@dataclass(frozen=True, slots=True)
class Filled:
    """A slot with its field, and the fields that can be chosen instead."""

    slot: Slot
    field: InsightField | None
    choices: tuple[InsightField, ...] = ()


SUPPORT, SALES, QUALITY = "support_short", "sales_qualification", "quality_assurance"

CUSTOMER_SUCCESS_SLOTS = (
    Slot(
        "resolution",
        "Resolution rate",
        (*YES_NO, FieldType.CHOICE),
        (
            "resolved",
            "issue_resolved",
            "resolution_status",
            "call_successful",
            "chat_successful",
        ),
        SUPPORT,
        ("resol",),
    ),
    Slot(
        "sentiment",
        "Sentiment trend",
        (FieldType.CHOICE, FieldType.TEXT),
        ("user_sentiment", "sentiment", "customer_sentiment"),
        SUPPORT,
        ("sentiment", "mood"),
    ),
    Slot(
        "issues",
        "Top issues",
        CHOICE,
        ("topic", "issue_category", "issue", "category", "contact_reason"),
        SUPPORT,
        ("topic", "issue", "categor", "reason", "intent"),
    ),
    Slot(
        "follow_up",
        "Follow-up needed",
        YES_NO,
        ("follow_up_needed", "follow_up_required", "needs_follow_up", "follow_up"),
        SUPPORT,
        ("follow_up", "followup", "callback"),
    ),
)
SALES_SLOTS = (
    Slot(
        "lead_quality",
        "Qualified leads",
        (FieldType.CHOICE, FieldType.TEXT),
        ("lead_quality", "lead_status", "lead_score", "qualification"),
        SALES,
        ("lead", "qualif"),
    ),
    Slot(
        "decision_maker",
        "Decision makers",
        YES_NO,
        ("decision_maker", "is_decision_maker"),
        SALES,
        ("decision", "decid"),
    ),
    Slot(
        "budget",
        "Budget mentioned",
        YES_NO,
        ("budget_mentioned", "has_budget"),
        SALES,
        ("budget",),
    ),
    Slot(
        "budget_range",
        "Budget",
        (FieldType.TEXT, FieldType.CHOICE, FieldType.NUMBER),
        ("budget_range", "budget", "budget_amount"),
        SALES,
        ("budget",),
    ),
    Slot(
        "next_step",
        "Next steps",
        CHOICE,
        ("next_step", "next_steps", "follow_up_action"),
        SALES,
        ("next_step", "next_action"),
    ),
)
QUALITY_SLOTS = (
    Slot(
        "score",
        "Score",
        NUMBER,
        ("overall_score", "quality_score", "score", "qa_score"),
        QUALITY,
        ("score", "rating"),
        takes_scorecards=True,
    ),
    Slot(
        "compliance",
        "Compliance issues",
        (FieldType.LIST, FieldType.CHOICE, FieldType.TEXT),
        ("compliance_issues", "compliance_issue", "violations"),
        QUALITY,
        ("complian", "violation"),
    ),
)
CHECKS = (
    "greeting_proper",
    "identification_verified",
    "accurate_information",
    "professional_tone",
    "closing_proper",
)
CHECK_PARTS = (
    "greeting",
    "verif",
    "accura",
    "tone",
    "closing",
    "polite",
    "complian",
    "disclos",
    "correct",
    "proper",
    "passed",
)
"""Parts of the names of yes/no fields that are checks of an agent's conduct."""

YES_WORDS = frozenset({"resolved", "yes", "true", "solved", "closed", "successful", "success"})
QUALIFIED_WORDS = frozenset({"hot", "warm", "qualified", "yes", "high", "sql", "mql"})
HOT_WORDS = frozenset({"hot", "high", "sql"})


def fill(
    slots: Iterable[Slot], fields: Mapping[str, InsightField], chosen: Mapping[str, str]
) -> dict[str, Filled]:
    """Return each slot with the field that fills it, by name of the slot."""
    return {slot.name: _filled(slot, fields, chosen.get(slot.name, "")) for slot in slots}


def checks_of(fields: Mapping[str, InsightField]) -> list[InsightField]:
    """Return the yes/no fields that check an agent's conduct: the template's, else by name."""
    yes_no = [f for f in fields.values() if f.type == FieldType.BOOLEAN and not f.is_column]
    named = [field for field in yes_no if field.name in CHECKS]
    return named or [f for f in yes_no if any(part in f.name.casefold() for part in CHECK_PARTS)]


def failed_checks_of(
    score: InsightField | None, fields: Mapping[str, InsightField]
) -> InsightField | None:
    """Return the list of failed checks of a score that is a scorecard."""
    return fields.get(f"{score.name}_failed") if score and score.is_derived else None


def values_of(field: InsightField, known: Iterable[str], words: frozenset[str]) -> list[str]:
    """Return the values of a field that are one of the words, in any spelling of upper and lower.

    Values are those of the schemas, and ``known`` ones.
    """
    return [v for v in dict.fromkeys([*field.choices, *known]) if v.casefold() in words]


def _filled(slot: Slot, fields: Mapping[str, InsightField], chosen: str) -> Filled:
    fitting = tuple(f for f in fields.values() if f.type in slot.types and not f.is_measure)
    for field in fitting:
        if field.name == chosen:
            return Filled(slot, field, fitting)
    by_name = {field.name: field for field in fitting}
    for name in slot.names:
        if name in by_name:
            return Filled(slot, by_name[name], fitting)
    if slot.takes_scorecards and (cards := [f for f in fitting if f.is_derived]):
        return Filled(slot, cards[0], fitting)
    for part in slot.contains:
        for field in fitting:
            if part in field.name.casefold():
                return Filled(slot, field, fitting)
    return Filled(slot, None, fitting)
