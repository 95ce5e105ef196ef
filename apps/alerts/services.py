"""Rules: created, changed, paused, resumed, deleted."""

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.core import cipher
from apps.core.addresses import check_url
from apps.core.errors import Conflict, Example, NotFound
from apps.core.tasks import enqueue

from .definitions import WATCHED, Definition, apply
from .incidents import close_incident, lock_rule
from .models import AlertRule, Kind, NotificationChannel, Resolution, RuleState, Standing
from .wording import condition_text


class RuleChanged(Conflict):
    """Raised where someone else changed the rule since it was read."""

    code = "alert_rule_changed"
    example = Example("Someone else changed this rule. Reload it, then change it again.")


@transaction.atomic
def create_rule(*, wanted: Definition, by: Actor, site_url: str = "") -> AlertRule:
    """Create a rule. Its first evaluation follows within a minute.

    Raise InvalidRule, FilterError, or PrivateAddress for a URL in a private network.
    """
    rule = apply(AlertRule(created_by=by.label, site_url=site_url[:300]), wanted)
    rule.save()
    rule.members.set(wanted.members)
    _set_channels(rule, wanted.channels)
    _note(by, "created", rule, condition=condition_text(rule))
    _wake(rule)
    return rule


def unsaved(wanted: Definition) -> AlertRule:
    """Return a rule for a preview. Raise InvalidRule, or FilterError."""
    return apply(AlertRule(), wanted, named=False)


@transaction.atomic
def change_rule(
    *,
    rule: AlertRule,
    wanted: Definition,
    by: Actor,
    site_url: str = "",
    seen: datetime | None = None,
) -> AlertRule:
    """Change a rule. Where it watches something else afterward, it starts anew.

    Its open incidents close then, and nothing before the change counts. ``seen`` is when the rule
    that was edited had been changed last. Raise what `create_rule` raises, RuleChanged, NotFound.
    """
    locked = _locked(rule)
    if seen is not None and locked.updated_at != seen:
        raise RuleChanged
    before = {name: getattr(locked, name) for name in WATCHED}
    apply(locked, wanted)
    after = {name: getattr(locked, name) for name in WATCHED}
    if before != after:
        _reset(locked, Resolution.RULE_CHANGED)
    locked.site_url = site_url[:300] or locked.site_url
    locked.updated_at = timezone.now()
    locked.save()
    locked.members.set(wanted.members)
    _set_channels(locked, wanted.channels)
    changed = sorted(name.removesuffix("_id") for name in before if before[name] != after[name])
    _note(by, "changed", locked, watched=changed)
    _wake(locked)
    return locked


@transaction.atomic
def pause_rule(*, rule: AlertRule, by: Actor) -> AlertRule:
    """Stop evaluating a rule and sending for it. Its open incidents stay open."""
    locked = _locked(rule)
    if not locked.is_paused:
        locked.paused_at, locked.paused_by = timezone.now(), by.label
        locked.save(update_fields=["paused_at", "paused_by"])
        _note(by, "paused", locked)
    return locked


@transaction.atomic
def resume_rule(*, rule: AlertRule, by: Actor) -> AlertRule:
    """Evaluate a rule again, from now on: results of the pause are not looked at."""
    locked = _locked(rule)
    if locked.is_paused:
        locked.paused_at, locked.paused_by, locked.evaluated_until = None, "", None
        locked.save(update_fields=["paused_at", "paused_by", "evaluated_until"])
        AlertRule.objects.filter(pk=locked.pk).update(armed_at=Now())
        locked.standings.update(bad_since=None)
        _note(by, "resumed", locked)
        _wake(locked)
    return locked


@transaction.atomic
def delete_rule(*, rule: AlertRule, by: Actor) -> None:
    """Delete a rule with its incidents. Webhook endpoints get ``alert.resolved`` for open ones."""
    locked = lock_rule(rule.pk)
    if locked is None:
        return
    for incident in locked.incidents.open().select_related("rule", "agent"):
        close_incident(incident, Resolution.RULE_DELETED, at=timezone.now(), by=by.label)
    _note(by, "deleted", locked, condition=condition_text(locked))
    locked.delete()


def state_of(rule: AlertRule) -> RuleState:
    """Return the worst state of a rule, over its agents."""
    if rule.is_paused:
        return RuleState.PAUSED
    states = {standing.state for standing in rule.standings.all()}
    order = (
        RuleState.ALERTING, RuleState.RECOVERING, RuleState.PENDING, RuleState.NORMAL,
        RuleState.NO_DATA,
    )  # fmt: skip
    return next((state for state in order if state in states), RuleState.NORMAL)


def _reset(rule: AlertRule, why: Resolution) -> None:
    """Let a locked rule start anew."""
    now = timezone.now()
    for incident in rule.incidents.open().select_related("rule", "agent"):
        close_incident(incident, why, at=now)
    Standing.objects.filter(rule=rule).delete()
    rule.evaluations.all().delete()
    rule.evaluated_until, rule.problem = None, ""
    rule.armed_at = Now()  # the clock of the database, as of results


def _set_channels(rule: AlertRule, channels: Mapping[str, str | None]) -> None:
    for kind, url in channels.items():
        rule.channels.filter(kind=kind).delete()
        if url is not None:
            check_url(url)
            NotificationChannel.objects.create(
                rule=rule, kind=kind, url_encrypted=cipher.encrypt(url),
                host=urlsplit(url).hostname or "",
            )  # fmt: skip


def _wake(rule: AlertRule) -> None:
    if rule.kind != Kind.RESULT:
        enqueue("alerts.evaluate")


def _locked(rule: AlertRule) -> AlertRule:
    found = lock_rule(rule.pk)
    if found is None:
        raise NotFound("This rule was deleted.")
    return found


def _note(by: Actor, done: str, rule: AlertRule, **detail: object) -> None:
    audit.record(by=by, verb=f"alert_rule.{done}", target=rule.public_id, detail=detail)
