"""The rules that add follow-ups: listed, created, edited, and deleted."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.forms import add_refusal
from apps.accounts.models import Role
from apps.accounts.responses import done, posted
from apps.core.errors import UserError
from apps.core.http import render_dialog, render_either
from apps.follow_ups.models import FollowUpRule
from apps.follow_ups.rule_forms import ConditionRows, RuleForm, is_redrawn
from apps.follow_ups.rules import DEFAULT_DOCUMENT, RuleLine, delete_rule, rule_lines, save_rule

LIST = "follow_ups:rules"


@require_safe
@role_required(Role.VIEWER)
def rules(request: HttpRequest) -> HttpResponse:
    """Show all rules: that for all agents first."""
    return render_either(
        request,
        page="follow_ups/rule_list.html",
        fragment="follow_ups/_rules.html",
        context={"lines": rule_lines(), "nav": "follow_ups"},
    )


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def new(request: HttpRequest) -> HttpResponse:
    """Create a rule."""
    return _form(request, None)


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def edit(request: HttpRequest, rule_id: str) -> HttpResponse:
    """Edit a rule."""
    return _form(request, _rule(rule_id))


def _form(request: HttpRequest, rule: FollowUpRule | None) -> HttpResponse:
    data = posted(request)
    form = RuleForm(data, rule=rule)
    conditions = ConditionRows.of_form(data) if data is not None else _stored(rule)
    if data is not None and not is_redrawn(data) and form.is_valid() and _document(conditions):
        try:
            save_rule(
                rule=rule,
                agent=form.agent_selected,
                values={**form.values, "document": _document(conditions)},
                by=actor_of(request),
            )
        except UserError as error:
            add_refusal(form, error)
        else:
            text = "Rule updated." if rule else "Rule created."
            return done(request, LIST, f"{text} It applies to new results.")
    here = reverse("follow_ups:rule_edit", args=[rule.public_id]) if rule else None
    context = {
        "form": form,
        "rule": rule,
        "here": here or reverse("follow_ups:rule_new"),
        "conditions": conditions,
        "line": next((one for one in rule_lines() if rule and one.rule == rule), None),
        "nav": "follow_ups",
    }
    return render_dialog(request, "follow_ups/rule_form.html", context)


def _stored(rule: FollowUpRule | None) -> ConditionRows | None:
    return ConditionRows.of_document(rule.document if rule else DEFAULT_DOCUMENT)


def _document(conditions: ConditionRows | None) -> object:
    return conditions.document if conditions else None


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def delete(request: HttpRequest, rule_id: str) -> HttpResponse:
    """Delete a rule."""
    rule = _rule(rule_id)
    if request.method == "POST":
        delete_rule(rule=rule, by=actor_of(request))
        return done(request, LIST, "Rule deleted.")
    lines: list[RuleLine] = [line for line in rule_lines() if line.rule == rule]
    context = {"rule": rule, "line": lines[0], "nav": "follow_ups"}
    return render_dialog(request, "follow_ups/rule_delete.html", context)


def _rule(rule_id: str) -> FollowUpRule:
    return get_object_or_404(FollowUpRule.objects.select_related("agent"), public_id=rule_id)
