"""What the rollback dialog asks: which items of a run."""

from dataclasses import dataclass

from django.http import QueryDict

from apps.conversations.filters.editor import FilterForm, Params, filters_in, read_filters
from apps.core.errors import UserError
from apps.runs.changes import NAMES, PARAMETERS, ChangeFilter, InvalidChange, read_change
from apps.runs.models import Run
from apps.runs.report_page import change_words
from apps.runs.rollbacks.work import Selection

_OTHER = {"contacts", "webhooks", "preview"}


@dataclass(frozen=True)
class RollbackQuestion(FilterForm):
    """The dialog as it was read. ``change_problem`` is the error of ``changes``."""

    run: Run
    changes: Params
    change: ChangeFilter | None
    change_problem: str

    @property
    def selection(self) -> Selection | None:
        """Return the items; None where a filter is wrong."""
        if self.spec is None or self.change_problem:
            return None
        return Selection(self.run, self.spec.as_params() if self.given else {}, self.change)

    @property
    def change_fields(self) -> list[tuple[str, str]]:
        """Return the parameters of the filter by what the run changed."""
        return [(name, value) for name, values in self.changes.items() for value in values]

    @property
    def change_words(self) -> str:
        """Return the filter by what the run changed, without the name of its field."""
        return change_words(self.change) if self.change else ""


def read_rollback(run: Run, data: QueryDict) -> RollbackQuestion:
    """Read the dialog, or the address that opens it. Nothing that is wrong is left out."""
    given = filters_in(data, other=_OTHER)
    changes = {name: given.pop(name) for name in PARAMETERS if name in given}
    if data.get("remove") in NAMES:
        changes = {}
    change, problem = None, ""
    try:
        change = read_change(_single(changes))
    except UserError as error:
        problem = error.message
    return RollbackQuestion(
        **read_filters(run.channel, given, data),
        run=run,
        changes=changes,
        change=change,
        change_problem=problem,
    )


def _single(changes: Params) -> dict[str, str]:
    for name, values in changes.items():
        if len(values) != 1:
            raise InvalidChange(f"{name} takes one value.")
    return {name: values[0] for name, values in changes.items()}
