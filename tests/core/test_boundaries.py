"""Apps write their own tables only, and every task that is named in a string exists."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings

from config.celery import app as celery

APPS = settings.BASE_DIR / "apps"
# An app's label begins the names of its tables, and no label begins another one.
WRITES = re.compile(
    r"\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|TRUNCATE(?:\s+TABLE)?|COPY)\s+(?:ONLY\s+)?"
    r'"?(?P<table>[a-z]+_[a-z_]+)',
    re.IGNORECASE,
)


def sources() -> Iterator[tuple[Path, str]]:
    for path in sorted(APPS.rglob("*.py")):
        if "migrations" not in path.parts:
            yield path, path.read_text()


def tables() -> set[str]:
    return {model._meta.db_table for model in apps.get_models(include_auto_created=True)}


def foreign_writes(path: Path, text: str) -> list[str]:
    own = f"{path.relative_to(APPS).parts[0]}_"
    written = {match["table"].lower() for match in WRITES.finditer(text)} & tables()
    return [
        f"{path.relative_to(APPS)} writes {name}" for name in written if name[: len(own)] != own
    ]


def test_no_app_writes_the_tables_of_another_one_in_sql() -> None:
    found = [problem for path, text in sources() for problem in foreign_writes(path, text)]
    assert not found, "\n".join(found)


def test_the_search_for_foreign_writes_finds_one() -> None:
    text = '"DELETE FROM analysis_analysis WHERE id = 1"'
    assert foreign_writes(APPS / "runs" / "x.py", text) == ["runs/x.py writes analysis_analysis"]
    assert foreign_writes(APPS / "analysis" / "x.py", text) == []


def enqueued() -> Iterator[tuple[str, str]]:
    """Every task of ``enqueue`` and ``wake``, also by the name of a constant of the same module."""
    for path, text in sources():
        tree = ast.parse(text)
        constants = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"enqueue", "wake"}:
                task = node.args[0]
                name = constants.get(task.id) if isinstance(task, ast.Name) else None
                yield (
                    f"{path.relative_to(APPS)}:{node.lineno}",
                    str(task.value) if isinstance(task, ast.Constant) else str(name),
                )


@pytest.fixture(scope="module")
def registered() -> set[str]:
    celery.loader.import_default_modules()
    return {name for name in celery.tasks if not name.startswith("celery.")}


def test_every_enqueued_task_is_registered(registered: set[str]) -> None:
    names = dict(enqueued())
    assert len(names) > 5
    assert {place: name for place, name in names.items() if name not in registered} == {}


def test_every_scheduled_and_routed_task_is_registered(registered: set[str]) -> None:
    scheduled = {entry["task"] for entry in celery.conf.beat_schedule.values()}
    assert scheduled | set(celery.conf.task_routes) <= registered


def test_every_task_is_named_for_an_app(registered: set[str]) -> None:
    labels = {config.label for config in apps.get_app_configs()}
    assert {name for name in registered if name.split(".")[0] not in labels} == set()


def named_modules() -> dict[str, set[str]]:
    """The modules of each app that the import contract of pyproject.toml names."""
    text = (settings.BASE_DIR / "pyproject.toml").read_text()
    contracts = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    inside = [one for one in contracts if one["name"].startswith("Inside ")]
    return {
        one["containers"][0]: {
            name.strip(" ()") for line in one["layers"] for name in line.split("|")
        }
        for one in inside
    }


def test_the_import_contract_names_every_module_of_every_app() -> None:
    named = named_modules()
    missing = []
    for app in sorted(path.parent for path in APPS.glob("*/__init__.py")):
        places = {path.stem for path in app.glob("*.py")} | {
            p.parent.name for p in app.glob("*/*.py")
        }
        places -= {"__init__", "migrations"}
        missing += [f"{app.name}.{name}" for name in places - named.get(f"apps.{app.name}", set())]
    assert not missing, f"Give these a line in [tool.importlinter]: {sorted(missing)}"
