"""Add, take, assign, finish, and reopen follow-ups."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.access import role_required, user_of
from apps.accounts.actors import actor_of
from apps.accounts.forms import add_refusal
from apps.accounts.models import Role
from apps.accounts.responses import posted
from apps.agents.models import Channel
from apps.conversations.filters import FilterError, parse
from apps.conversations.models import ConversationQuerySet
from apps.core.display import number
from apps.core.errors import UserError
from apps.core.http import ToastKind, dialog_done, render_dialog, wants_fragment
from apps.follow_ups import services
from apps.follow_ups.forms import AssignForm, FollowUpForm, QueueForm
from apps.follow_ups.listing import Queue
from apps.follow_ups.models import FollowUp, FollowUpQuerySet

CHANGED = "follow_ups:changed"
"""The event after which what shows follow-ups loads itself again."""


@require_http_methods(["GET", "POST"])
@role_required(Role.OPERATOR)
def new(request: HttpRequest) -> HttpResponse:
    """Add a follow-up to the conversations of a history page's query: IDs, or all that match."""
    channel, params = _query_of(request)
    try:
        conversations: ConversationQuerySet = parse(channel, params).queryset()
    except FilterError as error:
        return HttpResponse(error.message, status=error.status, content_type="text/plain")
    pks = conversations.order_by().values("pk")
    total = pks[: services.AT_ONCE + 1].count()
    if not total:
        raise Http404("Select at least one conversation.")
    existing = FollowUp.objects.open().filter(conversation__in=pks).count()
    form = FollowUpForm(posted(request))
    if form.is_valid():
        try:
            added = services.add_many(
                conversations=conversations, details=form.details, by=actor_of(request)
            )
        except UserError as error:
            add_refusal(form, error)
        else:
            return _respond(request, *_text_of(added), back=_list_of(channel))
    context = {
        "form": form,
        "here": f"{reverse('follow_ups:new')}?{request.GET.urlencode()}",
        "back": _list_of(channel),
        "total": total,
        "existing": existing,
        "new": total - existing,
        "at_once": services.AT_ONCE,
        "too_many": total > services.AT_ONCE,
        "word": "call" if channel == Channel.VOICE else "chat",
        "nav": "calls" if channel == Channel.VOICE else "chats",
    }
    return render_dialog(request, "follow_ups/follow_up_new.html", context)


def _query_of(request: HttpRequest) -> tuple[str, QueryDict]:
    """Return the channel and the filters; a query without any is not "all conversations"."""
    params = request.GET.copy()
    channel = (params.pop("channel", [""]) or [""])[-1]
    for name in ("cursor", "columns", "sort"):
        params.pop(name, None)
    if channel not in Channel.values or not params:
        raise Http404("Select at least one conversation.")
    return str(channel), params


def _text_of(added: services.Added) -> tuple[str, ToastKind]:
    new, skipped = len(added.rows), added.skipped
    if not new:
        return "Already in the follow-up queue.", "info"
    text = "Follow-up added." if new == 1 else f"{number(new)} follow-ups added."
    if skipped:
        text += f" {number(skipped)} already had one."
    return text, "ok"


def _list_of(channel: str) -> str:
    return reverse("conversations:calls" if channel == Channel.VOICE else "conversations:chats")


@require_http_methods(["GET", "POST"])
@role_required(Role.OPERATOR)
def edit(request: HttpRequest, follow_up_id: str) -> HttpResponse:
    """Edit a follow-up."""
    found = _follow_up(follow_up_id)
    form = FollowUpForm(posted(request), follow_up=found)
    if form.is_valid():
        try:
            services.change(
                follow_up=found,
                changes=form.changes,
                by=actor_of(request),
                version=form.cleaned_data["version"],
            )
        except services.FollowUpChanged as error:
            # The next save is one that has seen the other person's values.
            form.data = {**form.data, "version": str(_follow_up(follow_up_id).version)}
            add_refusal(form, error)
        except UserError as error:
            add_refusal(form, error)
        else:
            return _respond(request, "Follow-up updated.", "ok")
    context = {"form": form, "follow_up": _follow_up(follow_up_id), "nav": "follow_ups"}
    return render_dialog(request, "follow_ups/follow_up_edit.html", context)


@require_POST
@role_required(Role.OPERATOR)
def take(request: HttpRequest, follow_up_id: str) -> HttpResponse:
    """Make the reader the owner, unless someone else was faster."""
    try:
        services.take(
            follow_up=_follow_up(follow_up_id), user=user_of(request), by=actor_of(request)
        )
    except services.FollowUpTaken as error:
        return _respond(request, error.message, "warn")
    return _respond(request, "Follow-up assigned to you.", "ok")


