"""docs/interfaces.md lists exactly the names that the code has."""

import json
import re
from collections.abc import Iterable
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import get_commands

from apps.accounts.models import Role
from apps.alerts.models import Cause, IncidentState, NoData, Resolution, RuleState
from apps.api.instance import api
from apps.conversations.filters.grammar import OPERATORS
from apps.conversations.filters.registry import static_fields
from apps.conversations.models import AnalysisState, Reason, Status, TransferSetting, Trigger
from apps.follow_ups.models import FollowUpState, Origin
from apps.llm.errors import ErrorCode
from apps.llm.models import Purpose
from apps.runs.models import ItemState, PauseReason, SkipReason, State
from apps.webhooks.models import DeliveryState, EventType
from config.metrics import Figures
from tests.accounts.access_table import ACCESS

PAGE = (settings.BASE_DIR / "docs" / "interfaces.md").read_text()
README = (settings.BASE_DIR / "README.md").read_text()
DOCUMENT = api.get_openapi_schema()


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"There is no section “{title}”."
    return found.group(1)


def names(text: str) -> list[str]:
    """Return what the text has in backticks."""
    return re.findall(r"`([^`\s]+)`", text)


def assert_same(listed: Iterable[str], known: Iterable[str]) -> None:
    assert sorted(listed) == sorted(known)


def test_management_commands() -> None:
    ours = {one.name for one in apps.get_app_configs() if one.name.startswith(("apps.", "config"))}
    known = [name for name, app in get_commands().items() if app in ours]
    assert_same(re.findall(r"`manage\.py (\w+)", section("Commands")), known)


def test_make_targets() -> None:
    targets = re.findall(r"^([a-z-]+):", (settings.BASE_DIR / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"`make ([a-z-]+)`", section("Commands"))) <= set(targets)


def test_environment_variables() -> None:
    source = "".join(path.read_text() for path in (settings.BASE_DIR / "config").rglob("*.py"))
    known = set(re.findall(r"(?:\benv\.\w+|_whole_number)\(\s*\"([A-Z_]+)\"", source))
    assert_same(names(section("Environment")), known)
    table = README[README.index("## Configuration") :]
    in_readme = {
        name for row in re.findall(r"^\|([^|]*)\|", table, re.MULTILINE) for name in names(row)
    }
    assert_same(in_readme, known)


def test_operations() -> None:
    known = [
        f"{method.upper()} {path}"
        for path, operations in DOCUMENT["paths"].items()
        for method in operations
    ]
    assert_same(re.findall(r"^\| `([A-Z]+ /api/[^`]+)`", section("REST API"), re.MULTILINE), known)


def test_roles_of_operations() -> None:
    rows = re.findall(r"^\| `([A-Z]+) (/api/[^`]+)` \| (\w+)", section("REST API"), re.MULTILINE)
    for method, path, role in rows:
        needed = ACCESS[path.replace("{", "<").replace("}", ">")][method]
        assert role == (needed or "signature"), f"{method} {path}"


def test_error_codes() -> None:
    document = json.dumps(DOCUMENT, default=str)
    known = set(re.findall(r'"code": "(\w+)"', document)) | {"method_not_allowed"}
    rows = re.findall(r"^\| [\d, ]+ \|(.*)\|", section("Error codes"), re.MULTILINE)
    assert_same(names("".join(rows)), known)


def test_filter_fields_and_operators() -> None:
    text = section("Filters")
    fields, operators = (
        re.search(rf"^{word}: (.*)$", text, re.MULTILINE) for word in ("Fields", "Operators")
    )
    assert fields
    assert operators
    assert_same(names(fields.group(1)), static_fields(None))
    assert_same(names(operators.group(1)), [name for name in OPERATORS if name])


@pytest.mark.parametrize(
    ("label", "choices"),
    [
        ("Conversation status", Status),
        ("Analysis state of a conversation", AnalysisState),
        ("Reason of none, pending, or skipped", Reason),
        ("Trigger", Trigger),
        ("Error of an analysis", ErrorCode),
        ("Backfill state", State),
        ("Reason of a pause", PauseReason),
        ("Backfill item", ItemState),
        ("Reason of a skipped item", SkipReason),
        ("Delivery state", DeliveryState),
        ("Alert rule state", RuleState),
        ("Without data", NoData),
        ("Incident state", IncidentState),
        ("Cause of an incident", Cause),
        ("Resolution of an incident", Resolution),
        ("Follow-up state", FollowUpState),
        ("Origin of a follow-up", Origin),
        ("Transfer setting", TransferSetting),
        ("Purpose in the ledger", Purpose),
        ("Role of a member or key", Role),
    ],
)
def test_closed_lists(label: str, choices: Any) -> None:
    found = re.search(rf"^- {label}: (.*)$", section("Closed lists"), re.MULTILINE)
    assert found
    assert names(found.group(1)) == choices.values


def test_events() -> None:
    assert names(section("Events").split("\n\n")[0]) == EventType.values


@pytest.mark.django_db
def test_metrics() -> None:
    assert_same(names(section("Metrics")), [metric.name for metric in Figures().collect()])
