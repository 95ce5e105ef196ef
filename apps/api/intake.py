"""Webhook receivers of platforms: no key, the platform's own signature instead."""

from django.http import HttpRequest, HttpResponse
from ninja import Router

from apps.core.cipher import Unreadable
from apps.core.errors import Example, NotFound, UserError
from apps.platforms import receiver
from apps.platforms.adapter import BadSignature
from apps.platforms.models import IntakePayload, PayloadState
from apps.platforms.registry import PLATFORMS
from apps.platforms.sources import source_at

from . import limits
from .endpoints import respond
from .errors import error_response
from .openapi import Answer, operation
from .schemas import intake as schemas

router = Router(tags=["Intake"], auth=None)


class NoSecret(UserError):
    """The source can't verify signatures yet."""

    code = receiver.NO_SECRET
    status = 401
    example = Example("This source has no secret yet. Set the secret, then replay.")


class SecretUnreadable(UserError):
    """The source can't verify signatures at the moment. The reason, which concerns only this
    installation, is on the page of the source (docs/decisions/0023)."""

    code = Unreadable.code
    status = 401
    example = Example(
        "Signatures can't be verified here at the moment. The page of this source says why."
    )


_UNVERIFIED = {BadSignature.code, NoSecret.code, SecretUnreadable.code}


@router.post(
    "/{kind}/{source_id}",
    **operation(
        "receivePlatformWebhook",
        "Receive a platform webhook",
        answers={
            200: Answer(
                schemas.Received, "Accepted, or ignored because it contains nothing to store."
            )
        },
        signed=True,
        takes=schemas.Payload,
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
    """For Retell, Vapi and ElevenLabs, each with its own signature and format. The page *Sources*
    has the webhook URL of each account. It also stores rejected payloads, with the reason, and can
    replay them."""
    source = source_at(kind, source_id) if kind in PLATFORMS else None
    if source is None:
        raise NotFound("No source matches this URL.")

    def gate(sender: receiver.Sender) -> None:
        """Limit unauthenticated senders more, so that they can't fill the disk."""
        kind = limits.INTAKE if sender == "known" else limits.CHANGE
        limits.charge(request, kind, f"{sender}/{source.pk}")

    payload = receiver.receive(source=source, headers=request.headers, body=request.body, gate=gate)
    return _answer(payload)


def _answer(payload: IntakePayload) -> HttpResponse:
    if payload.state != PayloadState.REFUSED:
        return respond(schemas.Received.from_payload(payload))
    hidden = payload.code == SecretUnreadable.code
    message = SecretUnreadable().message if hidden else payload.reason
    status = 401 if payload.code in _UNVERIFIED else 422
    return error_response(status, payload.code, message)
