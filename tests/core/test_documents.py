"""Documents point to files that exist."""

import re
from pathlib import Path
from pkgutil import resolve_name

import pytest
from django.conf import settings

ROOT = settings.BASE_DIR
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
CODE = ("apps", "config", "templates", "bench")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_lead_to_files(path: Path) -> None:
    text = re.sub(r"```.*?```|`[^`]*`", "", path.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    files = [target for target in targets if "://" not in target]
    assert [target for target in files if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_named_files_exist(path: Path) -> None:
    named = re.findall(
        r"`((?:apps|config|templates|static|tests|docs|bench|deploy)/[\w./-]+)`", path.read_text()
    )
    assert [file for file in named if not (ROOT / file).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_modules_and_templates_named_without_a_folder_exist(path: Path) -> None:
    named = re.findall(r"`((?!tests/)(?:[\w-]+/)*[\w-]+\.(?:py|html))`", path.read_text())
    code = {f"/{file.relative_to(ROOT)}" for top in CODE for file in (ROOT / top).rglob("*.*")}
    assert [file for file in named if not any(known.endswith(f"/{file}") for known in code)] == []


def test_functions_named_in_the_architecture_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = re.findall(r"`(apps\.[\w.]+)`", text)
    assert len(named) > 30
    for function in named:
        resolve_name(function)


def test_records_named_in_code_exist() -> None:
    numbers = {path.name[:4] for path in (ROOT / "docs" / "decisions").glob("*.md")}
    for folder in ("apps", "config"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            cited = set(re.findall(r"[Dd]ecisions? (\d{4})\b", path.read_text()))
            assert cited <= numbers, name(path)
