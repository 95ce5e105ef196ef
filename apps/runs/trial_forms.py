"""What the form of a trial asks: filter rows, how many, which of them first."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import QueryDict

from apps.agents.models import Agent
from apps.conversations.filters import FilterError, FilterSpec, editor, field_named, parse
from apps.conversations.filters.operators import split_name

from .models import MAX_TRIAL_SIZE, USUAL_TRIAL_SIZE
from .trial_selection import Choice, Order, choose
from .trial_services import question_hash

#: Names of this form which are no filters.
OWN = {
    *("channel", "csrfmiddlewaretoken", "token", "look", "show", "add", "remove", "drop"),
    *("of", "how_many", "which"),
}
#: Options of a backfill: a trial of its drafts only carries them along, to come back with them.
OF_A_BACKFILL = {"include_analyzed", "sample", "sample_unit", "webhooks"}
OF_A_PAGE = {"sort", "columns", "cursor", "all_matching"}

Params = dict[str, list[str]]


class HowManyForm(forms.Form):
    """How many conversations, and which of those that match."""

    how_many = forms.IntegerField(
        label="Try it on",
        min_value=1,
        max_value=MAX_TRIAL_SIZE,
        error_messages={
            "required": f"Say on how many: 1 to {MAX_TRIAL_SIZE}.",
            "invalid": f"A whole number from 1 to {MAX_TRIAL_SIZE}, please.",
            "min_value": f"At least 1, at most {MAX_TRIAL_SIZE}.",
            "max_value": f"At most {MAX_TRIAL_SIZE} at a time: a backfill does more.",
        },
        widget=forms.NumberInput(attrs={"min": 1, "max": MAX_TRIAL_SIZE}),
    )
    which = forms.ChoiceField(
        label="Which of them",
        choices=[(Order.NEWEST, "of the newest"), (Order.SAMPLE, "sampled")],
        widget=forms.Select(attrs={"aria-label": "Which of them"}),
    )


@dataclass(frozen=True)
class Question:
    """A form that was read. ``spec`` is None where a filter cannot be understood."""

    channel: str
    agent: Agent | None
    given: Params
    spec: FilterSpec | None
    errors: dict[str, str]
    form: HowManyForm
    carried: Params
    spare_row: bool

    @property
    def include_analyzed(self) -> bool:
        return bool("".join(self.carried.get("include_analyzed", [])))

    @property
    def is_clear(self) -> bool:
        """Whether everything in it was understood."""
        return self.spec is not None and self.form.is_valid()

    @property
    def sentences(self) -> list[str]:
        """What is wrong with it, each in a sentence."""
        of_form = (str(error) for errors in self.form.errors.values() for error in errors)
        return [*self.errors.values(), *of_form]

    @property
    def search(self) -> str:
        return " ".join(self.given.get("q", []))

    @property
    def chosen_ids(self) -> list[str]:
        """Conversations that were chosen one by one, which no row has room for."""
        ids = self.given.get("id", [])
        return ids if len(ids) > 1 else []

    @property
    def query(self) -> str:
        """The filters as the query of a URL, with the options of the backfill that they are of."""
        return urlencode({**self.given, **self.carried}, doseq=True)

    @property
    def hash(self) -> str:
        """A name of the question, see `services.question_hash`."""
        params = self.spec.as_params() if self.spec else {}
        options = dict(self.form.cleaned_data) if self.is_clear else {}
        return question_hash(
            channel=self.channel,
            agent=self.agent,
            params=params,
            include_analyzed=self.include_analyzed,
            **options,
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

    def rows(self) -> list[editor.EditorRow]:
        """The filter rows as the template draws them."""
        hidden = {"q"} | ({"id"} if self.chosen_ids else set())
        shown = {
            name: values
            for name, values in self.given.items()
            if name not in hidden and field_named(split_name(name)[0], self.channel)
        }
        drawn = editor.rows_of(self.channel, shown, self.errors)
        if self.spare_row:
            taken = QueryDict(mutable=True)
            taken.update({f"{row.name}-field": "" for row in drawn})
            drawn.append(editor.new_row(self.channel, taken))
        return drawn


def read_question(channel: str, data: QueryDict, *, agent: Agent | None) -> Question:
    """What a form, or an address, asks for. An agent's page begins with its own conversations; a
    new agent has none, and begins with those of all agents of its channel."""
    given = _filters(data)
    if agent and "which" not in data and not given and agent.conversations.exists():
        given = {"agent": [agent.public_id]}
    form = HowManyForm(_with_defaults(data, given, agent))
    form.is_valid()
    spec: FilterSpec | None = None
    errors: dict[str, str] = {}
    try:
        spec = parse(channel, given)
    except FilterError as error:
        errors = error.errors
    return Question(
        channel=channel,
        agent=agent,
        given=given,
        spec=spec,
        errors=errors,
        form=form,
        carried={name: data.getlist(name) for name in sorted(OF_A_BACKFILL) if name in data},
        spare_row="add" in data,
    )


def _filters(data: QueryDict) -> Params:
    removed = data.get("remove", "")
    return {
        name: values
        for name, values in editor.params_of(data).lists()
        if name not in {*OWN, *OF_A_PAGE, *OF_A_BACKFILL, removed}
        and not (name == "q" and not "".join(values).strip())
    }


def _with_defaults(data: QueryDict, given: Params, agent: Agent | None) -> dict[str, Any]:
    """Five of the newest; as many as were chosen; a sample where a backfill is tried."""
    chosen = len(given.get("id", []))
    usual = min(chosen, MAX_TRIAL_SIZE) if chosen > 1 else USUAL_TRIAL_SIZE
    return {
        "how_many": data.get("how_many", str(usual)),
        "which": data.get("which", Order.NEWEST if agent else Order.SAMPLE),
    }
