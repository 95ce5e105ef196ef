"""Endpoints: made, changed, switched off and on, deleted; and sending something again."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.core import cipher, signatures
from apps.core.addresses import check_url, url_problem
from apps.core.errors import Conflict, Example, UserError
from apps.core.payloads import body_of
from apps.work.queue import make_due

from . import examples, outbox
from .models import Delivery, DeliveryState, DisabledCause, Endpoint, Event, EventType, event_id
from .record import drop_pending

OLD_SECRET_SIGNS = timedelta(hours=24)
"""How long the secret before signs as well, so that a receiver can change over."""


class InvalidEndpoint(UserError):
    """Raised for an invalid endpoint; ``fields`` names the invalid fields."""

    code = "invalid_endpoint"
    example = Example(
        "“example.com” must start with https:// or http://.",
        {"url": "“example.com” must start with https:// or http://."},
    )


class UnableToSend(Conflict):
    """Nothing can be sent to it as it is."""

    code = "not_sendable"
    example = Example("This endpoint is disabled. Enable it, then send a test.")


@transaction.atomic
def create_endpoint(
    *, url: str, events: Sequence[str], agent: Agent | None, by: Actor
) -> tuple[Endpoint, str]:
    """Make an endpoint. The text next to it is its secret: it is shown this once.

    Raises InvalidEndpoint, or PrivateAddress where the URL leads into a private network.
    """
    secret = signatures.new_secret()
    endpoint = Endpoint.objects.create(
        url=_checked_url(url),
        events=_checked_events(events),
        agent=agent,
        secret_encrypted=cipher.encrypt(secret),
        created_by=by.label,
    )
    _note(by, "created", endpoint, **_audit_details(endpoint))
    return endpoint, secret


@transaction.atomic
def change_endpoint(
    *, endpoint: Endpoint, url: str, events: Sequence[str], agent: Agent | None, by: Actor
) -> Endpoint:
    """Change the URL or the events of an endpoint. Pending deliveries go to the new URL.

    Raises what `create_endpoint` raises.
    """
    locked = _locked(endpoint)
    before = _audit_details(locked)
    if url != locked.url:  # one that was saved before the guard was switched on can still be edited
        locked.url = _checked_url(url)
        locked.rest_until = None
    locked.events, locked.agent = _checked_events(events), agent
    locked.save(update_fields=["url", "events", "agent", "rest_until"])
    if _audit_details(locked) != before:
        _note(by, "changed", locked, before=before, after=_audit_details(locked))
        outbox.wake_deliveries()
    return locked


@transaction.atomic
def rotate_secret(*, endpoint: Endpoint, by: Actor) -> str:
    """Create a new secret, which is shown only once. The old one signs as well for a day."""
    locked, secret = _locked(endpoint), signatures.new_secret()
    locked.old_secret_encrypted = locked.secret_encrypted
    locked.old_secret_until = timezone.now() + OLD_SECRET_SIGNS
    locked.secret_encrypted = cipher.encrypt(secret)
    locked.save(update_fields=["secret_encrypted", "old_secret_encrypted", "old_secret_until"])
    _note(by, "secret_rotated", locked)
    return secret


@transaction.atomic
def disable_endpoint(*, endpoint: Endpoint, by: Actor) -> int:
    """Send nothing more to it; how many events that waited were dropped.

    Nothing is noted for it while it is off. One that is off already stays as it is.
    """
    locked, now = _locked(endpoint), timezone.now()
    if not locked.is_enabled:
        return 0
    locked.disabled_at, locked.disabled_cause = now, DisabledCause.PERSON
    locked.disabled_reason = f"Disabled by {by.label}."
    locked.save(update_fields=["disabled_at", "disabled_cause", "disabled_reason"])
    dropped = drop_pending(locked, at=now)
    _note(by, "disabled", locked, cause=locked.disabled_cause, dropped=dropped)
    return dropped


def missed(endpoint: Endpoint) -> QuerySet[Delivery]:
    """Return what a disabled endpoint missed since it began to fail: failed and dropped."""
    if endpoint.disabled_at is None:
        return Delivery.objects.none()
    since = endpoint.failing_since or endpoint.disabled_at
    return _lost(endpoint).filter(finished_at__gte=since)


@transaction.atomic
def enable_endpoint(*, endpoint: Endpoint, by: Actor, send_missed: bool = False) -> int:
    """Send to it again; how many of the events that it missed are sent now, oldest first."""
    locked = _locked(endpoint)
    sent = _again(missed(locked)) if send_missed else 0
    if not locked.is_enabled:
        Endpoint.objects.filter(pk=locked.pk).update(
            disabled_at=None, disabled_cause="", disabled_reason="",
            consecutive_failures=0, failing_since=None, rest_until=None,
        )  # fmt: skip
        _note(by, "enabled", locked, sent=sent)
    outbox.wake_deliveries()
    return sent


@transaction.atomic
def delete_endpoint(*, endpoint: Endpoint, by: Actor) -> None:
    """Delete an endpoint with its deliveries. Requests in flight arrive and aren't recorded."""
    locked = Endpoint.objects.select_for_update().filter(pk=endpoint.pk).first()
    if locked is None:
        return
    _note(by, "deleted", locked, **_audit_details(locked))
    locked.delete()


