"""The recording of a conversation whose stored address doesn't play."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from apps.accounts.access import role_required
from apps.accounts.models import Role
from apps.conversations.models import Conversation
from apps.core.http import render_either
from apps.platforms.recordings import recording_of


@require_safe
@role_required(Role.VIEWER)
def recording(request: HttpRequest, conv_id: str) -> HttpResponse:
    """Show a player with a fresh address, or the reason and where else to listen."""
    rows = Conversation.objects.select_related("agent").exclude(recording_url="")
    found: Conversation = get_object_or_404(rows, public_id=conv_id)
    context = {
        "conversation": found,
        "recording": recording_of(found, secure=request.is_secure()),
        "nav": "calls" if found.channel == "voice" else "chats",
    }
    return render_either(
        request,
        page="platforms/recording.html",
        fragment="platforms/_recording.html",
        context=context,
    )
