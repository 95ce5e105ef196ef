"""Recording a group: one outcome that can't be stored spoils no other."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

import pytest
from django.db import DataError, OperationalError

from apps.work.queue import write_outcomes


@dataclass(frozen=True)
class Job:
    key: int
    token: UUID = field(default_factory=uuid4)


@dataclass(frozen=True)
class Outcome:
    job: Job
    answer: str

    def without_answer(self) -> "Outcome":
        return replace(self, answer="")


class Table:
    """Stores answers, but refuses ``bad`` and fails as often as it is told to."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.rows: dict[int, str] = {}
        self.writes = 0

    def write(self, outcomes: Sequence[Outcome]) -> None:
        self.writes += 1
        if self.failures:
            raise self.failures.pop(0)
        if any(outcome.answer == "bad" for outcome in outcomes):
            raise DataError
        self.rows |= {outcome.job.key: outcome.answer for outcome in outcomes}


def record(table: Table, *answers: str) -> None:
    outcomes = [Outcome(Job(key), answer) for key, answer in enumerate(answers)]
    write_outcomes(outcomes, table.write, without_answer=Outcome.without_answer)


def test_group_is_written_at_once() -> None:
    table = Table()
    record(table, "one", "two")
    assert (table.rows, table.writes) == ({0: "one", 1: "two"}, 1)


def test_bad_outcome_is_written_without_its_answer() -> None:
    table = Table()
    record(table, "one", "bad", "three")
    assert table.rows == {0: "one", 1: "", 2: "three"}


def test_clash_that_is_over_keeps_the_answer() -> None:
    table = Table(ValueError(), ValueError())  # the group, then the first outcome by itself
    record(table, "one", "two")
    assert table.rows == {0: "one", 1: "two"}


def test_database_that_is_away_is_left_to_the_caller() -> None:
    table = Table(OperationalError("server closed the connection"))
    with pytest.raises(OperationalError):
        record(table, "one", "two")
    assert (table.rows, table.writes) == ({}, 1)
