"""The form that starts a backfill, its live numbers, and the menu that leads to it."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.agents.models import Channel
from apps.conversations.filters.editor import channel_of, only_looks
from apps.core.display import ago
from apps.core.errors import UserError
from apps.core.http import dialog_done, hx_trigger, render_dialog, varies_by_htmx, wants_fragment
from apps.llm.caps import unpriced_of
from apps.llm.models import LanguageModel
from apps.llm.services import proposed_sample
from apps.runs import services
from apps.runs.estimate_panel import estimate_panel
from apps.runs.models import Run
from apps.runs.options import Question, read_question
from apps.runs.preview import (
    PREVIEW_SECONDS,
    PreviewTooSlow,
    count_matching,
    make_preview,
)

PAGES = {Channel.VOICE: "conversations:calls", Channel.CHAT: "conversations:chats"}


@require_safe
@role_required(Role.VIEWER)
def actions(request: HttpRequest) -> HttpResponse:
    """The Actions menu of a history page, for the filters of that page.

    It is rendered again when the page's address changes; htmx then sends the address.
    """
    channel = channel_of(request.GET)
    query = request.GET.copy()
    if "current" in query:
        query = QueryDict(urlsplit(request.headers.get("HX-Current-URL", "")).query, mutable=True)
    for name in ("channel", "cursor"):
        query.pop(name, None)
    context = {
        "channel": channel,
        "query": query.urlencode(),
        "export_url": _export_url(channel, query),
    }
    return render(request, "runs/_actions.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.OPERATOR)
@varies_by_htmx
def new(request: HttpRequest) -> HttpResponse:
    """The form: a dialog for htmx, else a page. POST saves, unless a button only asks to look."""
    data = request.POST if request.method == "POST" else request.GET
    proposed = proposed_sample() if request.method != "POST" else None
    question = read_question(channel_of(data), data, proposed=proposed)
    if request.method != "POST" or only_looks(data):
        return _form(request, question)
    return _save(request, question)


@require_POST
@role_required(Role.OPERATOR)
def preview(request: HttpRequest) -> HttpResponse:
    """Show the numbers for the current form while it is edited. Nothing is written."""
    question = read_question(channel_of(request.POST), request.POST)
    context = {"question": question, "channel": question.channel, "swaps": True}
    return render(request, "runs/_figures.html", context | _figures(question))


@require_POST
@role_required(Role.OPERATOR)
def preview_count(request: HttpRequest) -> HttpResponse:
    """How many match the form as it is, which is known before the estimate."""
    question = read_question(channel_of(request.POST), request.POST)
    context: dict[str, Any] = {"channel": question.channel, "matching": None}
    if question.spec is not None:
        params = question.spec.as_params()
        try:
            context["matching"] = count_matching(channel=question.channel, params=params)
        except PreviewTooSlow as error:
            context["problem"] = error.message
        context["everything"] = not params
    return render(request, "runs/_matching.html", context)


def _save(request: HttpRequest, question: Question) -> HttpResponse:
    """Start the run of the preview, or show the form again with the error."""
    if question.spec is None or question.options is None:
        return _form(request, question, refusal="Can’t start this backfill. Fix the errors above.")
    token = request.POST.get("token", "")
    if not token:
        return _form(request, question, refusal="Review the estimate, then start the backfill.")
    began = timezone.now()
    try:
        run = services.start(
            channel=question.channel,
            params=question.spec.as_params(),
            options=question.options,
            by=actor_of(request),
            token=token,
        )
    except UserError as error:
        return _form(request, question, refusal=error.message, unpriced=unpriced_of(error))
    return _started(request, run, again=run.created_at < began)


def _started(request: HttpRequest, run: Run, *, again: bool) -> HttpResponse:
    text = f"Backfill of {run.total:,} {Channel(run.channel).noun(run.total)} started."
    if again:
        text = (
            f"You already started this backfill {ago(run.created_at)}. No second one was started."
        )
    return respond_started(request, run, text)


def respond_started(request: HttpRequest, run: Run, text: str) -> HttpResponse:
    """Say that a run started: over the open page where there is script, else on its own page."""
    url = reverse("runs:detail", args=[run.public_id])
    if wants_fragment(request):
        response = dialog_done(text, href=url, action="Open")
        return hx_trigger(response, **{"backfills:changed": None})
    messages.success(request, text)
    return redirect(url)


def _form(
    request: HttpRequest,
    question: Question,
    *,
    refusal: str = "",
    unpriced: Sequence[LanguageModel] = (),
) -> HttpResponse:
    """Show the form. The dialog opens immediately, without numbers, and then requests them."""
    opening = wants_fragment(request) and request.method != "POST" and not question.errors
    context = {
        "question": question,
        "channel": question.channel,
        "rows": question.rows(),
        "refusal": refusal,
        "unpriced": unpriced,
        "opening": opening,
        **({"figures": None} if opening else _figures(question)),
        "back": _back(question),
        "nav": "backfills",
    }
    return render_dialog(request, "runs/backfill_new.html", context)


def _figures(question: Question) -> dict[str, Any]:
    """Return the estimate, or None where the form is invalid: never that of all rows.

    ``problem`` says why a valid form has none.
    """
    if question.spec is None or question.options is None:
        return {"figures": None}
    try:
        made = make_preview(
            channel=question.channel,
            params=question.spec.as_params(),
            options=question.options,
            seconds=PREVIEW_SECONDS,
        )
    except PreviewTooSlow as error:
        return {"figures": None, "problem": error.message}
    return {"figures": estimate_panel(made)}


def _back(question: Question) -> str:
    """The history page that the form was opened on."""
    try:
        page = reverse(PAGES[Channel(question.channel)])
    except NoReverseMatch:
        return reverse("runs:list")
    query = QueryDict(mutable=True)
    for name, values in question.given.items():
        query.setlist(name, values)
    return f"{page}?{query.urlencode()}" if query else page


def _export_url(channel: str, query: QueryDict) -> str:
    """The export of what the page lists; empty where there is none."""
    kept = query.copy()
    for name in ("cursor", "all_matching"):
        kept.pop(name, None)
    try:
        url = reverse("conversations:export")
    except NoReverseMatch:
        return ""
    return f"{url}?channel={channel}&{kept.urlencode()}".rstrip("&")
