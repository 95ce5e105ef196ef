"""Check whether a model responds, and which cheaper lanes its provider has."""

from dataclasses import dataclass

from apps.llm.batch_api import BatchApi, BatchFault
from apps.llm.models import LanguageModel
from apps.llm.pricing import FLEX
from apps.llm.probes import Probe, probe
from apps.llm.services import why_unreachable

SECONDS = 15.0
"""The time-out of each request of a check: a person waits for it."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What a check found. ``problem`` is empty where the model responds. None: unknown."""

    problem: str
    has_flex: bool | None = None
    has_batches: bool | None = None

    @property
    def sentence(self) -> str:
        """Return the findings, for people."""
        if self.problem:
            return self.problem
        return f"It responds. {batches_sentence(self.has_batches)} {_flex(self.has_flex)}"


def batches_sentence(has_batches: bool | None) -> str:  # noqa: FBT001
    """Return whether the economy lane can be used."""
    if has_batches is None:
        return "Whether its provider has a Batch API is unknown."
    if has_batches:
        return "Its provider has a Batch API, so that economy can be offered."
    return "Its provider has no Batch API, so that economy isn’t offered."


def _flex(has_flex: bool | None) -> str:  # noqa: FBT001
    if has_flex is None:
        return "Whether it has a flex tier is unknown."
    return "It has a flex tier." if has_flex else "It has no flex tier."


def check_connection(model: LanguageModel) -> Connection:
    """Ask a model a tiny question, and its provider for a list of batches; store the findings.

    Call it from a thread without an event loop. It takes up to three time-outs.
    """
    spec = model.spec()
    if problem := why_unreachable(spec):
        return Connection(problem)
    asked = flex = probe(spec, tier=FLEX, seconds=SECONDS)
    has_flex: bool | None = flex.answer.service_tier == FLEX
    if not has_flex:
        asked = probe(spec, seconds=SECONDS)
        if _problem(asked) or flex.answer.transient:  # it may have no capacity now
            has_flex = None
    found = Connection(_problem(asked), has_flex, ask_for_batches(model))
    seen = {"has_flex": found.has_flex, "has_batches": found.has_batches}
    known = {name: value for name, value in seen.items() if value is not None}
    if known:
        LanguageModel.objects.filter(pk=model.pk).update(**known)
    return found


def _problem(asked: Probe) -> str:
    """Return why a model can't be asked. Its response to so small a question matters little."""
    return "" if asked.is_back and asked.answer.usage.total else asked.answer.error_message


def ask_for_batches(model: LanguageModel) -> bool | None:
    """Return whether a model's provider has a Batch API; None where it doesn't say so clearly.

    The bundled model has none. Nothing is charged.
    """
    if model.is_local:
        return False
    try:
        with BatchApi(model.spec(), seconds=SECONDS) as api:
            return api.is_there()
    except BatchFault:
        return None
