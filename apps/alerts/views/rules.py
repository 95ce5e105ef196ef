"""Rules: the list, the form with its preview, one rule with its past, and ending it."""

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.accounts.responses import posted
from apps.agents.models import Channel
from apps.alerts import overview, services
from apps.alerts.evaluate import limits_of
from apps.alerts.forms import RuleForm
from apps.alerts.models import AlertRule, Kind
from apps.alerts.preview import preview
from apps.alerts.wording import condition_text
from apps.core.errors import UserError
from apps.core.http import hx_redirect, render_dialog, render_either

#: Buttons of the form that only ask to be shown something, where there is no script.
_LOOKS = ("show", "add", "drop")


@require_safe
@role_required(Role.VIEWER)
def rule_list(request: HttpRequest) -> HttpResponse:
    """Show all rules with their states."""
    context = {"lines": overview.rule_lines(), "nav": "alerts"}
    return render(request, "alerts/rule_list.html", context)


@require_safe
@role_required(Role.VIEWER)
def detail(request: HttpRequest, rule_id: str) -> HttpResponse:
    """Show a rule: its state, its incidents, and its last messages."""
    rule = _rule(rule_id)
    context = {
        "rule": rule,
        "state": services.state_of(rule),
        "text": condition_text(rule),
        "standings": rule.standings.select_related("agent").order_by("agent__name"),
        "incidents": overview.incidents_of(state="all", rule=rule_id).order_by("-pk")[:10],
        "rule_messages": rule.messages.order_by("-pk")[:10],
        "members": rule.members.order_by("pk"),
        "channels": rule.channels.all(),
        "nav": "alerts",
    }
    return render_either(
        request, page="alerts/rule.html", fragment="alerts/_rule.html", context=context
    )


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def new(request: HttpRequest) -> HttpResponse:
    """Create a rule for calls or for chats."""
    form = RuleForm(_channel(request), posted(request))
    if request.method == "POST" and not _only_looks(request):
        made = _save(request, form, None)
        if made is not None:
            messages.success(request, "Rule created.")
            return redirect("alerts:rule", made.public_id)
    return _form(request, form)


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def edit(request: HttpRequest, rule_id: str) -> HttpResponse:
    """Edit a rule: everything but its channel."""
    rule = _rule(rule_id)
    shown = rule
    if "replace" in request.GET:  # conditions too deep for the rows
        shown.condition = None
    form = RuleForm(rule.channel, posted(request), rule=shown)
    if request.method == "POST" and not _only_looks(request):
        made = _save(request, form, rule)
        if made is not None:
            messages.success(request, "Rule updated.")
            return redirect("alerts:rule", made.public_id)
    return _form(request, form)


@require_POST
@role_required(Role.EDITOR)
def draft_preview(request: HttpRequest) -> HttpResponse:
    """Show when the rule of the form would have fired. Nothing is written."""
    rule_id = request.POST.get("rule", "")
    rule = AlertRule.objects.filter(public_id=rule_id).first() if rule_id else None
    form = RuleForm(_channel(request), request.POST, rule=rule)
    return render(request, "alerts/_preview.html", _preview_of_form(form))


@require_safe
@role_required(Role.VIEWER)
def past(request: HttpRequest, rule_id: str) -> HttpResponse:
    """Show when a saved rule would have fired in the last 30 days."""
    rule = _rule(rule_id)
    try:
        context = _drawn(rule)
    except UserError as error:
        context = {"problem": error.message}
    return render(request, "alerts/_preview.html", {**context, "is_saved": True})


@require_POST
@role_required(Role.EDITOR)
def pause(request: HttpRequest, rule_id: str) -> HttpResponse:
    """Pause a rule: nothing is evaluated or sent until it is resumed."""
    services.pause_rule(rule=_rule(rule_id), by=actor_of(request))
    messages.success(request, "Rule paused.")
    return redirect("alerts:rule", rule_id)


@require_POST
@role_required(Role.EDITOR)
def resume(request: HttpRequest, rule_id: str) -> HttpResponse:
    """Resume a rule from now on."""
    services.resume_rule(rule=_rule(rule_id), by=actor_of(request))
    messages.success(request, "Rule resumed.")
    return redirect("alerts:rule", rule_id)


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def delete(request: HttpRequest, rule_id: str) -> HttpResponse:
    """Confirm, then delete a rule with its incidents."""
    rule = _rule(rule_id)
    if request.method != "POST":
        context = {
            "rule": rule,
            "incidents": rule.incidents.count(),
            "open": rule.incidents.open().count(),
            "nav": "alerts",
        }
        return render_dialog(request, "alerts/rule_delete.html", context)
    services.delete_rule(rule=rule, by=actor_of(request))
    messages.success(request, "Rule deleted.")
    return hx_redirect(request, "/alerts/rules/")


def _rule(rule_id: str) -> AlertRule:
    rows = AlertRule.objects.select_related("agent").prefetch_related("standings")
    return get_object_or_404(rows, public_id=rule_id)


def _channel(request: HttpRequest) -> str:
    data: QueryDict = request.POST if request.method == "POST" else request.GET
    channel = data.get("channel", Channel.VOICE.value)
    if channel not in Channel.values:
        raise Http404("channel must be voice or chat.")
    return channel


def _only_looks(request: HttpRequest) -> bool:
    return any(name in request.POST for name in _LOOKS)


def _save(request: HttpRequest, form: RuleForm, rule: AlertRule | None) -> AlertRule | None:
    """Create or change a rule; None where the form shows errors."""
    if not form.is_valid():
        return None
    site, by = request.build_absolute_uri("/"), actor_of(request)
    try:
        wanted = form.definition()
        if rule is None:
            return services.create_rule(wanted=wanted, by=by, site_url=site)
        seen = _seen(form.cleaned_data["seen"])
        return services.change_rule(rule=rule, wanted=wanted, by=by, site_url=site, seen=seen)
    except UserError as error:
        form.add_problems(error)
        return None


def _seen(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _form(request: HttpRequest, form: RuleForm) -> HttpResponse:
    context: dict[str, Any] = {
        "form": form,
        "rule": form.rule,
        "channel": form.channel,
        "rows": form.rows,
        "kept_text": condition_text(form.rule) if form.kept and form.rule else "",
        "nav": "alerts",
    }
    if request.method == "POST" and "show" in request.POST:
        context |= _preview_of_form(form)
    return render(request, "alerts/rule_form.html", context)


def _preview_of_form(form: RuleForm) -> dict[str, Any]:
    """Return the preview of a form that may be unfinished."""
    form.fields["name"].required = False
    if not form.is_valid():
        return {"waits": True} if form.is_unfinished else {"problem": form.first_problem()}
    try:
        return _drawn(services.unsaved(form.definition()))
    except UserError as error:
        if "threshold" in error.fields and not form.data.get("threshold"):
            return {"waits": True}
        form.add_problems(error)
        return {"problem": form.first_problem()}


def _drawn(rule: AlertRule) -> dict[str, Any]:
    found = preview(rule, timezone.now())
    limits = None if rule.kind == Kind.RESULT else limits_of(rule)
    return {"drawn": found, "chart": overview.draw(rule, found, limits), "rule": rule}
