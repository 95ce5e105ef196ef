"""Plain values of the app: what a model is, what a request cost.

Free of the database, so that the runners' loop, the tests and the fakes can build
them by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType

from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.core.machine import MOST_MODEL_THREADS, usable_cores

TIER_LENGTH = 20
"""The longest name of a service tier, in characters."""


class StructuredMode(models.TextChoices):
    """The way in which a server is asked for a response of a given shape."""

    AUTO = "auto", _("Automatic")
    STRICT = "strict", _("Strict JSON Schema")
    TOOL = "tool", _("Tool call")
    JSON = "json", _("JSON mode")


class Priority(models.TextChoices):
    """Who waits for a response: requests that a person waits for go first."""

    INTERACTIVE = "interactive", _("Interactive")
    LIVE = "live", _("Live")
    BACKFILL = "backfill", _("Backfill")


@dataclass(frozen=True, slots=True)
class ServerTraits:
    """What sets one kind of server apart from the others.

    The client and the forms ask a trait, never which server it is.
    """

    takes_grammar: bool = False
    """Takes llama.cpp's ``grammar``, which bounds texts and lists and leaves out blanks."""

    least_output_tokens: int = 600
    tokens_per_field: int = 160
    """A response's first cap follows the number of fields: providers charge a cap against the rate,
    and a small model writes until it meets one."""

    seconds_per_answer: float = 2.0
    """What a response is expected to take where none was seen yet."""

    first_answer_is_slow: bool = False
    """Reads the constant part of a prompt once, which takes longer than all of the rest."""

    proposed_sample: int | None = None
    """Conversations that the backfill dialog proposes, where all of them would take long."""


ANY_SERVER = ServerTraits()

BUNDLED_SERVER = ServerTraits(
    takes_grammar=True,
    least_output_tokens=300,
    tokens_per_field=96,
    # A demo call took 6 s on two cores (bench/bundled.py).
    seconds_per_answer=12.0 / min(usable_cores(), MOST_MODEL_THREADS),
    first_answer_is_slow=True,
    proposed_sample=20,
)


@dataclass(frozen=True, slots=True)
class Prices:
    """Money per million tokens. ``None`` is *unknown*, which is not zero."""

    input: Decimal | None = None
    cached: Decimal | None = None
    output: Decimal | None = None

    @property
    def known(self) -> bool:
        return self.input is not None and self.output is not None

    def times(self, factor: Decimal) -> Prices:
        """Return a share of each price; an unknown one stays unknown."""
        return Prices(*(p and p * factor for p in (self.input, self.cached, self.output)))


@dataclass(frozen=True, slots=True)
class PlannedPrices:
    """Prices that apply from a time on."""

    valid_from: datetime
    prices: Prices


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What the client must know of a model; a snapshot of a ``LanguageModel`` row.

    It carries the *name* of the environment variable with the key, never the key: a spec may be
    logged, pickled and shown.
    """

    name: str
    id: int | None = None
    base_url: str = ""
    api_key_env: str = ""
    structured_output: str = StructuredMode.AUTO.value
    parameters: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    context_tokens: int = 128_000
    max_output_tokens: int = 4_096
    max_concurrency: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    token_correction: float = 1.0
    is_local: bool = False
    free_first_run: bool = False
    prices: Prices = field(default_factory=Prices)
    planned: tuple[PlannedPrices, ...] = ()
    """Later prices, the earliest first."""
    flex_factor: Decimal | None = None
    """What the flex tier costs of the standard price, above 0 to 1; None without that tier."""
    batch_factor: Decimal | None = None
    """What the Batch API costs of the standard price; None where it isn't used."""

    def prices_at(self, at: datetime) -> Prices:
        """Return the prices that apply at a time."""
        begun = [one.prices for one in self.planned if one.valid_from <= at]
        return begun[-1] if begun else self.prices

    @property
    def server(self) -> ServerTraits:
        return BUNDLED_SERVER if self.is_local else ANY_SERVER

    @property
    def key(self) -> str:
        """Names the model among all servers: for limits and for facts learned about it."""
        return f"{self.base_url}|{self.name}"


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of one or of several requests. ``cached`` is a part of ``input``, not next to it."""

    input: int = 0
    cached: int = 0
    output: int = 0

    @property
    def total(self) -> int:
        return self.input + self.output

    def __add__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(
            self.input + other.input, self.cached + other.cached, self.output + other.output
        )

    def __sub__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(
            self.input - other.input, self.cached - other.cached, self.output - other.output
        )
