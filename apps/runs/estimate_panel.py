"""A preview as pages and the command show it: numbers with their labels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.urls import NoReverseMatch, reverse

from apps.agents.diffs import diff_configs
from apps.agents.models import AgentVersion, Channel
from apps.conversations.models import Reason
from apps.core.display import money, pace
from apps.llm.caps import any_cap
from apps.llm.models import LanguageModel

from .lanes import CHEAPER, LaneEstimate, lacking, why_lacking
from .models import Run, State
from .options import LABELS, STANDARD, read_options
from .preview import TOO_LONG, Preview, RouteGroup
from .services import question_of, token_for

#: Lines of drafts that are shown before the rest is folded.
SHOWN_DRAFTS = 4
_FEW = 20


@dataclass(frozen=True, slots=True)
class DraftNote:
    """How a draft differs from the last published version: “2 prompts changed since V4”."""

    text: str
    href: str = ""


@dataclass(frozen=True, slots=True)
class DraftLine:
    """One draft, or one fold of several, and how many conversations it reads."""

    label: str
    model: str
    price_known: bool
    conversations: int
    notes: tuple[DraftNote, ...]
    folded: bool


@dataclass(frozen=True)
class EstimatePanel:
    """The content of the preview panel."""

    preview: Preview
    token: str
    drafts: tuple[DraftLine, ...]
    reasons: tuple[tuple[int, str], ...]
    asked_already: tuple[Run, ...]

    @property
    def noun(self) -> str:
        """Return *call* or *calls*, by the number of conversations to analyze."""
        return Channel(self.preview.channel).noun(self.preview.to_analyze)

    @property
    def nouns(self) -> str:
        return Channel(self.preview.channel).noun()

    @property
    def everything(self) -> bool:
        """Return whether there is no filter, so that all conversations of the channel match."""
        return not self.preview.filters

    @property
    def too_long(self) -> list[tuple[str, str, int]]:
        """Agents whose model cannot read some transcripts: name, settings page, how many."""
        found: dict[tuple[str, str], int] = {}
        for group in self.preview.groups:
            if group.too_long:
                agent = group.plan.version.agent
                key = agent.name, reverse("agents:post_analysis", args=[agent.public_id])
                found[key] = found.get(key, 0) + group.too_long
        return [(name, href, count) for (name, href), count in found.items()]

    @property
    def reasons_total(self) -> int:
        return sum(count for count, _ in self.reasons)

    @property
    def cost(self) -> str:
        """Return the text in the Save button: “$7.24”, “free”, or “price unknown”."""
        return "free" if self.is_free else money(self.preview.estimate.cost)

    @property
    def is_free(self) -> bool:
        """Whether it costs nothing at all, as with the model that comes with Debrief."""
        return bool(self.preview.to_analyze) and self.preview.estimate.cost == 0

    @property
    def models(self) -> list[str]:
        """Names of the models that read."""
        return sorted({line.model for line in self.drafts})

    @property
    def unpriced(self) -> list[str]:
        """Return the names of models without a price."""
        return sorted({line.model for line in self.drafts if not line.price_known})

    @property
    def needs_prices(self) -> str:
        """Name what needs prices that are unknown: a budget or a spending cap; empty for none."""
        if self.unpriced and self.preview.options.budget:
            return "budget"
        agents = {group.plan.version.agent.public_id for group in self.preview.groups}
        return "spending cap" if self.unpriced and any_cap(agents) else ""

    @property
    def lanes(self) -> list[tuple[str, bool, LaneEstimate | None]]:
        """Lanes to choose from: name, whether it is chosen, estimate; none for a lack of choice.

        One that was asked for stays, without an estimate where it isn't offered.
        """
        offered = {one.lane: one for one in self.preview.lanes}
        chosen = self.preview.options.lane
        names = list(dict.fromkeys([*offered, chosen]))
        if names == [STANDARD]:
            return []
        return [(name, name == chosen, offered.get(name)) for name in names]

    @property
    def lane(self) -> str:
        """The lane that it is to have, as far as that is offered."""
        return self.preview.chosen_lane.lane

    @property
    def lacks_lane(self) -> bool:
        """Whether a lane was asked for that isn't offered."""
        return self.preview.options.lane != self.lane

    @property
    def missing_lane(self) -> tuple[str, str]:
        """The lane that was asked for and why models lack it; empty where they don't."""
        lane = self.preview.options.lane
        why = why_lacking(self._priced, lane) if self.lacks_lane else ""
        return (LABELS[lane], why) if why else ("", "")

    @property
    def _cheaper(self) -> list[str]:
        """Lanes that would cost less, neither offered nor asked for."""
        taken = {*(one.lane for one in self.preview.lanes), self.preview.options.lane}
        return [lane for lane in CHEAPER if lane not in taken]

    @property
    def cheaper_lanes(self) -> list[str]:
        """Labels of lanes that price factors would add to the choice."""
        return [LABELS[lane] for lane in self._cheaper if lacking(self._priced, lane)]

    @property
    def unknown_lanes(self) -> list[tuple[str, str]]:
        """Lanes with price factors whose provider lacks them, or isn't known to have them."""
        return [
            (LABELS[lane], why)
            for lane in self._cheaper
            if not lacking(self._priced, lane) and (why := why_lacking(self._priced, lane))
        ]

    @property
    def _priced(self) -> list[LanguageModel]:
        return [m for m in self.preview.models if m.price_known and not m.is_local]

    @property
    def pace(self) -> str:
        """The rate that the expected time comes from: “210/s”; a handful has none to speak of."""
        few = self.preview.to_analyze < _FEW
        return "" if few else pace(self.preview.to_analyze / self.preview.seconds)

    @property
    def shown_drafts(self) -> Sequence[DraftLine]:
        return self.drafts[:SHOWN_DRAFTS]

    @property
    def folded_drafts(self) -> Sequence[DraftLine]:
        return self.drafts[SHOWN_DRAFTS:]


