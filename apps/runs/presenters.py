"""Texts about a run for pages: its filters, its options, its pace, and why it is waiting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.utils import timezone

from apps.agents.models import Agent
from apps.analysis.effects import side_effects_of
from apps.conversations.filters.grammar import joined, operator_label, split_group, split_name
from apps.conversations.filters.registry import static_fields
from apps.core.display import duration, money, number, timespan
from apps.core.pagination import CursorError, Page, page
from apps.llm.errors import ErrorCode

from .budgets import budget_of
from .changes import PARAMETERS, ChangeFilter, InvalidChange, changed_items, read_change
from .lanes import is_economy, tier_of
from .models import BY_ITSELF, ItemState, Kind, PauseReason, Run, RunItem, State
from .options import STANDARD
from .progress import Progress, progress_of_each
from .report_page import change_words

_CHANGE_LABELS = {
    "changed": "Changed",
    "unchanged": "Unchanged",
    "value": "Field",
    "from": "Before",
    "to": "After",
    "from__gte": "Before from",
    "from__lt": "Before under",
    "from__lte": "Before up to",
    "to__gte": "After from",
    "to__lt": "After under",
    "to__lte": "After up to",
}
_AGENT_FIELDS = {"agent", "transferred_to"}
#: Values of one filter that are named before the rest is counted.
_SHOWN = 3
_WAY_OUT = {
    PauseReason.BY_USER: "No new requests are sent until you resume.",
    PauseReason.AUTH: "Replace the model’s API key, then resume. Nothing was lost.",
    PauseReason.QUOTA: "Top up the account or raise its limit, then resume. Nothing was lost.",
    PauseReason.PROVIDER_DOWN: "Nothing was lost.",
    PauseReason.RATE_LIMITED: "Nothing was lost.",
    PauseReason.BATCHES: "Resume to send the rest in new batches. Nothing was lost.",
    PauseReason.BUDGET: "Change the budget to continue. Nothing was lost.",
}


@dataclass(frozen=True, slots=True)
class FilterWords:
    """One filter of a run in words, as a chip shows it."""

    label: str
    operator: str = ""
    values: str = ""
    joined: bool = False


def filter_words(runs: Sequence[Run]) -> dict[int, list[FilterWords]]:
    """Return the filters of each run by its key, in one query for all.

    They come from the stored labels, so that a run stays readable after a field is deleted.
    """
    ids = {
        value
        for run in runs
        for name, values in run.filters.items()
        if split_name(split_group(name)[1])[0] in _AGENT_FIELDS
        for value in values
    }
    agents = Agent.objects.filter(public_id__in=ids).order_by() if ids else Agent.objects.none()
    names = dict(agents.values_list("public_id", "name"))
    return {
        run.pk: [
            replace(_filter_words(run.channel, name, run.filters[name], names), joined=follows)
            for name, follows in joined(run.filters)
        ]
        for run in runs
    }


def _filter_words(
    channel: str, name: str, values: Sequence[str], agents: Mapping[str, str]
) -> FilterWords:
    if name in PARAMETERS:
        return FilterWords(_CHANGE_LABELS[name], "", ", ".join(values))
    if name == "q":
        return FilterWords("Search", "for", values[0])
    plain, operator = split_name(split_group(name)[1])
    field = static_fields(channel).get(plain)
    label = field.label if field else plain.partition(".")[2] or plain
    word = operator_label(operator, field.kinds if field else ())
    if operator == "isset":
        return FilterWords(label, "is set" if values[0] in {"true", "1", "yes"} else "is not set")
    labels = {**dict(field.choices if field else ()), **agents, "true": "Yes", "false": "No"}
    if plain == "duration_ms":
        label = "Duration"
        labels = {value: _durations(value) for value in values}
    shown = [labels.get(value, value.replace(",", " and ", 1)) for value in values]
    several = "" if len(shown) <= _SHOWN else f" and {len(shown) - _SHOWN:,} more"
    return FilterWords(label, word, ", ".join(shown[:_SHOWN]) + several)


def _durations(value: str) -> str:
    try:
        return " and ".join(duration(int(float(end))) for end in value.split(","))
    except ValueError:
        return value


def option_words(run: Run) -> str:
    """The options of a run in one line: “a sample of 500 · what had this result again”."""
    sample = run.options.get("sample") or {}
    parts = []
    if "count" in sample:
        parts.append(f"a sample of {sample['count']:,}")
    if "percent" in sample:
        parts.append(f"a sample of {number(sample['percent'])}%")
    if run.kind == Kind.BACKFILL:
        again = bool(run.options.get("include_analyzed"))
        parts.append("including up-to-date results" if again else "skipping up-to-date results")
    if budget := budget_of(run.options):
        parts.append(f"budget {money(budget)}")
    if (tier := tier_of(run.options)).name:
        without = "else at the standard price" if tier.falls_back else "waits for capacity"
        parts.append(f"flex, {without}")
    if is_economy(run.options):
        is_paid = run.options.get("batch_expired") == STANDARD
        then = "at the standard price" if is_paid else "paused"
        parts.append(f"economy, {then} after expired batches")
    effects = side_effects_of(run.options)
    if not effects.contacts:
        parts.append("contacts not updated")
    if effects.webhooks != "off":
        told = "only changed results" if effects.webhooks == "changed" else "every result"
        parts.append(f"webhooks: {told}")
    return " · ".join(parts)


def paused_because(run: Run) -> str:
    """Why a run is paused, in a few words; empty for one that is not."""
    return str(PauseReason(run.reason).label) if run.reason in PauseReason.values else ""


def way_out(run: Run) -> str:
    """What helps a run that is paused; empty for one that is not."""
    if run.reason not in PauseReason.values:
        return ""
    help_ = _WAY_OUT[PauseReason(run.reason)]
    if run.reason == PauseReason.BUDGET and run.resume_at:
        return "Debrief resumes automatically when the cap allows it. Nothing was lost."
    if PauseReason(run.reason) not in BY_ITSELF:
        return help_
    if run.resume_at is None:
        return f"{help_} Debrief has stopped trying. Resume when the provider responds again."
    left = (run.resume_at - timezone.now()).total_seconds()
    when = f"in {timespan(left)}" if left >= 1 else "now"
    return (
        f"{help_} Debrief resumes automatically when the provider responds. "
        f"Next attempt {when} (attempt {run.probes + 1})."
    )


def state_label(run: Run, failed: int) -> tuple[str, str]:
    """The kind of a run's state, by which it is colored, and its label."""
    if run.state == State.COMPLETED and failed:
        return "paused", f"Completed with {failed:,} failed"
    if run.freezing and run.state == State.QUEUED:
        return run.state, "Preparing"
    return run.state, str(run.get_state_display())


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in the list, with its progress and filters."""

    run: Run
    progress: Progress
    filters: Sequence[FilterWords]

    @property
    def state(self) -> tuple[str, str]:
        """Kind and label of the run's state, which show failures."""
        return state_label(self.run, self.progress.failed)

    @property
    def expected(self) -> Decimal | None:
        cost = self.run.estimate.get("cost")
        return None if cost is None else Decimal(cost)

    @property
    def is_free(self) -> bool:
        return self.run.is_free and not self.progress.cost


