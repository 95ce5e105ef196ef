"""Sign the estimate that a form shows, and hold the start of the run to it.

The token carries a hash of the question and the estimate. Starting counts again as of the same
moment, and is rejected where the run would do more, cost more or use other prompts.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core import signing

from apps.core.display import money
from apps.core.errors import BadRequest, Conflict, Example

from .models import Kind
from .options import Options
from .preview import Preview

#: An estimate is valid for this many seconds.
MAX_AGE_SECONDS = 24 * 3600
DRAFT_CHANGED = "A draft changed after this estimate. Review the new one."


class InvalidToken(BadRequest):
    """Raised for a token that Debrief did not issue, or that has expired."""

    code = "invalid_token"
    example = Example("This estimate has expired. Review the new one, then start again.")


class PreviewOutdated(Conflict):
    """What Save would do is no longer what was shown.

    ``preview`` has the new figures, None where counting them took too long.
    """

    code = "preview_outdated"
    example = Example(DRAFT_CHANGED)

    def __init__(self, message: str, preview: Preview | None) -> None:
        super().__init__(message)
        self.preview = preview


@dataclass(frozen=True, slots=True)
class Agreement:
    """The figures of a token, read back. ``nonce`` is the same for each Save of one form.

    ``configs`` is the hash of the config by route, of the routes that were to analyze, and
    ``sessions`` how many of each. ``estimate`` is `Preview.estimate_json`.
    """

    nonce: str
    asked: str
    as_of: datetime
    to_analyze: int
    cost: Decimal | None
    configs: Mapping[str, str]
    sessions: Mapping[str, int]
    estimate: Mapping[str, Any]


def sign(data: Mapping[str, Any], *, kind: Kind) -> str:
    """Return a token of an estimate for one run of this kind, with a fresh ``nonce``."""
    return signing.dumps(
        {"nonce": secrets.token_hex(16), **data}, salt=f"runs.{kind.value}", compress=True
    )


def unsign(token: str, *, kind: Kind) -> dict[str, Any]:
    """Return the data of a token. Raises InvalidToken for one that is expired or not ours."""
    try:
        data: dict[str, Any] = signing.loads(
            token, salt=f"runs.{kind.value}", max_age=MAX_AGE_SECONDS
        )
    except signing.BadSignature:
        raise InvalidToken from None
    return data


def question_hash(channel: str, filters: Mapping[str, Sequence[str]], *options: object) -> str:
    """Return a hash of what a form asks for, so that a token counts for nothing else."""
    normal = {name: sorted(values) for name, values in sorted(filters.items())}
    text = json.dumps([channel, normal, *options], default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def token_for(preview: Preview) -> str:
    """Return the token behind the Save button of a preview."""
    return sign(
        {
            "asked": asked(preview.channel, preview.filters, preview.options),
            "as_of": preview.as_of.isoformat(),
            "to_analyze": preview.to_analyze,
            "cost": None if preview.estimate.cost is None else str(preview.estimate.cost),
            "configs": _configs(preview),
            "sessions": {g.route: g.to_analyze for g in preview.groups if g.to_analyze},
            "estimate": preview.estimate_json(),
        },
        kind=Kind.BACKFILL,
    )


def read_token(token: str) -> Agreement:
    """Return the agreement of a token. Raises InvalidToken."""
    data = unsign(token, kind=Kind.BACKFILL)
    cost = data.pop("cost")
    return Agreement(
        **{**data, "as_of": datetime.fromisoformat(data["as_of"])},
        cost=None if cost is None else Decimal(cost),
    )


def asked(channel: str, filters: Mapping[str, Sequence[str]], options: Options) -> str:
    """Return the `question_hash` of a backfill. A budget asks for nothing more."""
    return question_hash(channel, filters, replace(options, budget=None).as_dict())


def check(agreement: Agreement, preview: Preview) -> None:
    """Raise PreviewOutdated where the figures grew or the prompts changed since they were shown."""
    if agreement.asked != asked(preview.channel, preview.filters, preview.options):
        raise PreviewOutdated(
            "The filters changed after this estimate. Review the new one.",
            preview,
        )
    if _edited(agreement.configs, _configs(preview)):
        raise PreviewOutdated(DRAFT_CHANGED, preview)
    if preview.to_analyze > agreement.to_analyze:
        raise PreviewOutdated(
            f"Now {preview.to_analyze:,} conversations match (was {agreement.to_analyze:,}). "
            "Review the new estimate.",
            preview,
        )
    if _grew(agreement.cost, preview.estimate.cost):
        raise PreviewOutdated(
            f"The estimated cost is now {money(preview.estimate.cost)} "
            f"(was {money(agreement.cost)}). Review it before starting.",
            preview,
        )


def _grew(before: Decimal | None, now: Decimal | None) -> bool:
    """Whether the figure that people see became larger.

    Estimates follow the usage that is seen while other runs work: what moves below the digits
    that were shown is no other price. One that became known was agreed to unknown.
    """
    if before is None or now is None:
        return before is not None
    return now > before and money(now) != money(before)


def _edited(before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Whether any route is read with another config than was shown. Fewer routes are no edit."""
    shown = set(before.values())
    return any(
        before.get(route, config if config in shown else "") != config
        for route, config in now.items()
    )


def _configs(preview: Preview) -> dict[str, str]:
    return {g.route: g.plan.config.sha256 for g in preview.groups if g.to_analyze}
