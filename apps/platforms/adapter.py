"""What each platform provides: how it signs, what its payloads say, and how it is set up."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from apps.core.errors import Example, UserError

Verify = Callable[[str, Mapping[str, str], bytes, datetime], None]


class BadSignature(UserError):
    """No one knows who sent it, or when: it is not looked at any further."""

    code = "bad_signature"
    status = 401
    example = Example(
        "The signature timestamp is more than 5 minutes off. Check the clock on this server."
    )


@dataclass(frozen=True, slots=True)
class Arrived:
    """One payload, read.

    ``conversation`` is in the shape of docs/interfaces.md, with the platform's ids of agents; None
    where the event carries nothing to store, and ``note`` says why. ``platform_analysis`` are the
    flat values that the platform found, None where there are none to import. ``agent_names`` are
    the platform's names of its agents, by id, as far as it sends them. ``final``: the platform has
    nothing more to say of this conversation, so that no one need wait for its analysis.
    """

    event: str
    external_id: str
    conversation: dict[str, Any] | None = None
    platform_analysis: dict[str, Any] | None = None
    note: str = ""
    agent_names: Mapping[str, str] = field(default_factory=dict)
    final: bool = False


@dataclass(frozen=True, slots=True)
class SetupGuide:
    """How a source of the platform is set up.

    ``origin``: the secret exists before the source (`theirs`), Debrief makes it (`ours`), or the
    platform makes it once it knows the webhook URL (`afterwards`). ``where`` is the help of
    the secret when a source is created, ``where_afterwards`` when the secret is set later, if it
    differs. ``dashboard`` is where a person listens to calls.
    """

    kind: str
    label: str
    origin: Literal["theirs", "ours", "afterwards"]
    where: str
    events: str
    dashboard: str
    where_afterwards: str = ""

    @property
    def secret_help(self) -> str:
        """Return where the secret of an existing source is found."""
        return self.where_afterwards or self.where

    @property
    def optional(self) -> bool:
        """Return whether a source can be created without a secret."""
        return self.origin != "theirs"

    @property
    def steps(self) -> str:
        """Return the template with the steps at the platform."""
        return f"platforms/{self.kind}/steps.html"


@dataclass(frozen=True, slots=True)
class Adapter:
    """One platform.

    ``headers`` are the names, in lower case, of the headers that ``verify`` reads; it raises
    BadSignature. ``read`` raises LineRefused for a payload that isn't one of the platform's.
    """

    headers: tuple[str, ...]
    verify: Verify
    read: Callable[[Mapping[str, Any]], Arrived]
    guide: SetupGuide
