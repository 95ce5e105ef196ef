"""Labels of filters: the text of the chips above a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlencode

from apps.agents.models import Agent
from apps.contacts.models import Contact
from apps.core import display

from .filterset import Condition
from .grammar import ValueKind, isset_label, joined, operator_label, split_group, split_name
from .sources import FieldSource

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter, drawn; ``without`` is the query of a URL that leaves it out.

    ``joined`` says that it follows another of its OR group.
    """

    parameter: str
    label: str
    operator: str
    values: tuple[str, ...]
    without: str
    error: str = ""
    joined: bool = False

    @property
    def shown(self) -> str:
        """Return the values, a few of many."""
        if len(self.values) <= _SHOWN:
            return ", ".join(self.values)
        return f"{', '.join(self.values[: _SHOWN - 1])} and {len(self.values) - _SHOWN + 1:,} more"

    @property
    def text(self) -> str:
        return " ".join(part for part in (self.label, self.operator, self.shown) if part)


class Filtered(Protocol):
    """What a list is filtered by, and how it is sorted and shown."""

    @property
    def conditions(self) -> Sequence[Condition]: ...
    def as_params(self) -> dict[str, list[str]]: ...
    def of_the_page(self) -> dict[str, list[str]]: ...


def chips(spec: Filtered) -> list[Chip]:
    """A chip for each condition, in the order asked; the search is not among them."""
    names = {**_agent_names(spec), **_contact_names(spec)}
    params = {**spec.as_params(), **spec.of_the_page()}
    conditions = {condition.parameter: condition for condition in spec.conditions}
    drawn = [(conditions[name], follows) for name, follows in joined(conditions)]
    return [
        Chip(
            parameter=condition.parameter,
            label=_label(condition),
            operator=condition.operator_label,
            values=_values(condition, names),
            without=urlencode(
                {name: v for name, v in params.items() if name != condition.parameter}, doseq=True
            ),
            joined=follows,
        )
        for condition, follows in drawn
    ]


def condition_text(condition: Condition) -> str:
    """Return a condition in words: “Score < 70”."""
    values = ", ".join(_values(condition, {}))
    return " ".join(part for part in (_label(condition), condition.operator_label, values) if part)


def refused_chips(
    params: Mapping[str, Sequence[str]], errors: Mapping[str, str], source: FieldSource
) -> list[Chip]:
    """Chips of parameters of which some are rejected, each with its message."""
    drawn = []
    for parameter, follows in joined(params):
        if parameter in {"q", "sort", "columns"}:
            continue
        given = list(params[parameter])
        name, operator = split_name(split_group(parameter)[1])
        field = source.named(name)
        label = operator_label(operator, field.kinds if field else ())
        if operator == "isset" and given in (["true"], ["false"]):
            label, given = isset_label(given == ["true"]), []
        drawn.append(
            Chip(
                parameter=parameter,
                label=field.label if field else name,
                operator=label,
                values=tuple(given),
                without=urlencode({n: v for n, v in params.items() if n != parameter}, doseq=True),
                error=errors.get(parameter, ""),
                joined=follows,
            )
        )
    return drawn


def _label(condition: Condition) -> str:
    return "Duration" if condition.field.name == "duration_ms" else condition.field.label


def _values_of(spec: Filtered, *names: str) -> set[str]:
    """Return the values that are asked for of these fields."""
    return {
        value.strip()
        for condition in spec.conditions
        if condition.field.name in names and condition.operator != "isset"
        for value in condition.values
    }


def _agent_names(spec: Filtered) -> dict[str, str]:
    asked = _values_of(spec, "agent", "transferred_to")
    if not asked:
        return {}
    agents = Agent.objects.filter(public_id__in=asked).order_by()
    return dict(agents.values_list("public_id", "name"))


def _contact_names(spec: Filtered) -> dict[str, str]:
    asked = {value for value in _values_of(spec, "contact") if "_" in value}
    if not asked:
        return {}
    return {c.public_id: str(c) for c in Contact.objects.filter(public_id__in=asked)}


def _values(condition: Condition, names: dict[str, str]) -> tuple[str, ...]:
    if condition.operator == "isset":
        return ()
    if condition.field.name == "duration_ms":
        return tuple(_durations(value) for value in condition.values)
    if condition.operator == "between":
        return tuple(value.replace(",", " \N{EN DASH} ", 1) for value in condition.values)
    labels = {**dict(condition.field.choices), **names}
    if condition.field.kinds == (ValueKind.YES_NO,):
        labels = {"true": "Yes", "yes": "Yes", "1": "Yes", "false": "No", "no": "No", "0": "No"}
    return tuple(labels.get(value.strip(), value) for value in condition.values)


def _durations(value: str) -> str:
    ends = (display.duration(int(float(end))) for end in value.split(","))
    return " \N{EN DASH} ".join(str(end) for end in ends)
