"""Which process of a test run gets which tests: `make test` has four on the two cores of CI.

A file stays together, so that what its tests share is made once. Tests of tests/faults wait more
than they compute: each is alone, between two files, so that they wait while others compute. Groups
of files (``xdist_group``) share a program that takes long to start; they come first.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

ROOT = Path(__file__).parents[1]

Unit = tuple[str, dict[str, bool]]
"""The name of tests that stay together, and which of them are done."""

WAITING = "tests/faults/"
FEW = 3


@cache
def group_of(file: str) -> str | None:
    """Return the group that a file of tests names for all of them.

    It is read from the source: xdist 3.8 adds it to the IDs of tests in a way that pytest 9.2 no
    longer notices.
    """
    found = re.search(r'\bxdist_group\("([^"]+)"\)', (ROOT / file).read_text(encoding="utf-8"))
    return found[1] if found else None


class Schedule(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Units by group, by file, and by test."""

    _is_ordered = False
    workqueue: "OrderedDict[str, dict[str, bool]]"

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return group_of(file) or (nodeid if file.startswith(WAITING) else file)

    def _assign_work_unit(self, node: WorkerController) -> None:
        if not self._is_ordered:
            self._is_ordered = True
            self.workqueue = OrderedDict(_ordered(self.workqueue.items()))
        super()._assign_work_unit(node)


def _ordered(units: Iterable[Unit]) -> list[Unit]:
    """Groups, then files from the one with the most tests, with waiting tests spread over them.

    So are files of up to three tests, of which each may be long.
    """
    groups: list[Unit] = []
    files: list[Unit] = []
    waiting: list[Unit] = []
    for unit in sorted(units, key=lambda unit: -len(unit[1])):
        name, tests = unit
        if "::" in name or (name.endswith(".py") and len(tests) <= FEW):
            waiting.append(unit)
        else:
            (files if name.endswith(".py") else groups).append(unit)
    # The last tenth of the files is short, and nothing long may start then.
    places = [(place + 1) / len(files) for place in range(len(files))]
    places += [0.9 * (place + 0.5) / len(waiting) for place in range(len(waiting))]
    order = sorted(range(len(places)), key=lambda place: places[place])
    return groups + [[*files, *waiting][place] for place in order]
