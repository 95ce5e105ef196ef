"""Alert rules: list, create, preview, change, and delete them."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from ninja import Router

from apps.accounts.actors import actor_of
from apps.accounts.api_auth import require
from apps.accounts.models import Role, User
from apps.agents.models import Agent
from apps.alerts import services
from apps.alerts.definitions import WATCHED, Definition, InvalidRule
from apps.alerts.models import AlertRule
from apps.alerts.preview import preview

from . import lists
from .endpoints import agent_named, read, respond, write
from .openapi import Answer, operation
from .parameters import PAGE
from .schemas import alerts as schemas
from .schemas.common import NothingIn

router = Router(tags=["Alerts"])


@router.get(
    "",
    **operation(
        "listAlertRules",
        "List rules",
        query=PAGE,
        answers={200: Answer(schemas.Rules, "One page of rules.")},
        refuses=lists.CODES,
    ),
)
def many(request: HttpRequest) -> HttpResponse:
    """The newest first, each with its state."""
    lists.only(request)
    rows = AlertRule.objects.select_related("agent").prefetch_related("standings", "channels")
    return lists.answer(
        request, rows, order=["-pk"], page=schemas.Rules, show=schemas.AlertRuleSchema.from_rule
    )


@router.post(
    "",
    **operation(
        "createAlertRule",
        "Create a rule",
        takes=schemas.RuleIn,
        answers={201: Answer(schemas.AlertRuleSchema, "The new rule.")},
        refuses=["invalid_alert_rule", "invalid_filter", "private_address"],
    ),
)
@write(Role.EDITOR, secret=True)
def create(request: HttpRequest) -> HttpResponse:
    """Only what happens from now on counts. See docs/alerts.md for how rules behave."""
    body = read(schemas.RuleIn, request)
    wanted = Definition(
        name=body.name,
        **body.watched(_agent(body.scope)),
        **_recipients(body.notify),
    )
    site = request.build_absolute_uri("/")
    rule = services.create_rule(wanted=wanted, by=actor_of(request), site_url=site)
    return respond(schemas.AlertRuleSchema.from_rule(_rule(rule.public_id)), status=201)


@router.post(
    "/preview",
    **operation(
        "previewAlertRule",
        "Preview a rule",
        takes=schemas.PreviewIn,
        answers={200: Answer(schemas.AlertPreview, "When it would have fired.")},
        refuses=["invalid_alert_rule", "invalid_filter"],
    ),
)
def draw(request: HttpRequest) -> HttpResponse:
    """Of the last 30 days, by the code that evaluates rules. Nothing is saved. For editors."""
    require(request, Role.EDITOR)
    body = read(schemas.PreviewIn, request)
    wanted = Definition(
        name=body.name,
        **body.watched(_agent(body.scope)),
    )
    drawn = preview(services.unsaved(wanted), timezone.now())
    return respond(schemas.AlertPreview.from_preview(drawn))


@router.patch(
    "/{rule_id}",
    **operation(
        "changeAlertRule",
        "Change a rule",
        takes=schemas.RulePatch,
        answers={200: Answer(schemas.AlertRuleSchema, "The rule.")},
        refuses=["invalid_alert_rule", "invalid_filter", "private_address"],
    ),
)
@write(Role.EDITOR, secret=True)
def change(request: HttpRequest, rule_id: str) -> HttpResponse:
    """Where it watches something else afterward, it starts anew, and its open incidents close."""
    rule, by = _rule(rule_id), actor_of(request)
    body = read(schemas.RulePatch, request)
    if set(body.given()) - {"paused"}:
        site = request.build_absolute_uri("/")
        services.change_rule(rule=rule, wanted=_changed(rule, body), by=by, site_url=site)
    if body.paused is not None:
        (services.pause_rule if body.paused else services.resume_rule)(rule=rule, by=by)
    return respond(schemas.AlertRuleSchema.from_rule(_rule(rule_id)))


@router.delete(
    "/{rule_id}",
    **operation(
        "deleteAlertRule",
        "Delete a rule",
        answers={204: Answer(None, "Deleted, along with its incidents.")},
    ),
)
@write(Role.EDITOR)
def delete(request: HttpRequest, rule_id: str) -> HttpResponse:
    """Webhooks get `alert.resolved` for its open incidents."""
    rule = _rule(rule_id)
    read(NothingIn, request)
    services.delete_rule(rule=rule, by=actor_of(request))
    return HttpResponse(status=204)


def _rule(rule_id: str) -> AlertRule:
    rows = AlertRule.objects.select_related("agent").prefetch_related("standings", "channels")
    return get_object_or_404(rows, public_id=rule_id)


def _changed(rule: AlertRule, body: schemas.RulePatch) -> Definition:
    """Return the definition of a rule with these changes."""
    names = [name for name in WATCHED if name != "agent_id"]
    watched: dict[str, Any] = {name: getattr(rule, name) for name in names}
    watched["agent"] = rule.agent
    if (replaced := body.replaced()) is not None:
        agent = _agent(replaced.scope)
        watched = replaced.watched(agent)
    kept = {
        "members": list(rule.members.all()),
        "addresses": rule.addresses,
        "remind_hours": rule.remind_hours,
    }
    notify = _recipients(body.notify) if body.notify is not None else kept
    return Definition(name=body.name or rule.name, **watched, **notify)


def _recipients(notify: schemas.NotifyIn) -> dict[str, Any]:
    return {
        "members": [member(email, "notify.members") for email in notify.members],
        "addresses": notify.emails,
        "channels": notify.channels(),
        "remind_hours": notify.remind_hours,
    }


def member(email: str, field: str) -> User:
    """Return the active member with this email. Raise InvalidRule."""
    found = User.objects.filter(email__iexact=email.replace("\0", ""), is_active=True).first()
    if found is None or not email:
        message = f"{field}: no member has the email “{email[:80]}”."
        raise InvalidRule(message, {field: message})
    return found


def _agent(scope: schemas.ScopeIn) -> Agent | None:
    return agent_named(scope.agent_id, error=InvalidRule, field="scope.agent_id")
