"""Rerun analysis from the page: the dialog, the start, the progress, old beside new."""

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.actors import Actor
from apps.accounts.models import Role, User
from apps.analysis.imports import Imported, record_imported
from apps.analysis.models import Analysis
from apps.analysis.services import request_rerun
from apps.conversations.models import Conversation
from apps.llm.specs import Priority
from tests.factories import edit_draft, edit_prompt, make_agent, make_conversation, make_model
from tests.fakes.fixtures import FakeLLM
from tests.runners import run_queue

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
BY = Actor.system("tests")
CHARGES = (
    "Rerunning incurs charges for all models, including those that were free in the first run."
)


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(User.objects.create_user("ada", first_name="Ada", role=Role.OPERATOR))
    return client


def url(conversation: Conversation, name: str = "rerun", *args: Any) -> str:
    return reverse(f"analysis:{name}", args=[conversation.public_id, *args])


def imported(conversation: Conversation, **values: Any) -> Analysis:
    return record_imported([Imported(conversation, values)], by=BY)[0]


# The dialog


def test_dialog_says_what_will_be_used_and_what_it_costs(operator: Client) -> None:
    model = make_model(name="gpt-of-tests", input_price=Decimal(400), output_price=Decimal(1600))
    conversation = make_conversation(make_agent(name="Billing line", model=model))

    page = operator.get(url(conversation))
    dialog = operator.get(url(conversation), headers=HTMX).content.decode()

    assert b"<html" in page.content
    assert "<html" not in dialog
    assert "Billing line V0 draft" in dialog
    assert "gpt-of-tests" in dialog
    assert CHARGES in dialog
    assert "Rerun · $0." in dialog
    assert "No result yet" in dialog


def test_unknown_price_is_not_zero(operator: Client) -> None:
    model = make_model(input_price=None, output_price=None)
    conversation = make_conversation(make_agent(model=model))

    dialog = operator.get(url(conversation), headers=HTMX).content.decode()

    assert "Rerun · price unknown" in dialog


def test_dialog_tells_whether_the_prompts_have_changed(operator: Client) -> None:
    agent = make_agent()
    conversation = make_conversation(agent)
    analysis = imported(conversation, call_summary="One.")
    theirs = operator.get(url(conversation), headers=HTMX).content.decode()
    Analysis.objects.filter(pk=analysis.pk).update(config=agent.versions.get().config)
    same = operator.get(url(conversation), headers=HTMX).content.decode()
    edit_prompt(agent, "Write a summary of at most five words.")
    changed = operator.get(url(conversation), headers=HTMX).content.decode()

    assert "Imported from another platform" in theirs
    assert "No changes since the current result" in same
    assert "1 prompt changed" in changed
    assert "at most five words" in changed


@pytest.mark.parametrize(
    ("values", "sentence"),
    [({"status": "ongoing"}, "still in progress"), ({"messages": ()}, "empty transcript")],
)
def test_dialog_of_what_cannot_be_analysed(
    operator: Client, values: dict[str, Any], sentence: str
) -> None:
    conversation = make_conversation(make_agent(), **values)

    dialog = operator.get(url(conversation), headers=HTMX).content.decode()
    posted = operator.post(url(conversation), headers=HTMX)

    assert sentence in dialog
    assert '<button class="btn primary"' not in dialog
    assert posted.status_code == 200
    assert sentence in posted.content.decode()
    assert not Analysis.objects.exists()


def test_draft_with_errors_is_shown_with_them(operator: Client) -> None:
    agent = make_agent(name="Billing line")
    names = ("call_summary", "call_successful", "user_sentiment")
    edit_draft(agent, built_ins={name: {"enabled": False} for name in names})
    conversation = make_conversation(agent)

    dialog = operator.get(url(conversation), headers=HTMX).content.decode()
    posted = operator.post(url(conversation), headers=HTMX)

    assert "Billing line V0 draft has nothing to fill in" in dialog
    assert CHARGES not in dialog
    assert posted.status_code == 200
    assert not Analysis.objects.exists()


# The start


def test_start_closes_the_dialog_and_tells_the_page(operator: Client) -> None:
    conversation = make_conversation(make_agent())

    answer = operator.post(url(conversation), headers=HTMX)

    assert answer.status_code == 204
    assert "dialog:close" in answer["HX-Trigger"]
    assert "analysis:changed" in answer["HX-Trigger"]
    assert conversation.analyses.get().requested_by == "Ada"
    panel = operator.get(url(conversation, "conversation"), headers=HTMX).content.decode()
    assert 'hx-trigger="every 1s"' in panel
    assert "Queued" in panel
    assert "Rerun analysis" not in panel


