"""The dashboard and the alert rules in deploy/monitoring use metrics that exist."""

import json
import re
from typing import Any

import pytest
import yaml
from django.conf import settings

from config.metrics import Figures

FOLDER = settings.BASE_DIR / "deploy" / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana.json").read_text())
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"][0][
    "rules"
]
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]] + [
    rule["expr"] for rule in RULES
]


@pytest.mark.django_db
def test_every_metric_that_is_named_is_exported() -> None:
    exported = {family.name for family in Figures().collect()}
    named = set(re.findall(r"\bdebrief_\w+", " ".join(EXPRESSIONS)))
    assert named <= exported
    assert exported <= named, "The dashboard leaves these out."


@pytest.mark.django_db
def test_every_label_that_is_named_exists() -> None:
    labels = {"instance", "job"}
    for family in Figures().collect():
        for sample in family.samples:
            labels |= set(sample.labels)
    labels |= {"model_name", "trigger", "purpose"}  # of ledgers that are not empty
    text = " ".join(EXPRESSIONS)
    named = re.findall(r"(?:by|without|on) \(([\w, ]+)\)", text)
    named += re.findall(r"\{(\w+)=", text)
    assert {name.strip() for group in named for name in group.split(",")} <= labels


def test_rules_say_what_happened_and_what_to_do() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names))
    for rule in RULES:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}
    reasons = re.findall(r'reason=~"([\w|]+)"', " ".join(EXPRESSIONS))
    assert {"auth", "quota", "provider_down", "rate_limited"} == set(reasons[0].split("|"))


def test_panels_do_not_overlap() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(places) == len(set(places))
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)