@transaction.atomic
def send_test(*, endpoint: Endpoint, types: Sequence[str], by: Actor) -> list[Delivery]:
    """Send an example of each of these events, marked ``"test": true``: tried once.

    Raises UnableToSend where it is disabled, InvalidEndpoint for a type that it did not choose.
    """
    locked = _locked(endpoint)
    if not locked.is_enabled:
        raise UnableToSend("This endpoint is disabled. Enable it, then send a test.")
    chosen = _checked_events(types or locked.events)
    if left := set(chosen) - set(locked.events):
        raise InvalidEndpoint(
            f"This endpoint isn’t subscribed to {', '.join(sorted(left))}.",
            {"events": "Must be events that the endpoint is subscribed to."},
        )
    events = Event.objects.bulk_create(
        Event(public_id=event_id(), type=t, payload=body_of(examples.payload(t)), is_test=True)
        for t in chosen
    )
    made = Delivery.objects.bulk_create(
        Delivery(endpoint=locked, event=event, not_before=timezone.now()) for event in events
    )
    _note(by, "tested", locked, events=chosen)
    outbox.wake_deliveries()
    return made


@transaction.atomic
def send_again(*, delivery: Delivery, by: Actor) -> None:
    """Send one once more, with the same webhook-id; one that waits for its next try, now.

    Raises UnableToSend.
    """
    endpoint = _locked(delivery.endpoint)
    _check_enabled(endpoint)
    this = endpoint.deliveries.filter(pk=delivery.pk)
    if not _again(this) and not (_may_be_sooner(endpoint) and _sooner(this)):
        raise UnableToSend("This delivery is already queued.")
    _note(by, "resent", endpoint, event=delivery.event.public_id)
    outbox.wake_deliveries()


def failed_since(endpoint: Endpoint, since: datetime) -> QuerySet[Delivery]:
    """Return what failed or was dropped since a moment, without tests."""
    return _lost(endpoint).filter(created_at__gte=since)


def _lost(endpoint: Endpoint) -> QuerySet[Delivery]:
    lost = [DeliveryState.FAILED, DeliveryState.DROPPED]
    return endpoint.deliveries.filter(state__in=lost, event__is_test=False)


@transaction.atomic
def send_failed_again(*, endpoint: Endpoint, since: datetime, by: Actor) -> int:
    """Send again all that failed since a moment, oldest first; how many. Raises UnableToSend."""
    locked = _locked(endpoint)
    _check_enabled(locked)
    count = _again(failed_since(locked, since))
    if not count:
        raise UnableToSend("No failed deliveries in this period.")
    _note(by, "resent", locked, since=since.isoformat(), deliveries=count)
    outbox.wake_deliveries()
    return count


def _again(deliveries: QuerySet[Delivery]) -> int:
    """Let settled deliveries be tried anew, for another day."""
    return deliveries.exclude(state=DeliveryState.PENDING).update(
        state=DeliveryState.PENDING,
        not_before=timezone.now(),
        first_attempt_at=None,
        finished_at=None,
    )


def _may_be_sooner(endpoint: Endpoint) -> bool:
    """Return whether to send before the planned time: not while the endpoint is left alone."""
    return endpoint.rest_until is None or endpoint.rest_until <= timezone.now()


def _sooner(deliveries: QuerySet[Delivery]) -> int:
    """Let deliveries that wait for their next try have it now, unless one is on its way."""
    return make_due(deliveries.filter(state=DeliveryState.PENDING), timezone.now())


def _check_enabled(endpoint: Endpoint) -> None:
    if not endpoint.is_enabled:
        raise UnableToSend("This endpoint is disabled. Enable it, then send again.")


def _locked(endpoint: Endpoint) -> Endpoint:
    """Lock and return the endpoint. Endpoints are locked before their deliveries everywhere."""
    return Endpoint.objects.select_for_update(no_key=True).get(pk=endpoint.pk)


def _checked_url(url: str) -> str:
    """Return a valid web address, as entered."""
    problem = url_problem(url)
    if problem:
        raise InvalidEndpoint(problem, {"url": problem})
    check_url(url)
    return url


def _checked_events(events: Sequence[str]) -> list[str]:
    """Return known types, each once, in the order of their list."""
    unknown = [str(e)[:80] for e in events if e not in EventType.values]
    if unknown:
        known = ", ".join(EventType.values)
        raise InvalidEndpoint(
            f"Unknown event “{unknown[0]}”. Use {known}.",
            {"events": f"Unknown event “{unknown[0]}”."},
        )
    if not events:
        raise InvalidEndpoint("Select at least one event.", {"events": "Select at least one."})
    return [t for t in EventType.values if t in events]


def _audit_details(endpoint: Endpoint) -> dict[str, object]:
    """Return what the audit log says of an endpoint: the host only, as a path may hold a secret."""
    return {
        "host": urlsplit(endpoint.url).netloc,
        "events": list(endpoint.events),
        "agent": endpoint.agent.public_id if endpoint.agent else None,
    }


def _note(by: Actor, done: str, endpoint: Endpoint, **detail: object) -> None:
    audit.record(by=by, verb=f"webhook.{done}", target=endpoint.public_id, detail=detail)
