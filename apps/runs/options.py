"""What may be chosen beside the filters, read strictly."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from apps.analysis.effects import (
    UNLESS_ASKED,
    InvalidSideEffects,
    SideEffects,
    read_side_effects,
)
from apps.core.errors import UserError


class InvalidOptions(UserError):
    """An option that is unknown or out of range; ``fields`` names each."""

    code = "invalid_options"


@dataclass(frozen=True, slots=True)
class Options:
    """The choices of a backfill, at their defaults.

    At most one of ``sample_count`` and ``sample_percent`` is set; both draw by the id of the
    conversation, so that the same sample comes out each time.
    """

    sample_count: int | None = None
    sample_percent: Decimal | None = None
    include_analyzed: bool = False
    side_effects: SideEffects = UNLESS_ASKED

    @property
    def sampled(self) -> bool:
        return self.sample_count is not None or self.sample_percent is not None

    def as_dict(self) -> dict[str, Any]:
        """The form that the API shows and that is kept with the run."""
        sample: dict[str, Any] | None = None
        if self.sample_count is not None:
            sample = {"count": self.sample_count}
        elif self.sample_percent is not None:
            sample = {"percent": float(self.sample_percent)}
        return {
            "sample": sample,
            "include_analyzed": self.include_analyzed,
            "side_effects": self.side_effects.as_dict(),
            "lane": "standard",
        }


#: Accepted because callers may state the defaults; anything else is refused, not ignored.
_FIXED: dict[str, tuple[Any, ...]] = {
    "lane": (None, "", "standard"),
    "budget": (None, ""),
}
_KNOWN = {"sample", "include_analyzed", "side_effects", *_FIXED}


def read_options(data: Mapping[str, Any]) -> Options:
    """Options from the API's body or a form. Raises InvalidOptions, naming each bad one."""
    wrong = {name: f"There is no option “{name}”." for name in data if name not in _KNOWN}
    for name, allowed in _FIXED.items():
        if data.get(name) not in allowed:
            wrong[name] = f"“{data[name]}” is not supported yet; leave {name} out."
    include = data.get("include_analyzed", False)
    if not isinstance(include, bool):
        wrong["include_analyzed"] = "Must be true or false."
    count, percent = _read_sample(data.get("sample"), wrong)
    effects = _read_side_effects(data.get("side_effects"), wrong)
    if wrong:
        raise InvalidOptions(" ".join(wrong.values()), wrong)
    return Options(count, percent, bool(include), effects)


def _read_sample(sample: Any, wrong: dict[str, str]) -> tuple[int | None, Decimal | None]:
    if sample in (None, {}):
        return None, None
    if not isinstance(sample, Mapping) or len(sample) != 1 or set(sample) - {"count", "percent"}:
        wrong["sample"] = "Give either {“count”: N} or {“percent”: P}."
        return None, None
    if "count" in sample:
        return _count(sample["count"], wrong), None
    return None, _percent(sample["percent"], wrong)


def _count(value: Any, wrong: dict[str, str]) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10_000_000:
        wrong["sample"] = f"A sample is a whole number from 1 to 10,000,000, not “{value}”."
        return None
    return value


def _percent(value: Any, wrong: dict[str, str]) -> Decimal | None:
    try:
        percent = Decimal(str(value))
    except InvalidOperation:
        percent = Decimal(0)
    if isinstance(value, bool) or not percent.is_finite() or not 0 < percent <= 100:
        wrong["sample"] = f"A share is more than 0 and at most 100 percent, not “{value}”."
        return None
    return percent


def _read_side_effects(given: Any, wrong: dict[str, str]) -> SideEffects:
    try:
        return read_side_effects(given)
    except InvalidSideEffects as error:
        wrong.update(error.fields)
        return UNLESS_ASKED
