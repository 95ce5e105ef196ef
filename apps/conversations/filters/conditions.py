"""Turn an operator and its values into a database condition, by the kind of field.

A target reads the values (raising `BadValueError`) and returns a `Q`. Several values of one
parameter mean *any of*; of ``ne``, *none of*, and ``ne`` also matches missing values.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from operator import or_
from typing import Any, Protocol

from django.db.models import Exists, OuterRef, Q

from apps.agents.documents import SENTIMENTS
from apps.agents.models import Agent, AgentVersion, AnalysisConfig
from apps.contacts.models import Contact
from apps.conversations.models import Transfer

from . import values
from .catalog import schema_fields
from .errors import BadValueError
from .grammar import IS, ValueKind


class Target(Protocol):
    def condition(self, operator: str, raw: Sequence[str]) -> Q:
        """Return the rows that the operator and its values ask for. Raises BadValueError."""
        ...


def any_of(conditions: Sequence[Q]) -> Q:
    """Return their disjunction; an empty one never becomes “everything”."""
    return reduce(or_, conditions, Q(pk__in=[]))


def wanted(raw: Sequence[str]) -> bool:
    """Return the one yes or no of ``isset``: asking for both would match everything."""
    answers = {values.read_yes_no(item) for item in raw}
    if len(answers) > 1:
        raise BadValueError("isset takes one value, true or false, not both.")
    return answers.pop()


_TEXT_LOOKUPS = {"contains": "icontains", "startswith": "istartswith", "endswith": "iendswith"}


class TextColumn:
    """A text column, in which empty means not set."""

    lookups = _TEXT_LOOKUPS

    def __init__(
        self, *paths: str, fold: bool = False, read: Callable[[str], str] = values.read_text
    ) -> None:
        self.paths = paths
        self.read = read
        self.fold = fold  # whether upper and lower case are the same

    def condition(self, operator: str, raw: Sequence[str]) -> Q:
        if operator == "isset":
            return ~self.unset() if wanted(raw) else self.unset()
        texts = [self.read(item) for item in raw]
        if operator in self.lookups:
            lookup = self.lookups[operator]
            return any_of([Q(**{f"{p}__{lookup}": t}) for p in self.paths for t in texts])
        if self.fold:
            equal = any_of([Q(**{f"{p}__iexact": t}) for p in self.paths for t in texts])
        else:
            equal = any_of([Q(**{f"{p}__in": texts}) for p in self.paths])
        return is_or_not(operator, equal)

    def unset(self) -> Q:
        """Return the rows without a value."""
        return Q(**{self.paths[0]: ""})


class PhoneColumn(TextColumn):
    """A phone number in a text column. *Is* and *starts with* read an index."""

    def __init__(self, path: str) -> None:
        super().__init__(path, read=values.read_phone)

    def condition(self, operator: str, raw: Sequence[str]) -> Q:
        path = self.paths[0]
        if operator not in {IS, "startswith"}:
            return super().condition(operator, raw)
        texts = [self.read(item) for item in raw]
        if not all(texts) or any(text.lower() != text.upper() for text in texts):
            return super().condition(operator, raw)
        # The index has no empty numbers. What has no letters is the same in any case.
        lookup = "exact" if operator == IS else "startswith"
        return any_of([Q(**{f"{path}__{lookup}": text}) for text in texts]) & ~Q(**{path: ""})


class KeyColumn(TextColumn):
    """A text column in lower case with an index, in which null means not set.

    *Starts with* reads the index; any case is accepted.
    """

    lookups = {"contains": "contains", "startswith": "startswith", "endswith": "endswith"}

    def __init__(self, path: str, *, read: Callable[[str], str] = values.read_text) -> None:
        super().__init__(path, read=lambda raw: read(raw).strip().lower())

    def unset(self) -> Q:
        return Q(**{f"{self.paths[0]}__isnull": True})


class NumberColumn:
    """A column of numbers, whole ones where ``read`` says so."""

    def __init__(
        self,
        path: str,
        read: Callable[[str, str], tuple[Any, ...]] = values.read_integers,
    ) -> None:
        self.path = path
        self.read = read

    def condition(self, operator: str, raw: Sequence[str]) -> Q:
        if operator == "isset":
            return Q(**{f"{self.path}__isnull": not wanted(raw)})
        read = [self.read(operator, item) for item in raw]
        if operator in {IS, "ne"}:
            equal = Q(**{f"{self.path}__in": [numbers[0] for numbers in read]})
            return is_or_not(operator, equal)
        return any_of([self._compare(operator, numbers) for numbers in read])

    def _compare(self, operator: str, numbers: tuple[Any, ...]) -> Q:
        if operator == "between":
            return Q(**{f"{self.path}__gte": numbers[0], f"{self.path}__lte": numbers[1]})
        return Q(**{f"{self.path}__{operator}": numbers[0]})


class TimeColumn:
    """A column of times; a bare date is a whole day."""

    def __init__(self, path: str, *, also: str = "") -> None:
        self.path = path
        self.also = also
        """A column that holds the same where the first is set, and is the one with an index."""

    def condition(self, operator: str, raw: Sequence[str]) -> Q:
        if operator == "isset":
            return Q(**{f"{self.path}__isnull": not wanted(raw)})
        read = [values.read_moments(operator, item) for item in raw]
        if operator == "ne":
            return ~any_of([self._within(moments[0], moments[0]) for moments in read])
        return any_of([self._compare(operator, moments) for moments in read])

    def _compare(self, operator: str, moments: tuple[values.FilterMoment, ...]) -> Q:
        first, last = moments[0], moments[-1]
        if operator in {IS, "between"}:
            return self._within(first, last)
        if operator in {"gte", "lt"}:
            return self._bound(operator, first.start)
        if first.end is None:
            return self._bound(operator, first.start)
        return self._bound("gte" if operator == "gt" else "lt", first.end)

    def _within(self, first: values.FilterMoment, last: values.FilterMoment) -> Q:
        low = self._bound("gte", first.start)
        if last.end is None:
            return low & self._bound("lte", last.start)
        return low & self._bound("lt", last.end)

    def _bound(self, lookup: str, moment: object) -> Q:
        bound = Q(**{f"{self.path}__{lookup}": moment})
        return bound & Q(**{f"{self.also}__{lookup}": moment}) if self.also else bound


class ChoiceColumn:
    """A column of a closed list of values; ``""`` is not set."""

    def __init__(self, path: str, choices: Sequence[tuple[str, str]]) -> None:
        self.path = path
        self.choices = dict(choices)

    def condition(self, operator: str, raw: Sequence[str]) -> Q:
        if operator == "isset":
            unset = Q(**{self.path: ""})
            return ~unset if wanted(raw) else unset
        for item in raw:
            if item not in self.choices:
                known = ", ".join(value for value in self.choices if value)
                raise BadValueError(f"must be one of {known}, not {values.shorten(item)}.")
        equal = Q(**{f"{self.path}__in": list(raw)})
        return is_or_not(operator, equal)


class SentimentColumn(TextColumn):
    """The column that each agent's sentiment field feeds; case does not matter.

    Its values are the built-in ones and the choices of those fields. Where one of them is free
    text, any value may be there.
    """

    def __init__(self, channel: str | None) -> None:
        super().__init__("sentiment", fold=True)
        self.channel = channel

    def condition(self, operator: str, raw: Sequence[str]) -> Q:
        if operator != "isset" and (known := self.known()):
            folded = {value.casefold() for value in known}
            for item in raw:
                if values.read_text(item).casefold() not in folded:
                    raise BadValueError(
                        f"must be one of {', '.join(known)}, not {values.shorten(item)}."
                    )
        return super().condition(operator, raw)

    def known(self) -> tuple[str, ...]:
        """Return every value that may be in the column; empty where any may."""
        versions = AgentVersion.objects.exclude(sentiment_field="")
        if self.channel:
            versions = versions.filter(agent__channel=self.channel)
        names = set(versions.values_list("sentiment_field", flat=True)) - {"user_sentiment"}
        fields = schema_fields(self.channel) if names else {}
        feeding = [fields[name] for name in names if name in fields]
        if any(ValueKind.TEXT in field.kinds for field in feeding):
            return ()
        return tuple(dict.fromkeys((*SENTIMENTS, *(c for f in feeding for c in f.choices))))


class YesNoColumn:
    def __init__(self, path: str) -> None:
        self.path = path

    def condition(self, operator: str, raw: Sequence[str]) -> Q:
        if operator == "isset":
            return Q(**{f"{self.path}__isnull": not wanted(raw)})
        equal = Q(**{f"{self.path}__in": sorted({values.read_yes_no(item) for item in raw})})
        return is_or_not(operator, equal)


class Identity:
    """The public ids of conversations."""

    def condition(self, operator: str, raw: Sequence[str]) -> Q:
        equal = Q(public_id__in=[values.read_text(item).strip() for item in raw])
        return is_or_not(operator, equal)


class AgentColumn:
    """Agents by public id; an id that no agent has is a mistake, not an empty list."""

    def __init__(self, channel: str | None) -> None:
        self.channel = channel

    def condition(self, operator: str, raw: Sequence[str]) -> Q:
        if operator == "isset":
            return ~Q(pk__in=[]) if wanted(raw) else Q(pk__in=[])
        equal = Q(agent__in=agent_pks(raw, self.channel))
        return is_or_not(operator, equal)


class TransferredTo:
    """Conversations that were transferred to one of these agents."""

    def condition(self, operator: str, raw: Sequence[str]) -> Q:
        transfers = Transfer.objects.filter(conversation=OuterRef("pk"))
        if operator == "isset":
            return exists(Exists(transfers), wanted(raw))
        found = Exists(transfers.filter(to_version__agent__in=agent_pks(raw, None)))
        return is_or_not(operator, Q(found))


class ContactColumn:
    """A contact by public id, phone number, email, or parts of those and of the name."""

    _EXACT = ("public_id", "phone_number", "email")
    _PARTS = ("phone_number", "email", "first_name", "last_name")

    def condition(self, operator: str, raw: Sequence[str]) -> Q:
        if operator == "isset":
            return Q(contact__isnull=not wanted(raw))
        texts = [values.read_text(item).strip() for item in raw]
        if operator in _TEXT_LOOKUPS:
            found = TextColumn(*self._PARTS).condition(operator, texts)
        else:
            texts += [text.lower() for text in texts]  # emails are kept in lower case
            found = TextColumn(*self._EXACT).condition(IS, texts)
        matching = Q(contact__in=Contact.objects.filter(found).values("pk"))
        return matching if operator in _TEXT_LOOKUPS else is_or_not(operator, matching)


class ConfigColumn:
    """Analysis configs by name (``sha256:…``) or by the first characters of the hash."""

    def condition(self, operator: str, raw: Sequence[str]) -> Q:
        if operator == "isset":
            return Q(analysis_config__isnull=not wanted(raw))
        equal = Q(analysis_config__in=[pk for item in raw for pk in self._found(item)])
        return is_or_not(operator, equal)

    def _found(self, raw: str) -> list[int]:
        start = raw.strip().casefold().removeprefix("sha256:")
        if not 4 <= len(start) <= 64 or set(start) - set("0123456789abcdef"):
            raise BadValueError(
                f"needs sha256:… or at least four characters of the hash, "
                f"not {values.shorten(raw)}."
            )
        found = list(
            AnalysisConfig.objects.filter(sha256__startswith=start).values_list("pk", flat=True)
        )
        if not found:
            raise BadValueError(f"no analysis config matches {values.shorten(raw)}.")
        return found


def agent_pks(raw: Sequence[str], channel: str | None) -> list[int]:
    """Primary keys of agents by public id. Raises BadValueError for one that does not exist."""
    asked = {values.read_text(item).strip() for item in raw}
    agents = Agent.objects.filter(public_id__in=asked)
    if channel:
        agents = agents.filter(channel=channel)
    found = dict(agents.values_list("public_id", "pk"))
    for missing in sorted(asked - found.keys()):
        which = f"{channel} agent" if channel else "agent"
        raise BadValueError(f"knows no {which} {values.shorten(missing)}; give its id, agt_….")
    return list(found.values())


def is_or_not(operator: str, equal: Q) -> Q:
    """Return the rows that are equal, or for ``ne`` the others.

    Raises NotImplementedError for an operator that the grammar has and a field forgot.
    """
    if operator not in {IS, "ne"}:
        raise NotImplementedError(f"No condition is written for the operator {operator}.")
    return ~equal if operator == "ne" else equal


def exists(found: Exists, positive: bool) -> Q:  # noqa: FBT001  (the answer, not a switch)
    """Return the rows for which a subquery finds something, or those for which it doesn't."""
    return Q(found) if positive else Q(~found)
