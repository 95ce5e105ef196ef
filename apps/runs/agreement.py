"""What was shown before Save, as a signed token, so that nothing else can be agreed to.

The token carries what was asked and the figures that were shown. Save counts again as of the
same moment and refuses where it would do more, cost more, or read with other configs than shown.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.core import signing

from apps.core.display import money
from apps.core.errors import BadRequest, Conflict, Example

from .options import Options
from .preview import Preview

_SALT = "backfill.agreement"
#: A figure that was shown longer ago than this is looked at again, in seconds.
MAX_AGE_SECONDS = 24 * 3600


class InvalidToken(BadRequest):
    """The token is not one that Debrief gave out, or is too old."""

    code = "invalid_token"
    example = Example(
        "This preview cannot be saved any more. Look at the figures again and save those."
    )


class PreviewOutdated(Conflict):
    """What Save would do is no longer what was shown; ``preview`` has the new figures."""

    code = "preview_outdated"
    example = Example("A draft was edited since the figures were shown. Look at them again.")

    def __init__(self, message: str, preview: Preview) -> None:
        super().__init__(message)
        self.preview = preview


@dataclass(frozen=True, slots=True)
class Agreement:
    """The figures of a token, read back. ``nonce`` is the same for each Save of one form.

    ``configs`` is the hash of the config by route, of the routes that were to be analysed.
    """

    nonce: str
    asked: str
    as_of: datetime
    to_analyze: int
    cost: Decimal | None
    configs: Mapping[str, str]


def token_for(preview: Preview) -> str:
    """The token that stands behind a preview's Save button."""
    return signing.dumps(
        {
            "nonce": secrets.token_hex(16),
            "asked": asked(preview.channel, preview.filters, preview.options),
            "as_of": preview.as_of.isoformat(),
            "to_analyze": preview.to_analyze,
            "cost": None if preview.estimate.cost is None else str(preview.estimate.cost),
            "configs": _configs(preview),
        },
        salt=_SALT,
        compress=True,
    )


def read_token(token: str) -> Agreement:
    """What a token says. Raises InvalidToken for one that was changed, made up or is too old."""
    try:
        data = signing.loads(token, salt=_SALT, max_age=MAX_AGE_SECONDS)
    except signing.BadSignature:
        raise InvalidToken(
            "This preview cannot be saved any more. Look at the figures again and save those."
        ) from None
    return Agreement(
        nonce=data["nonce"],
        asked=data["asked"],
        as_of=datetime.fromisoformat(data["as_of"]),
        to_analyze=data["to_analyze"],
        cost=None if data["cost"] is None else Decimal(data["cost"]),
        configs=data["configs"],
    )


def asked(channel: str, filters: Mapping[str, Sequence[str]], options: Options) -> str:
    """A hash of the question, so that a token cannot be used for another one."""
    text = json.dumps(
        [channel, {k: sorted(v) for k, v in sorted(filters.items())}, options.as_dict()],
        default=str,
    )
    return hashlib.sha256(text.encode()).hexdigest()


def check(agreement: Agreement, preview: Preview) -> None:
    """Raise PreviewOutdated where the figures grew or the prompts changed since they were shown."""
    if agreement.asked != asked(preview.channel, preview.filters, preview.options):
        raise PreviewOutdated(
            "The filters are not those of the figures that were shown. Look at them again.",
            preview,
        )
    if _edited(agreement.configs, _configs(preview)):
        raise PreviewOutdated(
            "A draft was edited since the figures were shown. Look at them again.", preview
        )
    if preview.to_analyze > agreement.to_analyze:
        raise PreviewOutdated(
            f"{preview.to_analyze:,} conversations would be analysed now; they were "
            f"{agreement.to_analyze:,} when the figures were shown. Look at them again.",
            preview,
        )
    if _grew(agreement.cost, preview.estimate.cost):
        raise PreviewOutdated(
            f"It would cost {money(preview.estimate.cost)} now; it was {money(agreement.cost)} "
            "when the figures were shown. Look at them again.",
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
