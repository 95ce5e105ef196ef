"""Sources: an account at a platform with its webhook URL, secret, rule, and map of agents.

Every change is for admins, is audited, and concerns what arrives from then on.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.core.cipher import encrypt
from apps.core.database import columns_of, read_models, some_columns
from apps.core.errors import Conflict, UserError
from apps.intake.platform_analysis import PlatformRule, rule_named

from .models import IntakePayload, IntakeSource, Platform, PlatformAnalysis, SourceAgent
from .registry import GUIDES

MAX_NAME = 100
MAX_SECRET = 500
MAX_WAIT = 1440


class SourceRefused(UserError):
    code = "invalid_source"


class NameTaken(Conflict):
    code = "source_name_taken"


@dataclass(frozen=True, slots=True)
class Removed:
    """What went with a source; conversations stay."""

    payloads: int
    agents: int


def generate_secret() -> str:
    """A secret for platforms that let the receiver choose it: 256 bits, safe in any header."""
    return secrets.token_urlsafe(32)


def webhook_path(source: IntakeSource) -> str:
    """Return the path of the source's receiver, below the host of this installation."""
    return f"/api/intake/{source.kind}/{source.public_id}"


_PART = some_columns(IntakeSource)
_BY_ID = f"""
SELECT {columns_of(_PART)} FROM platforms_intakesource WHERE kind = %s AND public_id = %s
"""  # noqa: S608 (columns named above)


def source_at(kind: str, source_id: str) -> IntakeSource | None:
    """Return the source of a receiver's path. Written out: it runs for every webhook."""
    if "\0" in source_id:
        return None
    return next((row for (row,) in read_models(_BY_ID, [kind, source_id], _PART)), None)


@transaction.atomic
def create_source(
    *,
    kind: str,
    name: str,
    secret: str,
    platform_analysis: str = PlatformAnalysis.OURS,
    wait_minutes: int = 10,
    by: Actor,
) -> IntakeSource:
    """A new source with its receiver. Raises SourceRefused, and NameTaken for a name that is there.

    An empty ``secret`` is for platforms that create it only when they know the webhook URL
    (``SetupGuide.origin``): all that arrives before ``set_secret`` is rejected, and stored.
    """
    faults = _faults(kind, name := name.strip(), platform_analysis, wait_minutes)
    secret = secret.strip()
    if secret or kind not in GUIDES or GUIDES[kind].origin != "afterwards":
        faults |= _secret_faults(secret)
    _refuse(faults)
    source = IntakeSource(
        kind=kind,
        name=name,
        secret_encrypted=encrypt(secret or generate_secret()),
        secret_set_at=timezone.now() if secret else None,
        platform_analysis=platform_analysis,
        wait_minutes=wait_minutes,
        created_by=by.label,
    )
    _save(source)
    detail = {"kind": kind, "name": name, "platform_analysis": platform_analysis}
    audit.record(by=by, verb="intake_source.created", target=source.public_id, detail=detail)
    return source


@transaction.atomic
def change_source(
    *,
    source: IntakeSource,
    by: Actor,
    name: str | None = None,
    platform_analysis: str | None = None,
    wait_minutes: int | None = None,
) -> IntakeSource:
    """Another name or rule, for what arrives from now on; None leaves a value as it is.

    Raises SourceRefused and NameTaken. Writes nothing where nothing changed.
    """
    source = IntakeSource.objects.select_for_update(no_key=True).get(pk=source.pk)
    name = source.name if name is None else name.strip()
    rule = platform_analysis or source.platform_analysis
    minutes = source.wait_minutes if wait_minutes is None else wait_minutes
    _refuse(_faults(source.kind, name, rule, minutes))
    wanted = {"name": name, "platform_analysis": rule, "wait_minutes": minutes}
    changed = {
        field: [getattr(source, field), value]
        for field, value in wanted.items()
        if getattr(source, field) != value
    }
    if changed:
        for field, (_, value) in changed.items():
            setattr(source, field, value)
        _save(source)
        audit.record(by=by, verb="intake_source.changed", target=source.public_id, detail=changed)
    return source


