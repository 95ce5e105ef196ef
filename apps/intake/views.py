"""Ending a conversation by hand that no one else ends: a thread of the API, an interrupted call."""

from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST

from apps.accounts import audit
from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.conversations.models import Conversation
from apps.core.http import hx_redirect
from apps.intake import live

#: Longest list query that is carried along; a longer one is dropped, not cut.
ORIGIN_MAX = 4000


@require_POST
@role_required(Role.OPERATOR)
def close(request: HttpRequest, conv_id: str) -> HttpResponse:
    """End it now and ask for its analysis, then show it. One that has ended stays as it is."""
    found: Conversation = get_object_or_404(Conversation, public_id=conv_id)
    by = actor_of(request)
    if found.has_ended:
        messages.info(request, "This conversation already ended.")
    else:
        try:
            live.close(conversation=found, by=by)
        except Conversation.DoesNotExist as error:
            raise Http404("This conversation was just erased.") from error
        audit.record(by=by, verb="conversation.closed", target=found.public_id)
        messages.success(request, "Closed.")
    origin = request.POST.get("from", "").replace("\x00", "")
    page = reverse("analysis:conversation", args=[conv_id])
    query = f"?{urlencode({'from': origin})}" if 0 < len(origin) <= ORIGIN_MAX else ""
    return hx_redirect(request, page + query)
