"""Find out why a recording doesn't play, and get a fresh address of it where that is possible.

Platforms keep recordings private or for a day: the address that came with the call is dead soon
after. A fresh one takes the platform's API key. Retell signs its webhooks with that key, so a
source of Retell holds it; Vapi and ElevenLabs sign with a secret that opens nothing.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.db.models import Q

from apps.conversations.models import Conversation
from apps.core import outbound
from apps.core.cipher import Unreadable, decrypt

from .models import IntakePayload, IntakeSource, Platform, SourceAgent
from .registry import GUIDES

_MOST_SOURCES = 3
_PRIVATE = frozenset({401, 403})
_GONE = frozenset({404, 410})
_NO_KEY = (
    "{platform} keeps recordings private, and its webhook secret is not its API key: Debrief "
    "can’t ask for a fresh address."
)


@dataclass(frozen=True, slots=True)
class Recording:
    """What to offer: a fresh address (``url``), or why there is none (``reason``).

    ``platform`` and ``platform_url`` say where else a person can listen, where that is known.
    """

    url: str = ""
    reason: str = ""
    platform: str = ""
    platform_url: str = ""


def recording_of(conversation: Conversation, *, secure: bool) -> Recording:
    """Return a fresh address of the recording, or the reason why it can't be played.

    ``secure`` says whether the page came over HTTPS, where a browser loads nothing over HTTP.
    """
    platform = conversation.source if conversation.source in Platform.values else ""
    label = Platform(platform).label if platform else ""
    where = {"platform": label, "platform_url": GUIDES[platform].dashboard if platform else ""}
    if platform == Platform.RETELL:
        fresh, reason = _from_retell(conversation)
        return Recording(url=fresh, reason=reason, **where)
    reason = _why(conversation.recording_url, secure=secure)
    if platform:
        reason = f"{reason} {_NO_KEY.format(platform=label)}"
    return Recording(reason=reason, **where)


def _from_retell(conversation: Conversation) -> tuple[str, str]:
    """Return the address that Retell gives now, else why it gives none."""
    reason = "No source of Retell is set up, so there is no API key to ask for a fresh address."
    for source in _sources(conversation):
        url, reason = _ask_retell(source, conversation.external_id)
        if url:
            return url, ""
    return "", reason


def _sources(conversation: Conversation) -> Iterable[IntakeSource]:
    """Return the sources that may know the call: the one that it came by comes first."""
    sources = IntakeSource.objects.filter(kind=conversation.source, secret_set_at__isnull=False)
    sent = IntakePayload.objects.filter(conversation=conversation).values("source_id")
    maps = SourceAgent.objects.filter(agent=conversation.agent).values("source_id")
    nearest = sources.filter(pk__in=sent) or sources.filter(Q(pk__in=maps)) or sources
    return nearest[:_MOST_SOURCES]


def _ask_retell(source: IntakeSource, call_id: str) -> tuple[str, str]:
    url = f"{settings.RETELL_API_URL}/v2/get-call/{quote(call_id, safe='')}"
    try:
        key = decrypt(source.secret_encrypted)
        answer = outbound.get(url, {"authorization": f"Bearer {key}"})
    except Unreadable as error:
        return "", error.message
    except (outbound.NoAnswer, ValueError):
        return "", "Retell didn’t respond. Try again in a minute."
    if answer.status in _PRIVATE:
        return "", f"Retell rejected the API key of the source “{source.name}”. Set its key anew."
    if answer.status in _GONE:
        return "", "Retell no longer has this call."
    if answer.status != 200:
        return "", f"Retell returned {answer.status}. Try again in a minute."
    return _address_in(answer.body), "Retell has no recording of this call: it expired or is off."


def _address_in(body: bytes) -> str:
    try:
        call = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    url = call.get("recording_url") if isinstance(call, dict) else None
    return url if isinstance(url, str) and url.startswith("https://") else ""


def _why(url: str, *, secure: bool) -> str:
    """Return why an address doesn't play, as far as the server there says."""
    host = urlsplit(url).hostname or "the server"
    if secure and url.startswith("http://"):
        return "The address begins with http://. Browsers don’t play it on a secure page."
    try:
        answer = outbound.get(url, {"range": "bytes=0-0"})
    except outbound.NoAnswer:
        return f"{host} can’t be reached."
    if answer.status in _PRIVATE:
        return f"{host} returned {answer.status}: the address has expired or is private."
    if answer.status in _GONE:
        return f"{host} returned {answer.status}: the recording is no longer there."
    if answer.status >= 300:
        return f"{host} returned {answer.status}."
    if not answer.content_type.startswith(("audio/", "video/", "application/octet-stream")):
        return f"{host} sends {answer.content_type}, which isn’t a recording."
    return f"{host} sends {answer.content_type}, which this browser can’t play."
