"""The tests that docs/reliability.md names exist, and are slow where the page says so."""

import ast
import re

from django.conf import settings

PAGE = (settings.BASE_DIR / "docs" / "reliability.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`( \(slow\))?", PAGE)


def _tests_of(path: str) -> dict[str, bool]:
    """The tests of a file, and whether each is slow."""
    tree = ast.parse((settings.BASE_DIR / path).read_text())
    all_slow = any(
        isinstance(node, ast.Assign) and "mark.slow" in ast.unparse(node) for node in tree.body
    )
    return {
        node.name: all_slow or any("mark.slow" in ast.unparse(one) for one in node.decorator_list)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_named_tests_exist_and_run_where_the_page_says() -> None:
    assert len(NAMED) >= 40
    wrong = []
    for path, name, slow in NAMED:
        found = _tests_of(path).get(name)
        if found is None or found != bool(slow):
            wrong.append(f"{path}::{name}: {'no test' if found is None else f'slow is {found}'}")
    assert wrong == []


def test_every_row_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    without = [row for row in rows if "`tests/" not in row]
    assert [row for row in without if "---" not in row and not row.endswith("| test |")] == []