@require_POST
@role_required(Role.OPERATOR)
def done(request: HttpRequest, follow_up_id: str) -> HttpResponse:
    """Mark one as done; the message has a button that takes it back."""
    found = _follow_up(follow_up_id)
    one = FollowUp.objects.filter(pk=found.pk)
    if not services.finish(rows=one, by=actor_of(request)):
        return _respond(request, f"{found.done_by} already finished this follow-up.", "info")
    undo = reverse("follow_ups:reopen", args=[follow_up_id])
    return _respond(request, "Follow-up done.", "ok", undo=undo)


@require_POST
@role_required(Role.OPERATOR)
def reopen(request: HttpRequest, follow_up_id: str) -> HttpResponse:
    """Reopen a done one."""
    one = FollowUp.objects.filter(pk=_follow_up(follow_up_id).pk)
    if services.reopen(rows=one, by=actor_of(request)):
        return _respond(request, "Follow-up reopened.", "ok")
    return _respond(request, "This conversation has an open follow-up.", "info")


@require_POST
@role_required(Role.OPERATOR)
def selected(request: HttpRequest) -> HttpResponse:
    """Finish or reopen the selected follow-ups, or redirect to the form that assigns them."""
    rows = _selected(request, request.POST)
    to = request.POST.get("to", "")
    if to == "assign":  # without script
        return redirect(f"{reverse('follow_ups:assign')}?{_selection(request.POST).urlencode()}")
    if to not in {"done", "reopen"}:
        raise Http404("Unknown action.")
    act, word = (services.finish, "done") if to == "done" else (services.reopen, "reopened")
    try:
        count = act(rows=rows, by=actor_of(request))
    except UserError as error:
        return _respond(request, error.message, "warn")
    plural = "follow-up" if count == 1 else "follow-ups"
    return _respond(request, f"{number(count)} {plural} {word}.", "ok")


@require_http_methods(["GET", "POST"])
@role_required(Role.OPERATOR)
def assign(request: HttpRequest) -> HttpResponse:
    """Give the selected follow-ups an owner and a due date."""
    rows = _selected(request, request.GET).open()
    total = rows.count()
    form = AssignForm(posted(request), user=user_of(request))
    if form.is_valid():
        try:
            count = services.assign(rows=rows, changes=form.changes, by=actor_of(request))
        except UserError as error:
            add_refusal(form, error)
        else:
            plural = "follow-up" if count == 1 else "follow-ups"
            return _respond(request, f"{number(count)} {plural} assigned.", "ok")
    context = {
        "form": form,
        "total": total,
        "here": f"{reverse('follow_ups:assign')}?{_selection(request.GET).urlencode()}",
        "nav": "follow_ups",
    }
    return render_dialog(request, "follow_ups/follow_up_assign.html", context)


_SELECTION = ("id", "all_matching", "view", "agent")


def _selection(params: QueryDict) -> QueryDict:
    """Return the parameters that say which follow-ups are meant."""
    kept = QueryDict(mutable=True)
    for name in _SELECTION:
        if values := [value for value in params.getlist(name) if value]:
            kept.setlist(name, values)
    return kept


def _selected(request: HttpRequest, params: QueryDict) -> FollowUpQuerySet:
    """Return the selected rows, or all of the view. Raise Http404 for nothing."""
    if params.get("all_matching") == "1":
        form = QueueForm(params)
        if form.is_valid():
            return Queue(user_of(request), **form.cleaned_data).rows()
    ids = [value for value in params.getlist("id") if "\x00" not in value]
    if not ids:
        raise Http404("Select at least one follow-up.")
    return FollowUp.objects.filter(public_id__in=ids)


def _follow_up(follow_up_id: str) -> FollowUp:
    return get_object_or_404(FollowUp.objects.with_conversations(), public_id=follow_up_id)


def _respond(
    request: HttpRequest, text: str, kind: ToastKind, *, undo: str = "", back: str = ""
) -> HttpResponse:
    """Say what happened: next to the list with script, on the page that it came from without."""
    if wants_fragment(request):
        return dialog_done(text, CHANGED, kind=kind, undo=undo)
    messages.add_message(request, _LEVELS[kind], text)
    came_from = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(came_from, None)
    return redirect(came_from if safe else back or "follow_ups:list")


_LEVELS = {
    "ok": messages.SUCCESS,
    "info": messages.INFO,
    "warn": messages.WARNING,
    "bad": messages.ERROR,
}