def run_lines(runs: Sequence[Run]) -> list[RunLine]:
    """Return the runs with their progress and filters, in two queries for all of them."""
    progress, filters = progress_of_each(runs), filter_words(runs)
    return [RunLine(run, progress[run.pk], filters[run.pk]) for run in runs]


PER_PAGE = 50

#: The filter of a rollback's items, as below.
_RESTORES: dict[str, tuple[str, Q]] = {
    "restored": ("Restored", Q(state=ItemState.DONE)),
    "left_alone": ("Left alone", Q(state=ItemState.SKIPPED)),
    "failed": ("Failed", Q(state=ItemState.FAILED)),
    "left": ("Remaining", Q(state__in=[ItemState.PENDING, ItemState.RUNNING])),
}
#: The filter of a mapping run's items, as below.
_APPLIED = {
    "done": ("Done", Q(state=ItemState.DONE)),
    **{name: of for name, of in _RESTORES.items() if name in {"failed", "left"}},
    "skipped": ("Skipped", Q(state=ItemState.SKIPPED)),
}
#: The filter of the items: its name in the address, its label, its rows.
_STATES: dict[str, tuple[str, Q]] = {
    "changed": ("Changed", Q(state=ItemState.DONE, changed=True)),
    "unchanged": ("Unchanged", Q(state=ItemState.DONE, changed=False)),
    "failed": ("Failed", Q(state=ItemState.FAILED)),
    "skipped": ("Skipped", Q(state=ItemState.SKIPPED)),
    "left": ("Remaining", Q(state__in=[ItemState.PENDING, ItemState.RUNNING])),
}


@dataclass(frozen=True, slots=True)
class Tab:
    """One filter of the items table."""

    name: str
    label: str
    count: int
    here: bool


