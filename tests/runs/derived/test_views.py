"""Pages of derived fields: the form, its preview, and recomputing past results."""

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.actors import Actor
from apps.agents.models import DerivedField
from apps.analysis.imports import Imported, record_imported
from apps.conversations.models import Conversation
from apps.runs import batches
from apps.runs.models import Run
from tests.factories import client_as, make_conversations, make_derived_field, make_draft
from tests.factories.derived import PROPERTIES

pytestmark = [pytest.mark.django_db(transaction=True)]

CHECKS = {
    "name": "quality",
    "label": "Quality",
    "agent": "",
    "pass_mark": "60",
    "otherwise": "",
    "c0-label": "Greeting",
    "c0-points": "1",
    "c0-row-0-field": "analysis.greeting",
    "c0-row-0-was": "analysis.greeting",
    "c0-row-0-op": "",
    "c0-row-0-value": "true",
    "c1-label": "Compliance",
    "c1-points": "",
    "c1-knock": "1",
    "c1-row-0-field": "analysis.issues",
    "c1-row-0-was": "analysis.issues",
    "c1-row-0-op": "isset",
    "c1-row-0-value": "true",
}
NEW = "/derived-fields/new/?type=number&channel=voice"


@pytest.fixture
def editor() -> Client:
    return client_as("editor")


def results(count: int = 3) -> None:
    agent = make_draft(properties=PROPERTIES).agent
    record_imported(
        [Imported(one, {"greeting": True}) for one in make_conversations(agent, count)],
        by=Actor.system("tests"),
    )


def test_a_scorecard_is_created_and_past_results_follow(editor: Client) -> None:
    results()
    shown = editor.post(NEW, {**CHECKS, "show": "1"}).content.decode()
    assert "<strong>3</strong> of 3" in " ".join(shown.split())
    assert not DerivedField.objects.exists(), "a preview saves nothing"

    response = editor.post(NEW, CHECKS)
    assert response.headers["Location"] == "/derived-fields/quality/"
    card = DerivedField.objects.get().definition["scorecard"]
    assert [one["label"] for one in card["points"]] == ["Greeting"]
    assert [one["label"] for one in card["knock_outs"]] == ["Compliance"]

    page = editor.get("/derived-fields/quality/").content.decode()
    assert 'name="c1-row-0-field"' in page
    assert 'value="Greeting"' in page
    url = reverse("runs:derived_recompute", args=["quality"])
    shown = " ".join(editor.get(url).content.decode().split())
    assert "Recompute 3 past results" in shown
    token = shown.partition('name="token" value="')[2].partition('"')[0]
    response = editor.post(url, {"token": token})
    run = Run.objects.get()
    assert response.headers["Location"] == reverse("runs:detail", args=[run.public_id])
    batches.run_batches(seconds=600)
    assert set(Conversation.objects.values_list("analysis_data__quality", flat=True)) == {100}
    assert "All 3 past results are up to date." in editor.get(url).content.decode()
    assert "Recomputation" in editor.get(response.headers["Location"]).content.decode()


def test_what_is_wrong_is_said_at_its_place_and_nothing_is_lost(editor: Client) -> None:
    results(0)
    wrong = {**CHECKS, "name": "Quality!", "c0-points": "many"}
    page = editor.post(NEW, wrong).content.decode()
    assert "lowercase letters" in page
    assert 'value="Greeting"' in page
    page = editor.post(NEW, {**CHECKS, "c0-points": "many"}).content.decode()
    assert "Points must be a whole number from 1 to 1,000, not “many”." in page
    assert 'value="many"' in page
    page = editor.post(NEW, {**CHECKS, "c0-row-0-field": ""}).content.decode()
    assert "Add at least one condition." in page
    assert not DerivedField.objects.exists()


@pytest.mark.parametrize("action", ["", "preview"])
def test_yes_no_field_without_conditions_asks_for_one(editor: Client, action: str) -> None:
    results(0)
    form = {"name": "angry", "label": "Angry", "agent": "", "c0-row-0-field": "", action: "1"}
    page = editor.post("/derived-fields/new/?type=boolean&channel=voice", form).content.decode()
    assert "Add at least one condition." in page
    assert "must be an object" not in page


def test_checks_are_added_and_removed_without_saving(editor: Client) -> None:
    results(0)
    page = editor.post(NEW, {**CHECKS, "more": "1"}).content.decode()
    assert 'name="c2-label"' in page
    page = editor.post(NEW, {**CHECKS, "less": "0"}).content.decode()
    assert 'name="c0-label"' not in page
    assert 'value="Compliance"' in page
    page = editor.post(NEW, {**CHECKS, "c0-add": "1"}).content.decode()
    assert 'name="c0-row-1-field"' in page
    assert not DerivedField.objects.exists()


def test_two_editors_do_not_overwrite_each_other(editor: Client) -> None:
    results(0)
    make_derived_field()
    page = editor.get("/derived-fields/quality/").content.decode()
    seen = page.partition('name="seen" value="')[2].partition('"')[0]
    make_derived_field(label="Someone else’s")
    page = editor.post("/derived-fields/quality/", {**CHECKS, "seen": seen}).content.decode()
    assert "Someone else changed “quality” in the meantime." in page
    assert DerivedField.objects.get().label == "Someone else’s"


@pytest.mark.parametrize("kind", ["boolean", "choice", "number"])
def test_forms_of_all_types_open(editor: Client, kind: str) -> None:
    make_draft(properties=PROPERTIES)
    assert editor.get(f"/derived-fields/new/?type={kind}&channel=chat").status_code == 200


def test_an_unknown_type_is_no_page(editor: Client) -> None:
    assert editor.get("/derived-fields/new/?type=text").status_code == 404


def test_a_deleted_field_is_gone_from_the_list(editor: Client) -> None:
    make_draft(properties=PROPERTIES)
    make_derived_field()
    assert "quality" in editor.get("/derived-fields/").content.decode()
    editor.post("/derived-fields/quality/delete/")
    assert "No derived fields yet" in editor.get("/derived-fields/").content.decode()
