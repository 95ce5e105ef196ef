"""The form of a test run: filter rows, how many conversations, and which of them first."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import QueryDict

from apps.agents.models import Agent
from apps.conversations.filters.editor import FilterForm, Params, filters_in, read_filters
from apps.runs.models import MAX_TRIAL_SIZE, USUAL_TRIAL_SIZE
from apps.runs.options import BACKFILL_OPTIONS
from apps.runs.starting import question_hash
from apps.runs.test_runs.services import Choice, Order, choose


class HowManyForm(forms.Form):
    """How many conversations, and which of those that match."""

    how_many = forms.IntegerField(
        label="Test on",
        min_value=1,
        max_value=MAX_TRIAL_SIZE,
        error_messages={
            "required": f"Enter a number from 1 to {MAX_TRIAL_SIZE}.",
            "invalid": f"Enter a number from 1 to {MAX_TRIAL_SIZE}.",
            "min_value": f"Enter a number from 1 to {MAX_TRIAL_SIZE}.",
            "max_value": f"You can test up to {MAX_TRIAL_SIZE} at a time. "
            "To run more, use a backfill.",
        },
        widget=forms.NumberInput(attrs={"min": 1, "max": MAX_TRIAL_SIZE}),
    )
    which = forms.ChoiceField(
        label="Which of them",
        choices=[(Order.NEWEST, "of the newest"), (Order.SAMPLE, "sampled")],
        widget=forms.Select(attrs={"aria-label": "Which of them"}),
    )


@dataclass(frozen=True)
class TrialQuestion(FilterForm):
    """The form of a test run as it was read.

    ``carried`` has the options of the backfill whose drafts are tested, to return to its form.
    """

    agent: Agent | None
    form: HowManyForm
    carried: Params

    @property
    def include_analyzed(self) -> bool:
        return bool("".join(self.carried.get("include_analyzed", [])))

    @property
    def is_clear(self) -> bool:
        """Whether everything in it was understood."""
        return self.spec is not None and self.form.is_valid()

    @property
    def sentences(self) -> list[str]:
        """Return the errors of the form, as messages."""
        of_form = (str(error) for errors in self.form.errors.values() for error in errors)
        return [*self.errors.values(), *of_form]

    @property
    def query(self) -> str:
        """The filters as the query of a URL, with the options of the backfill that they are of."""
        return urlencode({**self.given, **self.carried}, doseq=True)

    @property
    def hash(self) -> str:
        """A name of the question, see `starting.question_hash`."""
        params = self.spec.as_params() if self.spec else {}
        options = dict(self.form.cleaned_data) if self.is_clear else {}
        return question_hash(
            self.channel,
            params,
            self.agent and self.agent.public_id,
            {**options, "include_analyzed": self.include_analyzed},
        )

    def choice(self) -> Choice | None:
        """What would be read; None where the question is not clear: never just anything."""
        if self.spec is None or not self.form.is_valid():
            return None
        return choose(
            self.spec,
            agent=self.agent,
            count=self.form.cleaned_data["how_many"],
            order=Order(self.form.cleaned_data["which"]),
            lacking_result=self.agent is None and not self.include_analyzed,
        )


def read_question(channel: str, data: QueryDict, *, agent: Agent | None) -> TrialQuestion:
    """What a form, or an address, asks for. An agent's page begins with its own conversations; a
    new agent has none, and begins with those of all agents of its channel."""
    given = filters_in(data, other={*BACKFILL_OPTIONS, "of", "how_many", "which"})
    if agent and "which" not in data and not given and agent.conversations.exists():
        given = {"agent": [agent.public_id]}
    form = HowManyForm(_with_defaults(data, given, agent))
    form.is_valid()
    return TrialQuestion(
        **read_filters(channel, given, data),
        agent=agent,
        form=form,
        carried={name: data.getlist(name) for name in sorted(BACKFILL_OPTIONS) if name in data},
    )


def _with_defaults(data: QueryDict, given: Params, agent: Agent | None) -> dict[str, Any]:
    """Five of the newest; as many as were chosen; a sample where a backfill is tried."""
    chosen = len(given.get("id", []))
    usual = min(chosen, MAX_TRIAL_SIZE) if chosen > 1 else USUAL_TRIAL_SIZE
    return {
        "how_many": data.get("how_many", str(usual)),
        "which": data.get("which", Order.NEWEST if agent else Order.SAMPLE),
    }