@dataclass(frozen=True, slots=True)
class ItemPage:
    """Items under a filter. ``state`` and ``code`` are empty for all."""

    items: Sequence[RunItem]
    state: str
    code: str
    next_cursor: str | None
    previous_cursor: str | None
    problem: str = ""
    change: ChangeFilter | None = None

    @property
    def change_words(self) -> str:
        """Return the filter by what the run changed, in words."""
        if self.change is None:
            return ""
        return change_words(self.change)

    @property
    def change_query(self) -> str:
        """Return the filter by what the run changed as a query."""
        return urlencode(self.change.params()) if self.change else ""

    def origin(self, run: Run) -> str:
        """Return the query by which the page of a conversation finds the way back and on."""
        named = {"run": run.public_id, "state": self.state, "code": self.code}
        given = {name: value for name, value in named.items() if value}
        return urlencode(given | (self.change.params() if self.change else {}))

    @property
    def code_label(self) -> str:
        return str(ErrorCode(self.code).label) if self.code else ""


def item_page(run: Run, params: QueryDict) -> ItemPage:
    """The items that the address asks for, the newest conversation first.

    A filter or cursor that is not known shows nothing, and says so.
    """
    state, code = params.get("state", ""), params.get("code", "")
    states = states_of(run)
    if state not in {"", *states}:
        return ItemPage([], "", "", None, None, f"There is no state “{state}” of items.")
    if code not in {"", *ErrorCode.values}:
        return ItemPage([], state, "", None, None, f"There is no error code “{code}”.")
    try:
        change = read_change(params.dict())
    except InvalidChange as error:
        return ItemPage([], state, code, None, None, error.message)
    rows = _items_of(run, state, code, change)
    found: Page[RunItem] = Page([], None, None)
    problem = ""
    try:
        cursor = params.get("cursor") or None
        found = page(rows, order=["pk"], cursor=cursor, limit=PER_PAGE)
    except CursorError as error:
        problem = error.message
    cursors = found.next_cursor, found.previous_cursor
    return ItemPage(found.items, state, code, *cursors, problem, change)


def _items_of(run: Run, state: str, code: str, change: ChangeFilter | None) -> QuerySet[RunItem]:
    rows = run.items.select_related("conversation__agent")
    rows = rows.filter(states_of(run)[state][1]) if state else rows
    rows = rows.filter(pk__in=changed_items(run, change)) if change else rows
    return rows.filter(error_code=code) if code else rows


def items_beside(run: Run, params: QueryDict, conversation_id: str) -> tuple[str, str]:
    """Return the public IDs of the conversations before and after one under a filter of items.

    Both are empty where the filter is unknown, or the run doesn't have the conversation.
    """
    shown = item_page(run, params)
    here = run.items.filter(conversation__public_id=conversation_id).first()
    if shown.problem or here is None:
        return "", ""
    rows = _items_of(run, shown.state, shown.code, shown.change).exclude(conversation=None)
    found = (
        rows.filter(pk__lt=here.pk).order_by("-pk"),
        rows.filter(pk__gt=here.pk).order_by("pk"),
    )
    before, after = (side.values_list("conversation__public_id", flat=True)[:1] for side in found)
    return next(iter(before), ""), next(iter(after), "")


def states_of(run: Run) -> Mapping[str, tuple[str, Q]]:
    """Return the filters of a run's items by their names in the address."""
    states = {Kind.ROLLBACK: _RESTORES, Kind.MAPPING: _APPLIED}.get(Kind(run.kind), _STATES)
    if not run.skips_pending:
        return states
    skipped = Q(state__in=run.stored_states(ItemState.SKIPPED))
    return {
        name: (label, skipped if name in {"skipped", "left_alone"} else rows)
        for name, (label, rows) in states.items()
        if name != "left"
    }


def item_tabs(run: Run, progress: Progress, shown: ItemPage) -> list[Tab]:
    """The filters of the items with their counts; those of nothing are left out."""
    counts = {
        "changed": progress.changed,
        "unchanged": progress.unchanged,
        "failed": progress.failed,
        "skipped": progress.skipped,
        "restored": progress.done,
        "done": progress.done,
        "left_alone": progress.skipped,
        "left": progress.left,
    }
    is_all = not (shown.state or shown.problem or shown.change)
    tabs = [Tab("", "All", progress.total, is_all)]
    tabs += [
        Tab(name, label, counts[name], shown.state == name)
        for name, (label, _) in states_of(run).items()
        if counts[name] or shown.state == name
    ]
    return tabs