def test_start_without_script_leads_to_the_page(operator: Client) -> None:
    conversation = make_conversation(make_agent())

    answer = operator.post(url(conversation))

    run = conversation.analyses.get()
    assert answer["Location"] == f"{url(conversation, 'conversation')}?run={run.public_id}"
    assert b"Queued" in operator.get(answer["Location"]).content


def test_a_second_click_says_already_running(operator: Client) -> None:
    conversation = make_conversation(make_agent())
    operator.post(url(conversation), headers=HTMX)

    again = operator.post(url(conversation), headers=HTMX)
    dialog = operator.get(url(conversation), headers=HTMX)

    assert again.status_code == 200
    assert b"already being analyzed" in again.content
    assert b"already being analyzed" in dialog.content
    assert conversation.analyses.count() == 1


def test_a_draft_saved_while_the_dialog_was_open_is_shown_first(operator: Client) -> None:
    agent = make_agent()
    conversation = make_conversation(agent)
    shown = agent.versions.get().config.sha256
    edit_prompt(agent, "Write a summary of at most five words.")

    answer = operator.post(url(conversation), {"config": shown}, headers=HTMX)
    mangled = operator.post(url(conversation), {"config": "x'"}, headers=HTMX)

    assert answer.status_code == mangled.status_code == 200
    assert b"The draft changed while this dialog was open." in answer.content
    assert not Analysis.objects.exists()


@pytest.mark.parametrize("name", ["rerun", "restore", "progress"])
def test_role_method_and_missing(client: Client, name: str) -> None:
    conversation = make_conversation(make_agent())
    arguments = [] if name == "rerun" else [imported(conversation, a=1).public_id]
    here = url(conversation, name, *arguments)
    client.force_login(User.objects.create_user("viewer", role=Role.VIEWER))
    expected = {"rerun": 403, "restore": 403, "progress": 302}[name]

    assert client.get(here).status_code == expected
    assert client.post(here).status_code == (405 if name == "progress" else 403)
    assert client.delete(here).status_code == 405
    client.force_login(User.objects.create_user("operator", role=Role.OPERATOR))
    strange = ["an_none"] if arguments else []
    assert client.get(reverse(f"analysis:{name}", args=["conv_no", *arguments])).status_code == 404
    if strange:
        assert client.get(url(conversation, name, *strange)).status_code == 404


def test_viewers_are_not_offered_what_they_cannot_do(client: Client) -> None:
    conversation = make_conversation(make_agent())
    first = imported(conversation, call_summary="One.")
    imported(conversation, call_summary="Two.")
    client.force_login(User.objects.create_user("viewer", role=Role.VIEWER))

    page = client.get(url(conversation, "conversation")).content.decode()
    history = client.get(url(conversation, "conversation"), {"tab": "history"}).content.decode()

    assert "Rerun analysis" not in page
    assert (
        reverse("analysis:restore", args=[conversation.public_id, first.public_id]) not in history
    )


# To the end, with a real runner and a server of the OpenAI protocol


@pytest.fixture
def answering(fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch) -> Conversation:
    monkeypatch.setenv("FAKE_API_KEY", "fake")
    model = make_model(base_url=fake_llm.url, api_key_env="FAKE_API_KEY")
    return make_conversation(make_agent(model=model))


@pytest.mark.django_db(transaction=True)
def test_progress_ends_with_old_beside_new(operator: Client, answering: Conversation) -> None:
    imported(answering, call_summary="What it said before.", call_successful=True, gone="x")
    operator.post(url(answering), headers=HTMX)
    run = answering.analyses.get(trigger="rerun")
    waiting = operator.get(url(answering, "progress", run.public_id), headers=HTMX)
    run_queue(Priority.INTERACTIVE, concurrency=2)
    ended = operator.get(url(answering, "progress", run.public_id), headers=HTMX)
    text = ended.content.decode()

    assert waiting.status_code == 200
    assert b'id="run"' in waiting.content
    assert ended.status_code == 286
    assert (ended["HX-Retarget"], ended["HX-Reswap"]) == ("#panel", "outerHTML")
    assert "Changes from this rerun" in text
    assert text.index("What it said before.") < text.index("Restore previous result")
    assert 'hx-trigger="every 1s"' not in text
    assert "rerun by Ada" in text
    page = operator.get(url(answering, "progress", run.public_id), follow=True)
    assert b"Changes from this rerun" in page.content


