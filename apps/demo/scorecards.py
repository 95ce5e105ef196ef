"""A scorecard of the demo: how good a billing call was, computed without a model."""

from apps.agents.models import Agent, DerivedField
from apps.conversations.derived.services import save_derived_field

from .people import person

NAME = "call_quality"
_DEFINITION = {
    "scorecard": {
        "points": [
            {"label": "Solved", "when": {"field": "call_successful", "value": True}, "points": 40},
            {
                "label": "Caller not upset",
                "when": {"field": "user_sentiment", "op": "ne", "value": "Negative"},
                "points": 30,
            },
            {
                "label": "Reason known",
                "when": {"field": "analysis.topic", "op": "ne", "value": "other"},
                "points": 15,
            },
            {
                "label": "Under 3 minutes",
                "when": {"field": "duration_ms", "op": "lt", "value": 180_000},
                "points": 15,
            },
        ],
        "pass_mark": 70,
        "knock_outs": [
            {
                "label": "Hung up unsolved",
                "when": {
                    "all": [
                        {"field": "call_successful", "value": False},
                        {"field": "disconnection_reason", "value": "user_hangup"},
                    ]
                },
            }
        ],
    }
}


def add_scorecard(agent: Agent) -> None:
    """Add the scorecard of an agent, before its conversations arrive."""
    if DerivedField.objects.filter(name=NAME).exists():
        return
    save_derived_field(
        name=NAME,
        label="Call quality",
        kind="number",
        channel=agent.channel,
        agent=agent,
        definition=_DEFINITION,
        by=person("Ines Calloway"),
    )