def estimate_panel(preview: Preview) -> EstimatePanel:
    """The words to a preview, with a token to save it by."""
    return EstimatePanel(
        preview=preview,
        token=token_for(preview),
        drafts=_draft_lines([group for group in preview.groups if group.to_analyze]),
        reasons=tuple(
            (count, "too long for the model" if reason == TOO_LONG else str(Reason(reason).label))
            for reason, count in sorted(preview.not_analyzable.items(), key=lambda item: -item[1])
        ),
        asked_already=_asked_already(preview),
    )


def _asked_already(preview: Preview) -> tuple[Run, ...]:
    """Return active runs with the same request, so that a second one isn't started by accident."""
    question = question_of(preview.channel, preview.filters, preview.options)
    return tuple(
        run
        for run in Run.objects.backfills().active().exclude(state=State.CANCELLING)
        if question_of(run.channel, run.filters, read_options(run.options)) == question
    )


def _draft_lines(groups: Sequence[RouteGroup]) -> tuple[DraftLine, ...]:
    versions = [version for group in groups for version in group.plan.versions]
    published = _last_published(version.agent_id for version in versions)
    notes = {version.pk: _note(version, published.get(version.agent_id)) for version in versions}
    # Each draft's changes are told once, beside the line that is read with it most.
    return tuple(
        DraftLine(
            label=group.label,
            model=group.plan.config.model.name,
            price_known=group.plan.config.model.price_known,
            conversations=group.to_analyze,
            notes=tuple(notes.pop(v.pk) for v in group.plan.versions if v.pk in notes),
            folded=len(group.plan.versions) > 1,
        )
        for group in groups
    )


def _last_published(agent_ids: Iterable[int]) -> dict[int, AgentVersion]:
    rows = AgentVersion.objects.published().filter(agent_id__in=set(agent_ids)).with_config()
    return {row.agent_id: row for row in rows.order_by("agent_id", "-number").distinct("agent_id")}


def _note(draft: AgentVersion, published: AgentVersion | None) -> DraftNote:
    if published is None:
        return DraftNote("never published")
    diff = diff_configs(published.config.parsed(), draft.config.parsed())
    if not diff:
        return DraftNote(f"same as V{published.number}")
    return DraftNote(f"{diff.summary} since V{published.number}", _versions_url(draft))


def _versions_url(draft: AgentVersion) -> str:
    try:
        return reverse("agents:versions", args=[draft.agent.public_id])
    except NoReverseMatch:
        return ""
