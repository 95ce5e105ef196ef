"""The doors of other platforms: no key, the platform's own signature instead."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from ninja import Router

from apps.core.cipher import Unreadable
from apps.core.errors import UserError
from apps.platforms import receiver
from apps.platforms.adapter import BadSignature
from apps.platforms.models import IntakePayload, IntakeSource, PayloadState
from apps.platforms.registry import PLATFORMS

from . import limits
from .auth import charge
from .errors import refusal
from .openapi import Answer, operation
from .shapes import intake as shapes

router = Router(tags=["Intake"], auth=None)
_SENDER = {BadSignature.code, receiver.NO_SECRET, Unreadable.code}


@router.post(
    "/{kind}/{source_id}",
    **operation(
        "receivePlatformWebhook",
        "Receive a platform's webhook",
        answers={200: Answer(shapes.Received, "It was taken, or there was nothing in it to take.")},
        signed=True,
        takes=shapes.Payload,
        refuses=[
            "bad_signature",
            "channel_mismatch",
            "invalid_value",
            "missing_field",
            "no_secret",
            "not_storable",
            "secret_unreadable",
            "unreadable_transcript",
        ],
    ),
)
def receive(request: HttpRequest, kind: str, source_id: str) -> HttpResponse:
    """For Retell, Vapi and ElevenLabs, each by its own scheme of signing and in its own shape; the
    page *Intake* has the address of each account's door. What is refused is kept there, with the
    reason, and can be replayed."""
    sources = IntakeSource.objects.filter(kind=kind) if kind in PLATFORMS else None
    if sources is None or "\0" in source_id:
        return refusal(404, "not_found", "There is no such door.")
    source = get_object_or_404(sources, public_id=source_id)

    def gate(sender: receiver.Sender) -> None:
        """Whoever cannot sign may not fill the disk; whoever can has as much as a key has."""
        kind = limits.INTAKE if sender == "known" else limits.CHANGE
        charge(request, kind, f"{sender}/{source.pk}")

    payload = receiver.receive(source=source, headers=request.headers, body=request.body, gate=gate)
    return _answer(payload)


def _told(payload: IntakePayload) -> str:
    """Why it is refused, as whoever sent it is told: what the page says too, but for the state of
    this installation, which concerns no sender (decision 0023)."""
    if payload.code == Unreadable.code:
        return "Signatures cannot be verified here at present; the page of this source says why."
    return payload.reason


def _answer(payload: IntakePayload) -> HttpResponse:
    if payload.state == PayloadState.REFUSED:
        status = BadSignature.status if payload.code in _SENDER else UserError.status
        return refusal(status, payload.code, _told(payload))
    conversation = payload.conversation
    return JsonResponse(
        {
            "state": payload.state,
            "conversation_id": conversation.public_id if conversation else None,
            "note": payload.note,
        }
    )
