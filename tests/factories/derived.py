"""Derived fields for tests, saved as a person would."""

from typing import Any

from apps.accounts.actors import Actor
from apps.agents.models import DerivedField
from apps.conversations.derived.services import save_derived_field

SCORECARD: dict[str, Any] = {
    "scorecard": {
        "points": [
            {"label": "Greeting", "points": 1,
             "when": {"field": "greeting", "value": True}},
            {"label": "Score", "points": 2,
             "when": {"field": "score", "op": "gte", "value": 70}},
        ],
        "pass_mark": 60,
        "knock_outs": [
            {"label": "Compliance", "when": {"field": "issues", "op": "isset", "value": True}},
        ],
    }
}  # fmt: skip
PROPERTIES: dict[str, Any] = {
    "greeting": {"type": "boolean"},
    "score": {"type": "integer"},
    "issues": {"type": "array", "items": {"type": "string"}},
}


def make_derived_field(name: str = "quality", **values: Any) -> DerivedField:
    """A scorecard over `PROPERTIES` by default."""
    usual = {
        "label": "Quality",
        "kind": "number",
        "channel": "voice",
        "agent": None,
        "definition": SCORECARD,
        "by": Actor.system("tests"),
    }
    return save_derived_field(name=name, **{**usual, **values})