@transaction.atomic
def set_secret(*, source: IntakeSource, secret: str, by: Actor) -> IntakeSource:
    """Replace the secret at once: payloads signed with the old one are rejected from now on.

    Raises SourceRefused.
    """
    secret = secret.strip()
    _refuse(_secret_faults(secret))
    source.secret_encrypted = encrypt(secret)
    source.secret_set_at = timezone.now()
    source.save(update_fields=["secret_encrypted", "secret_set_at"])
    audit.record(
        by=by,
        verb="intake_source.secret_set",
        target=source.public_id,
        detail={"name": source.name},
    )
    return source


@transaction.atomic
def remove_source(*, source: IntakeSource, by: Actor) -> Removed:
    """Close the receiver for good, with its payloads and its map of agents. Conversations stay."""
    source = IntakeSource.objects.select_for_update().get(pk=source.pk)
    agents, _ = SourceAgent.objects.filter(source=source).delete()
    payloads, _ = IntakePayload.objects.filter(source=source).delete()
    detail = {"kind": source.kind, "name": source.name, "payloads": payloads, "agents": agents}
    audit.record(by=by, verb="intake_source.removed", target=source.public_id, detail=detail)
    source.delete()
    return Removed(payloads, agents)


@transaction.atomic
def map_agent(*, source: IntakeSource, external_id: str, agent: Agent, by: Actor) -> SourceAgent:
    """Map the platform's agent ``external_id`` to ``agent``. Raises SourceRefused.

    Several of the platform's agents may map to one. Stored conversations keep their agent.
    """
    external_id = external_id.strip()
    if not external_id or len(external_id) > 200:
        _refuse({"external_id": "Enter the agent’s id at the platform, of at most 200 characters."})
    mapped, created = SourceAgent.objects.select_for_update(of=("self",)).get_or_create(
        source=source, external_id=external_id, defaults={"agent": agent}
    )
    before = "" if created else mapped.agent.public_id
    if before == agent.public_id:
        return mapped
    if not created:
        mapped.agent = agent
        mapped.save(update_fields=["agent"])
    audit.record(
        by=by,
        verb="intake_source.agent_mapped",
        target=source.public_id,
        detail={"external_id": external_id, "agent": agent.public_id, "before": before},
    )
    return mapped


def _save(source: IntakeSource) -> None:
    try:
        with transaction.atomic():
            source.save()
    except IntegrityError as error:
        if "name" not in str(error):
            raise
        said = f"A source named “{source.name}” already exists. Choose another name."
        raise NameTaken(said, {"name": said}) from None


def _refuse(faults: dict[str, str]) -> None:
    if faults:
        raise SourceRefused(next(iter(faults.values())), faults)


def _faults(kind: str, name: str, platform_analysis: str, wait_minutes: int) -> dict[str, str]:
    faults = {}
    if kind not in Platform.values:
        known = ", ".join(Platform.values)
        faults["kind"] = f"The platform must be one of {known}, not “{kind[:60]}”."
    if not name:
        faults["name"] = "Enter a name."
    elif len(name) > MAX_NAME:
        faults["name"] = f"The name is {len(name)} characters long. The maximum is {MAX_NAME}."
    elif any(not c.isprintable() for c in name):
        faults["name"] = "The name contains a line break or a control character. Remove it."
    if platform_analysis not in PlatformAnalysis.values:
        known = ", ".join(PlatformAnalysis.values)
        faults["platform_analysis"] = (
            f"platform_analysis must be one of {known}, not “{platform_analysis[:60]}”."
        )
    if not 1 <= wait_minutes <= MAX_WAIT:
        faults["wait_minutes"] = f"Wait 1 to {MAX_WAIT:,} minutes, not {wait_minutes:,}."
    return faults


def _secret_faults(secret: str) -> dict[str, str]:
    if not secret:
        return {"secret": "Enter the secret. Debrief uses it to verify requests."}
    if len(secret) > MAX_SECRET:
        return {
            "secret": f"The secret is {len(secret):,} characters long. The maximum "
            f"is {MAX_SECRET}. "
            "Check that you pasted the right value."
        }
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        return {"secret": "The secret contains spaces or invalid characters. Copy it again."}
    return {}


def rules_of(conversation_ids: Iterable[int]) -> dict[int, PlatformRule]:
    """Return the rules of the sources that sent these conversations; others are left out."""
    payloads = IntakePayload.objects.filter(conversation__in=conversation_ids)
    found = payloads.exclude(source=None).order_by("pk")
    values = found.values_list(
        "conversation_id", "source__platform_analysis", "source__wait_minutes"
    )
    return {pk: rule_named(rule, minutes) for pk, rule, minutes in values}