@pytest.mark.django_db(transaction=True)
def test_a_failed_rerun_says_why_and_the_old_result_stands(
    operator: Client, answering: Conversation, fake_llm: FakeLLM
) -> None:
    imported(answering, call_summary="What it said before.")
    fake_llm.always("not_json")
    run = request_rerun(conversation=answering, by=BY)
    run_queue(Priority.INTERACTIVE, concurrency=2)

    ended = operator.get(url(answering, "progress", run.public_id), headers=HTMX)
    text = ended.content.decode()

    assert ended.status_code == 286
    assert "The rerun failed" in text
    assert "<code>invalid_output</code>" in text
    assert "Sure! Here is the analysis you asked for." in text
    assert "What it said before." in text
    assert "The previous result is still current." in text


# Restoring


def test_restore_asks_first_and_then_does(operator: Client) -> None:
    conversation = make_conversation(make_agent())
    first = imported(conversation, call_summary="One.")
    imported(conversation, call_summary="Two.")
    here = url(conversation, "restore", first.public_id)

    dialog = operator.get(here, headers=HTMX).content.decode()
    assert "<html" not in dialog
    assert dialog.index("Two.") < dialog.index("One.")
    assert b"<html" in operator.get(here).content
    done = operator.post(here, headers=HTMX)
    again = operator.post(here, headers=HTMX)

    assert done.status_code == 204
    assert "analysis:changed" in done["HX-Trigger"]
    conversation.refresh_from_db()
    assert conversation.summary == "One."
    assert again.status_code == 200
    assert b"already the current result" in again.content


def test_restore_without_script(operator: Client) -> None:
    conversation = make_conversation(make_agent())
    first = imported(conversation, call_summary="One.")
    imported(conversation, call_summary="Two.")

    answer = operator.post(url(conversation, "restore", first.public_id), {"from": "q=a"})

    assert answer["Location"] == f"{url(conversation, 'conversation')}?from=q%3Da"
    assert b"One." in operator.get(answer["Location"]).content


# Whether webhooks hear of it


@pytest.mark.parametrize(("sent", "kept"), [({}, "off"), ({"webhooks": "changed"}, "changed")])
def test_a_rerun_tells_webhooks_only_where_asked(
    operator: Client, sent: dict[str, str], kept: str
) -> None:
    conversation = make_conversation(make_agent())
    dialog = operator.get(url(conversation), headers=HTMX).text
    assert '<option value="off" selected>' in dialog

    operator.post(url(conversation), sent, headers=HTMX)

    assert conversation.analyses.get().webhooks == kept


@pytest.mark.parametrize(("sent", "kept"), [({}, "off"), ({"webhooks": "all"}, "all")])
def test_a_restored_result_tells_webhooks_only_where_asked(
    operator: Client, sent: dict[str, str], kept: str
) -> None:
    conversation = make_conversation(make_agent())
    first = imported(conversation, call_summary="One.")
    imported(conversation, call_summary="Two.")
    here = url(conversation, "restore", first.public_id)
    assert '<option value="off" selected>' in operator.get(here, headers=HTMX).text

    operator.post(here, sent, headers=HTMX)

    assert conversation.analyses.get(trigger="restored").webhooks == kept


@pytest.mark.parametrize(("sent", "kept"), [({}, True), ({"contacts": "off"}, False)])
def test_a_rerun_and_a_restore_update_contacts_unless_switched_off(
    operator: Client, sent: dict[str, str], kept: bool
) -> None:
    conversation = make_conversation(make_agent())
    first = imported(conversation, call_summary="One.")
    imported(conversation, call_summary="Two.")

    operator.post(url(conversation, "restore", first.public_id), sent, headers=HTMX)
    operator.post(url(conversation), sent, headers=HTMX)

    assert conversation.analyses.get(trigger="restored").contacts is kept
    rerun = conversation.analyses.get(trigger="rerun")
    assert rerun.contacts is kept
    assert rerun.contacts is kept


def test_an_unknown_choice_is_refused_at_its_place(operator: Client) -> None:
    conversation = make_conversation(make_agent())
    first = imported(conversation, call_summary="One.")
    imported(conversation, call_summary="Two.")
    for name, *args in (("rerun",), ("restore", first.public_id)):
        answer = operator.post(url(conversation, name, *args), {"webhooks": "some"}, headers=HTMX)
        assert answer.status_code == 200
        assert "Webhooks must be off, changed, or all, not “some”." in answer.text
    assert conversation.analyses.count() == 2
