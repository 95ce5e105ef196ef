"""Which tests of a run stay together."""

import pytest

from tests.schedule import Schedule


@pytest.mark.parametrize(
    ("test", "unit"),
    [
        ("tests/config/test_up.py::test_a_taken_port_is_one_line", "up"),
        ("tests/browser/test_try_it.py::test_a[wide-light]", "tests/browser/test_try_it.py"),
        ("tests/faults/test_slow_clients.py::test_slow_bodies[a form]", "faults"),
        ("tests/faults/test_mid_run.py::test_a[401]", "tests/faults/test_mid_run.py::test_a[401]"),
        ("tests/core/test_display.py::test_number", "tests/core/test_display.py"),
    ],
)
def test_tests_that_share_a_program_are_one_unit(test: str, unit: str) -> None:
    assert Schedule.__new__(Schedule)._split_scope(test) == unit
