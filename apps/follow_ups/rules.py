"""The rules that add follow-ups: the default one, and how rules are saved and read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.conversations.filters import FilterError, RuleFields
from apps.conversations.filters.rules import Document, Rule, read_rule
from apps.core.errors import Conflict

from .models import Applies, FollowUpRule

NEEDED = "follow_up_needed"
NOTES = "follow_up_notes"
DEFAULT_DOCUMENT: Document = {"field": f"analysis.{NEEDED}", "value": True}
"""The rule of all agents, as long as there is no other one."""


class RuleExists(Conflict):
    """Raised for a second rule of the same agents."""

    code = "follow_up_rule_exists"


@dataclass(frozen=True, slots=True)
class RuleLine:
    """A rule for people; ``rule`` is None for the default. ``problem``: it can't be read."""

    rule: FollowUpRule | None
    text: str
    reason_field: str = NOTES
    problem: str = ""


def understood(document: object) -> Rule:
    """Read a rule's document. Raise FilterError if it can't be."""
    return read_rule(document, source=RuleFields(None))


def rule_lines() -> list[RuleLine]:
    """Return all rules, that for all agents first; the default one where there is no other."""
    rules: Sequence[FollowUpRule] = list(FollowUpRule.objects.select_related("agent"))
    lines = [_line(rule) for rule in rules]
    if not any(rule.agent is None for rule in rules):
        lines.insert(0, RuleLine(None, f"{NEEDED} is Yes"))
    return lines


def _line(rule: FollowUpRule) -> RuleLine:
    try:
        text, problem = understood(rule.document).text, ""
    except FilterError as error:
        text, problem = "", error.message
    return RuleLine(rule, text, rule.reason_field, problem)


def save_rule(
    *, rule: FollowUpRule | None, agent: Agent | None, values: Mapping[str, Any], by: Actor
) -> FollowUpRule:
    """Create a rule, or change one. It counts from the next result on.

    Raise RuleExists where the agent, or all agents, has another one.
    """
    saved = rule or FollowUpRule()
    try:
        with transaction.atomic():
            for name, value in {**values, "agent": agent}.items():
                setattr(saved, name, value)
            saved.updated_by, saved.updated_at = by.label, timezone.now()
            saved.save()
            verb = "follow_up_rule.changed" if rule else "follow_up_rule.created"
            audit.record(by=by, verb=verb, target=saved.public_id, detail=_details(saved))
    except IntegrityError:
        scope = agent.name if agent else "all agents"
        raise RuleExists(f"There is a rule for {scope} already. Edit that one.") from None
    return saved


@transaction.atomic
def delete_rule(*, rule: FollowUpRule, by: Actor) -> None:
    """Delete a rule. Follow-ups stay; the rule for all agents, or the default one, takes over."""
    audit.record(by=by, verb="follow_up_rule.deleted", target=rule.public_id, detail=_details(rule))
    rule.delete()


def _details(rule: FollowUpRule) -> dict[str, Any]:
    return {
        "agent": rule.agent.public_id if rule.agent else None,
        "rule": rule.document,
        "applies": str(Applies(rule.applies)),
        "enabled": rule.enabled,
    }
