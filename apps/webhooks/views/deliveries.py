"""The deliveries of an endpoint: requests, responses, and sending one again."""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.forms import add_refusal
from apps.accounts.models import Role
from apps.accounts.responses import done, posted
from apps.core.errors import UserError
from apps.core.http import (
    ToastKind,
    dialog_done,
    hx_trigger,
    render_dialog,
    render_either,
    stop_polling,
    wants_fragment,
)
from apps.core.pagination import CursorError, Page, page
from apps.webhooks import overview, services
from apps.webhooks.forms import SINCE, AgainForm, DeliveriesForm, TestForm
from apps.webhooks.models import Delivery, Endpoint

from .common import CHANGED, endpoint_or_404

PER_PAGE = 50
SLOW_TO_SETTLE = timedelta(minutes=1)


@require_safe
@role_required(Role.ADMIN)
def detail(request: HttpRequest, endpoint_id: str) -> HttpResponse:
    """Show an endpoint and its deliveries, the newest first, filtered by the query."""
    endpoint = endpoint_or_404(endpoint_id)
    form = DeliveriesForm(request.GET)
    found, problem = _found(request, endpoint, form)
    context = {
        "endpoint": endpoint,
        "form": form,
        "page": found,
        "problem": problem,
        "missed": services.missed(endpoint).count(),
        "waits": any(delivery.state == "pending" for delivery in found.items),
    }
    return render_either(
        request,
        page="webhooks/deliveries.html",
        fragment="webhooks/_deliveries.html",
        context=context,
    )


def _found(
    request: HttpRequest, endpoint: Endpoint, form: DeliveriesForm
) -> tuple[Page[Delivery], str]:
    """Return the requested page of deliveries, or why there is none."""
    if not form.is_valid():
        return Page([], None, None), " ".join(str(text) for e in form.errors.values() for text in e)
    rows = overview.deliveries_of(endpoint, **form.cleaned_data)
    try:
        cursor = request.GET.get("cursor")
        return page(rows, order=["-pk"], cursor=cursor, limit=PER_PAGE), ""
    except CursorError as error:
        return Page([], None, None), error.message


@require_safe
@role_required(Role.ADMIN)
def delivery(request: HttpRequest, endpoint_id: str, event_id: str) -> HttpResponse:
    """Show a delivery: request, response, and all attempts."""
    found = _delivery_or_404(endpoint_id, event_id)
    context = {
        "endpoint": found.endpoint,
        "delivery": found,
        "next_try": overview.next_try_of(found, found.endpoint),
        "tries": overview.tries_of(found),
        "payload": json.loads(found.event.payload),
    }
    return render_either(
        request, page="webhooks/delivery.html", fragment="webhooks/_delivery.html", context=context
    )


@require_POST
@role_required(Role.ADMIN)
def again(request: HttpRequest, endpoint_id: str, event_id: str) -> HttpResponse:
    """Send one once more."""
    found = _delivery_or_404(endpoint_id, event_id)
    kind: ToastKind = "ok"
    text = "Delivery queued."
    try:
        services.send_again(delivery=found, by=actor_of(request))
    except services.UnableToSend as error:
        kind, text = "warn", error.message
    if wants_fragment(request):
        return dialog_done(text, CHANGED, kind=kind)
    messages.info(request, text)
    return redirect("webhooks:delivery", endpoint_id, event_id)


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def failed_again(request: HttpRequest, endpoint_id: str) -> HttpResponse:
    """Send again all that failed in a time; says how many that are before it does."""
    endpoint = endpoint_or_404(endpoint_id)
    form = AgainForm(posted(request))
    if form.is_valid():
        since = timezone.now() - SINCE[form.cleaned_data["since"]][1]
        try:
            count = services.send_failed_again(endpoint=endpoint, since=since, by=actor_of(request))
        except services.UnableToSend as error:
            add_refusal(form, error)
        else:
            text = f"{count:,} {'delivery' if count == 1 else 'deliveries'} queued."
            url = reverse("webhooks:detail", args=[endpoint_id])
            return done(request, url, text, event=CHANGED)
    now = timezone.now()
    failed = [
        (label, services.failed_since(endpoint, now - back).count())
        for label, back in SINCE.values()
    ]
    context = {"endpoint": endpoint, "form": form, "failed": failed, "any": failed[-1][1]}
    return render_dialog(request, "webhooks/again.html", context)


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def test(request: HttpRequest, endpoint_id: str) -> HttpResponse:
    """Send examples, then watch them arrive."""
    endpoint = endpoint_or_404(endpoint_id)
    form = TestForm(endpoint, posted(request))
    if form.is_valid():
        try:
            sent = services.send_test(
                endpoint=endpoint, types=form.cleaned_data["events"], by=actor_of(request)
            )
        except UserError as error:
            add_refusal(form, error)
        else:
            if wants_fragment(request):
                shown = render_dialog(request, "webhooks/tested.html", _tested(endpoint, sent))
                return hx_trigger(shown, **{CHANGED: None})
            query = urlencode({"event": [d.event.public_id for d in sent]}, doseq=True)
            return redirect(f"{reverse('webhooks:tested', args=[endpoint_id])}?{query}")
    return render_dialog(request, "webhooks/test.html", {"endpoint": endpoint, "form": form})


@require_safe
@never_cache
@role_required(Role.ADMIN)
def tested(request: HttpRequest, endpoint_id: str) -> HttpResponse:
    """Show the progress of a test, until each example has arrived or failed."""
    endpoint = endpoint_or_404(endpoint_id)
    ids = request.GET.getlist("event")[:20]
    sent = list(
        endpoint.deliveries.filter(event__public_id__in=ids, event__is_test=True)
        .select_related("event")
        .order_by("pk")
    )
    context = _tested(endpoint, sent)
    response = render_dialog(request, "webhooks/tested.html", context)
    waits = context["waits"] or not wants_fragment(request)
    return response if waits else stop_polling(response)


def _tested(endpoint: Endpoint, sent: list[Delivery]) -> dict[str, Any]:
    waits = any(delivery.state == "pending" for delivery in sent)
    late = any(timezone.now() - d.event.created_at > SLOW_TO_SETTLE for d in sent) and waits
    return {"endpoint": endpoint, "sent": sent, "waits": waits, "late": late}


def _delivery_or_404(endpoint_id: str, event_id: str) -> Delivery:
    rows = Delivery.objects.select_related("endpoint__agent", "event__conversation")
    return get_object_or_404(rows, endpoint__public_id=endpoint_id, event__public_id=event_id)
