"""What a person may do to a run: pause, resume, cancel, retry failures, change the budget."""

from collections.abc import Callable, Sequence

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.forms import add_refusal
from apps.accounts.models import Role
from apps.agents.models import Channel
from apps.core.display import money
from apps.core.errors import UserError
from apps.core.http import dialog_done, hx_trigger, render_dialog, wants_fragment
from apps.llm.caps import unpriced_of
from apps.llm.models import LanguageModel
from apps.runs import control
from apps.runs.budgets import BudgetChanged, balance_of, budget_of
from apps.runs.models import PauseReason, Run
from apps.runs.options import BudgetForm
from apps.runs.progress import progress_of

CHANGED = "backfills:changed"


@require_POST
@role_required(Role.OPERATOR)
def pause(request: HttpRequest, public_id: str) -> HttpResponse:
    """Pause a run until it is resumed."""
    run = get_object_or_404(Run.objects.lasting(), public_id=public_id)
    more = "Requests already in progress will finish." if run.asks_model else ""
    return _change(request, run, control.pause, "paused", more)


@require_POST
@role_required(Role.OPERATOR)
def resume(request: HttpRequest, public_id: str) -> HttpResponse:
    """Resume a paused run."""
    run = get_object_or_404(Run.objects.lasting(), public_id=public_id)
    return _change(request, run, control.resume, "resumed")


@require_POST
@role_required(Role.OPERATOR)
def retry_failed(request: HttpRequest, public_id: str) -> HttpResponse:
    """Queue what failed again, with the prompts of the run."""
    run = get_object_or_404(Run.objects.lasting(), public_id=public_id)

    def change() -> str:
        count = control.retry_failed(run=run, by=actor_of(request), only_hopeful=True)
        return f"Retrying {count:,} {Channel(run.channel).noun(count)}."

    return _answer(request, run, change)


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.OPERATOR)
def cancel(request: HttpRequest, public_id: str) -> HttpResponse:
    """Ask, in numbers, then stop a run for good."""
    run = get_object_or_404(Run.objects.lasting(), public_id=public_id)
    if request.method != "POST":
        context = {"run": run, "progress": progress_of(run), "nav": "backfills"}
        return render_dialog(request, "runs/backfill_cancel.html", context)
    return _change(request, run, control.cancel, "canceled", "Completed results are kept.")


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.OPERATOR)
def budget(request: HttpRequest, public_id: str) -> HttpResponse:
    """Change or remove the budget of a backfill, which continues if it waited for that."""
    run = get_object_or_404(Run.objects.backfills(), public_id=public_id)
    now = budget_of(run.options)
    shown = "" if now is None else f"{now:f}"
    form = BudgetForm(request.POST or None, initial={"budget": shown, "seen": shown})
    unpriced: Sequence[LanguageModel] = ()
    if form.is_valid():
        try:
            control.change_budget(
                run=run,
                budget=form.cleaned_data["budget"],
                by=actor_of(request),
                seen=form.seen_budget,
            )
        except BudgetChanged as error:
            # The next save is one that has seen the other person's budget.
            form.data = {**request.POST.dict(), "seen": _budget_now(run)}
            add_refusal(form, error)
        except UserError as error:
            unpriced = unpriced_of(error)
            add_refusal(form, error)
        else:
            return _answer(request, run, lambda: _budget_said(run))
    context = {"run": run, "form": form, "balance": balance_of(run), "nav": "backfills"}
    context["unpriced"] = unpriced
    context |= {"expected": run.estimate.get("cost"), "progress": progress_of(run)}
    return render_dialog(request, "runs/backfill_budget.html", context)


def _budget_now(run: Run) -> str:
    run.refresh_from_db()
    now = budget_of(run.options)
    return "" if now is None else f"{now:f}"


def _budget_said(run: Run) -> str:
    """Return a message after a change of the budget."""
    now = budget_of(run.options)
    changed = "Budget removed." if now is None else f"Budget set to {money(now)}."
    if run.reason == PauseReason.BUDGET:
        return f"{changed} It is already spent, so the backfill stays paused."
    return changed


def _change(
    request: HttpRequest, run: Run, change: Callable[..., None], done: str, more: str = ""
) -> HttpResponse:
    """Pause, resume, or cancel a run, and say so; ``more`` follows in the message."""

    def changed() -> str:
        change(run=run, by=actor_of(request))
        return f"{run.get_kind_display()} {done}. {more}".strip()

    return _answer(request, run, changed)


def _answer(request: HttpRequest, run: Run, change: Callable[[], str]) -> HttpResponse:
    """Do it and say so: in a toast where there is script, else on the run's page."""
    try:
        text, refused = change(), False
    except UserError as error:
        text, refused = error.message, True
    if not wants_fragment(request):
        (messages.error if refused else messages.success)(request, text)
        return redirect(reverse("runs:detail", args=[run.public_id]))
    if refused:
        return HttpResponse(text, status=409, content_type="text/plain; charset=utf-8")
    return hx_trigger(dialog_done(text), **{CHANGED: None})
