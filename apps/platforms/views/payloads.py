"""Pages of payloads of all receivers: the list, one payload, and replay of rejected ones."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.accounts.responses import done
from apps.agents.models import Agent, Channel
from apps.core.errors import UserError
from apps.core.http import (
    hx_redirect,
    hx_trigger,
    render_dialog,
    render_either,
    stop_polling,
    wants_fragment,
)
from apps.core.pagination import Page, page
from apps.intake.services import ERASED
from apps.platforms.forms import PayloadFilterForm
from apps.platforms.models import IntakePayload, IntakeSource, PayloadState
from apps.platforms.pages import (
    PER_PAGE,
    code_words,
    content,
    receiver_of,
    replay_counts,
    shown,
    source_lines,
    summary,
)
from apps.platforms.replay import ask_replay, replay

from .common import CHANGED

FILTERS = ("source", "state", "code", "q")


@require_safe
@never_cache
@role_required(Role.ADMIN)
def payload_list(request: HttpRequest) -> HttpResponse:
    """Show sources, recent rejections, and payloads, newest first."""
    lines = source_lines()
    form = PayloadFilterForm(request.GET, [line.source for line in lines])
    context = _payloads(request, form) | {
        "lines": lines,
        "summary": summary(),
        "replaying": IntakePayload.objects.to_replay().count(),
        "api_url": request.build_absolute_uri("/api/conversations"),
        "agents": Agent.objects.active().filter(channel=Channel.VOICE),  # for the empty page
        "nav": "intake",
    }
    return render_either(
        request,
        page="platforms/payload_list.html",
        fragment="platforms/_payload_page.html",
        context=context,
    )


def _payloads(request: HttpRequest, form: PayloadFilterForm) -> dict[str, Any]:
    """Return one page of what matches. A filter that cannot be read shows nothing, and says so."""
    found: Page[IntakePayload] = Page([], None, None)
    if form.is_valid():
        cursor = request.GET.get("cursor") or None
        rows = form.rows().for_list()
        try:
            found = page(rows, order=["-received_at"], cursor=cursor, limit=PER_PAGE)
        except UserError as error:
            form.add_error(None, error.message)
    query = _filters(request.GET)
    return {
        "form": form,
        "payloads": [(payload, receiver_of(payload)) for payload in found.items],
        "code_words": code_words(form.data.get("code", "")),
        "query": query.urlencode(),
        "previous_url": _url(query, found.previous_cursor),
        "next_url": _url(query, found.next_cursor),
        "states": [
            (value, label, _url(_with(query, "state", value), ""))
            for value, label in [("", "All"), ("refused", "Rejected"), ("taken", "Accepted")]
        ],
        "state": form.data.get("state", ""),
        "without_code_url": _url(_with(query, "code", ""), ""),
    }


def _filters(given: QueryDict) -> QueryDict:
    """Return the filters of the address alone, without the empty ones."""
    query = QueryDict(mutable=True)
    for name in FILTERS:
        if value := given.get(name):
            query[name] = value
    return query


def _with(query: QueryDict, name: str, value: str) -> QueryDict:
    there = query.copy()
    there.pop(name, None)
    if value:
        there[name] = value
    if name == "state" and value != PayloadState.REFUSED:
        there.pop("code", None)  # only what was refused has one
    return there


def _url(query: QueryDict, cursor: str | None) -> str:
    """Return the same filters at another page; empty where there is none."""
    if cursor is None:
        return ""
    there = query.copy()
    if cursor:
        there["cursor"] = cursor
    return f"{reverse('intake:list')}?{there.urlencode()}".removesuffix("?")


@require_safe
@never_cache
@role_required(Role.ADMIN)
def replaying(request: HttpRequest) -> HttpResponse:
    """How many still wait for their replay, asked while some do; the last response ends that."""
    left = IntakePayload.objects.to_replay().count()
    if not wants_fragment(request):
        return redirect("intake:list")
    context = {"replaying": left}
    answer = render(request, "platforms/_replaying.html", context)
    return answer if left else stop_polling(hx_trigger(answer, **{CHANGED: None}))


@require_safe
@role_required(Role.ADMIN)
def payload_detail(request: HttpRequest, payload_id: int) -> HttpResponse:
    """Show one payload: its origin, its outcome, and its content."""
    payload = _payload(payload_id)
    context = {
        "payload": payload,
        "receiver": receiver_of(payload),
        "code": code_words(payload.code),
        "shown": shown(payload),
        "nav": "intake",
    }
    return render_either(
        request,
        page="platforms/payload_detail.html",
        fragment="platforms/_payload.html",
        context=context,
    )


@require_safe
@role_required(Role.ADMIN)
def payload_raw(request: HttpRequest, payload_id: int) -> HttpResponse:
    """Show all of a payload, as a file."""
    payload = _payload(payload_id)
    kind = "application/json" if payload.raw is None else "application/octet-stream"
    name = f"payload-{payload.pk}.{'json' if payload.raw is None else 'txt'}"
    return HttpResponse(
        content(payload),
        content_type=kind,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@require_POST
@role_required(Role.ADMIN)
def payload_replay(request: HttpRequest, payload_id: int) -> HttpResponse:
    """Take a rejected payload in once more."""
    payload = _payload(payload_id)
    try:
        payload = replay(payload=payload, by=actor_of(request))
    except UserError as error:
        messages.error(request, error.message)
    else:
        if payload.code == ERASED:
            messages.info(request, payload.note)
            return hx_redirect(request, reverse("intake:list"))
        if payload.state == PayloadState.TAKEN:
            messages.success(request, "Accepted.")
        else:
            messages.warning(request, "Rejected again. See the reason below.")
    return hx_redirect(request, reverse("intake:payload", args=[payload_id]))


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def replay_all(request: HttpRequest) -> HttpResponse:
    """Ask, in numbers, and have everything rejected that the filters match replayed."""
    form = PayloadFilterForm(request.GET, list(IntakeSource.objects.all()))
    rows = form.rows()
    if request.method == "POST" and form.is_valid():
        return _replay_asked(request, ask_replay(payloads=rows, by=actor_of(request)))
    whole, cut, kinds = replay_counts(rows)
    context = {
        "form": form,
        "whole": whole,
        "cut": cut,
        "kinds": kinds,
        "query": _filters(request.GET).urlencode(),
        "back": _back(request),
        "nav": "intake",
    }
    return render_dialog(request, "platforms/replay_all.html", context)


def _replay_asked(request: HttpRequest, asked: int) -> HttpResponse:
    text = f"Replaying {asked:,} payload{'s' * (asked != 1)}."
    if not asked:
        text = "Nothing left to replay."
    return done(request, _back(request), text, event=CHANGED)


def _back(request: HttpRequest) -> str:
    return f"{reverse('intake:list')}?{_filters(request.GET).urlencode()}".removesuffix("?")


def _payload(payload_id: int) -> IntakePayload:
    rows = IntakePayload.objects.select_related("source", "conversation", "default_agent")
    payload: IntakePayload = get_object_or_404(rows, pk=payload_id)
    return payload
