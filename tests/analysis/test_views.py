"""The conversation page, played through the test client."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from apps.accounts.actors import Actor
from apps.accounts.models import Role, User
from apps.analysis.imports import Imported, record_imported
from apps.analysis.models import Analysis
from apps.conversations.models import Conversation, Transfer
from tests.factories import edit_prompt, make_agent, make_conversation

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
BY = Actor.system("tests")


@pytest.fixture
def viewer(client: Client) -> Client:
    return signed_in(client, Role.VIEWER)


@pytest.fixture
def operator(client: Client) -> Client:
    return signed_in(client, Role.OPERATOR)


def signed_in(client: Client, role: Role) -> Client:
    client.force_login(User.objects.create_user(f"a-{role}", role=role))
    return client


def day(number: int) -> datetime:
    return datetime(2025, 3, number, tzinfo=UTC)


def url(conversation: Conversation, name: str = "conversation", *args: Any) -> str:
    return reverse(f"analysis:{name}", args=[conversation.public_id, *args])


def imported(conversation: Conversation, **values: Any) -> Analysis:
    return record_imported([Imported(conversation, values)], by=BY)[0]


def succeeded(conversation: Conversation, **values: Any) -> Analysis:
    """A result of the agent's draft, as a runner would have made it current."""
    analysis = imported(conversation, **values)
    draft = conversation.agent.versions.drafts().with_config().get()
    Analysis.objects.filter(pk=analysis.pk).update(
        config=draft.config,
        trigger="rerun",
        model=draft.config.model.name,
        field_order=list(draft.config.parsed().field_names()),
        input_tokens=1204,
        output_tokens=96,
        cost="0.00070000",
        requests=1,
        requested_by="Ada",
    )
    analysis.refresh_from_db()
    return analysis


def failed(conversation: Conversation, code: str, message: str, **values: Any) -> Analysis:
    draft = conversation.agent.versions.drafts().with_config().get()
    return Analysis.objects.create(
        conversation=conversation,
        config=draft.config,
        agent_version=draft,
        trigger="rerun",
        state="failed",
        error_code=code,
        error_message=message,
        requested_by="Ada",
        finished_at=datetime.now(UTC),
        **values,
    )


def test_page(viewer: Client) -> None:
    conversation = make_conversation(make_agent(name="Billing line"))
    succeeded(conversation, call_summary="Charged twice.", call_successful=False)

    page = viewer.get(url(conversation))

    assert page.status_code == 200
    text = page.content.decode()
    assert "Billing line" in text
    assert "I was charged twice in March." in text
    assert "Charged twice." in text
    assert "Unsuccessful" in text
    assert "1,204 in / 96 out" in text
    assert "$0.0007" in text
    assert "rerun by Ada" in text


def test_stranger_is_sent_to_the_login(client: Client) -> None:
    page = client.get(url(make_conversation(make_agent())))

    assert page.status_code == 302
    assert page["Location"].startswith("/login/")


@pytest.mark.parametrize("name", ["conversation", "messages", "changes"])
def test_unknown_conversation_and_wrong_method(viewer: Client, name: str) -> None:
    assert viewer.get(reverse(f"analysis:{name}", args=["conv_none"])).status_code == 404
    assert viewer.post(url(make_conversation(make_agent()), name)).status_code == 405


@pytest.mark.parametrize("tab", ["analysis", "history", "details", "nonsense"])
def test_each_tab_is_a_page_and_a_fragment(viewer: Client, tab: str) -> None:
    conversation = make_conversation(make_agent())
    succeeded(conversation, call_summary="Charged twice.")

    page = viewer.get(url(conversation), {"tab": tab})
    part = viewer.get(url(conversation), {"tab": tab}, headers=HTMX)

    assert b"<html" in page.content
    assert b"<html" not in part.content
    assert b'id="panel"' in part.content
    assert "HX-Request" in part["Vary"]


def test_query_count(viewer: Client, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    conversation = make_conversation(make_agent())
    for number in range(5):
        succeeded(conversation, call_summary=f"Result {number}")

    with django_assert_num_queries(10):  # session and user, two neighbors, six of its own
        viewer.get(url(conversation))
    with django_assert_num_queries(4):
        viewer.get(url(conversation), {"tab": "history"}, headers=HTMX)


# The transcript


def test_html_in_a_transcript_is_text(viewer: Client) -> None:
    said = [{"role": "user", "content": "<script>alert(1)</script> {{ 7|add:7 }} {% now %}"}]
    conversation = make_conversation(make_agent(), messages=said)

    text = viewer.get(url(conversation), {"find": "alert"}).content.decode()

    assert "<script>alert" not in text
    assert "&lt;script&gt;<mark>alert</mark>(1)" in text
    assert "{{ 7|add:7 }}" in text


def test_transfers_are_dividers(viewer: Client) -> None:
    agent, other = make_agent(), make_agent(name="Technical line")
    said = [
        {"role": "agent", "content": "I will put you through."},
        {"role": "transfer", "content": "Call bridged"},
        {"role": "agent", "content": "Technical line here."},
    ]
    conversation = make_conversation(agent, messages=said)
    Transfer.objects.create(
        conversation=conversation,
        position=0,
        after_message=1,
        to_version=other.versions.get(),
        setting="both_agents",
    )

    text = viewer.get(url(conversation)).content.decode()

    assert "Both this agent and transferred agent · Call bridged" in text
    assert text.count("Call bridged") == 1


def test_long_transcript_comes_in_windows(viewer: Client) -> None:
    said = [{"role": "user", "content": f"Sentence number {n}."} for n in range(1000)]
    conversation = make_conversation(make_agent(), messages=said)

    first = viewer.get(url(conversation)).content.decode()
    more = viewer.get(url(conversation, "messages"), {"start": 200, "more": 1}, headers=HTMX)
    plain = viewer.get(url(conversation), {"start": 200}).content.decode()

    assert "Sentence number 199." in first
    assert "Sentence number 200." not in first
    assert "200 of 1,000 messages shown" in first
    assert b"Sentence number 200." in more.content
    assert b"<ol" not in more.content
    assert "Sentence number 399." in plain
    assert "Earlier messages" in plain


def test_gigantic_message_is_cut_and_whole_a_link_away(viewer: Client) -> None:
    conversation = make_conversation(
        make_agent(), messages=[{"role": "user", "content": "word " * 1_000_000}]
    )

    page = viewer.get(url(conversation))
    whole = viewer.get(url(conversation, "message", 0))

    assert len(page.content) < 100_000
    assert b"more characters" in page.content
    assert whole["Content-Type"].startswith("text/plain")
    assert len(whole.content) > 5_000_000
    assert viewer.get(url(conversation, "message", 1)).status_code == 404


def test_search_marks_and_walks(viewer: Client) -> None:
    said = [
        {"role": "user", "content": f"Line {n} {'refund' * (n % 100 == 50)}"} for n in range(600)
    ]
    conversation = make_conversation(make_agent(), messages=said)

    first = viewer.get(url(conversation, "messages"), {"find": "REFUND"}, headers=HTMX)
    fifth = viewer.get(url(conversation), {"find": "refund", "hit": "4"}).content.decode()
    none = viewer.get(url(conversation), {"find": "nowhere"}).content.decode()

    assert b"<mark>refund</mark>" in first.content
    assert first["HX-Reswap"] == "outerHTML show:#m50:top"
    assert "5 of 6 messages with" in fifth
    assert 'id="m450"' in fifth
    assert "No messages contain" in none


def test_messages_without_htmx_lead_to_the_page(viewer: Client) -> None:
    conversation = make_conversation(make_agent())

    there = viewer.get(url(conversation, "messages"), {"find": "a", "from": "status=ended"})

    assert there["Location"] == f"{url(conversation)}?find=a&from=status%3Dended"


def test_conversation_without_any_message(viewer: Client) -> None:
    conversation = make_conversation(make_agent(), messages=[], status="not_connected")

    text = viewer.get(url(conversation)).content.decode()

    assert "No transcript" in text


# The analysis tab


@pytest.mark.parametrize(
    ("values", "sentence", "button"),
    [
        ({"status": "ongoing"}, "still in progress", ""),
        (
            {"analysis_state": "skipped", "analysis_reason": "disabled"},
            "automatic analysis was off when it ended",
            "Rerun analysis",
        ),
        (
            {"analysis_state": "skipped", "analysis_reason": "no_speech", "has_speech": False},
            "no speech",
            "",
        ),
        ({}, "hasn’t been analyzed yet", "Rerun analysis"),
    ],
)
def test_without_an_analysis_it_says_why(
    operator: Client, values: dict[str, Any], sentence: str, button: str
) -> None:
    conversation = make_conversation(make_agent(), **values)

    text = operator.get(url(conversation)).content.decode()

    assert sentence in text
    assert ("Rerun analysis" in text) == bool(button)


def test_first_failure_in_words(operator: Client) -> None:
    conversation = make_conversation(
        make_agent(), analysis_state="failed", analysis_reason="refusal"
    )
    failed(conversation, "refusal", "I cannot help with that.", raw_output="I cannot <b>help</b>")

    text = operator.get(url(conversation)).content.decode()

    assert "The model refused to respond. I cannot help with that." in text
    assert "I cannot &lt;b&gt;help&lt;/b&gt;" in text


def test_failed_rerun_stands_beside_the_result(operator: Client) -> None:
    conversation = make_conversation(make_agent())
    succeeded(conversation, call_summary="Charged twice.")
    failed(conversation, "timeout", "No response in 60 s.")

    text = operator.get(url(conversation)).content.decode()

    assert "Charged twice." in text
    assert "The model timed out. No response in 60 s." in text
    assert "The previous result is still current." in text


def test_empty_fields_say_why(viewer: Client) -> None:
    schema = {
        "type": "object",
        "properties": {
            "topic": {"type": "string", "enum": ["billing", "sales"]},
            "reason": {"type": "string", "x-condition": "the call was escalated"},
            "notes": {"type": "string"},
            "score": {"type": "integer", "minimum": 1, "maximum": 5},
            "names": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["topic"],
    }
    conversation = make_conversation(make_agent(schema=schema))
    analysis = succeeded(conversation, score=4, names=["Fibre <500>", "Mesh"])
    Analysis.objects.filter(pk=analysis.pk).update(missing_required=["topic"], truncated=True)

    text = viewer.get(url(conversation)).content.decode()

    assert "Empty, though required" in text
    assert "Empty: only if the call was escalated" in text
    assert "Empty: not mentioned in the transcript" in text
    assert '<bdi dir="auto">4</bdi> <span class="range">of 1\u20135</span>' in text
    assert "Fibre &lt;500&gt;" in text
    assert "Counts as unsuccessful" in text
    assert "Truncated." in text


def test_hint_where_the_draft_has_changed(viewer: Client) -> None:
    agent = make_agent()
    conversation = make_conversation(agent)
    succeeded(conversation, call_summary="Charged twice.")
    assert "has changed since" not in viewer.get(url(conversation)).content.decode()

    edit_prompt(agent, "Write a summary of at most five words of the call.")

    assert (
        "The draft has changed since this result: 1 prompt changed."
        in viewer.get(url(conversation)).content.decode()
    )
    shown = viewer.get(url(conversation, "changes"), headers=HTMX).content.decode()
    assert "<html" not in shown
    assert "Call summary" in shown
    assert "<ins>" in shown or "at most five words" in shown
    assert b"<html" in viewer.get(url(conversation, "changes")).content


# History and details


def test_history_lists_all_and_compares_two(viewer: Client) -> None:
    conversation = make_conversation(make_agent())
    first = imported(conversation, call_summary="Long words.", topic="billing")
    second = succeeded(conversation, call_summary="Short.", topic="billing")
    failed(conversation, "length", "Cut at 600 tokens.")

    text = viewer.get(url(conversation), {"tab": "history"}).content.decode()
    two = f"{url(conversation)}?tab=history&pick={second.public_id}&pick={first.public_id}"
    both = viewer.get(two).content.decode()
    one = viewer.get(url(conversation), {"tab": "history", "pick": first.public_id})
    none = viewer.get(url(conversation), {"tab": "history", "pick": ""})

    assert text.count(" checked") == 2  # the newest two are chosen before anybody chooses
    assert b"Select two results" in none.content
    assert "imported from another platform" in text
    assert "Cut at 600 tokens." in text
    assert "1 field differs" in both
    assert both.index("Long words.") < both.index("Short.")
    assert "1 unchanged field" in both
    assert b"Select two results" in one.content


def test_details_have_the_raw_data(viewer: Client) -> None:
    conversation = make_conversation(make_agent(), source="retell")
    conversation.attributes.metadata = {"plan": "<b>Fibre</b>", "名": "値"}
    conversation.attributes.save()
    succeeded(conversation, call_summary="Charged twice.")

    text = viewer.get(url(conversation), {"tab": "details"}).content.decode()

    assert conversation.external_id in text
    assert "&lt;b&gt;Fibre&lt;/b&gt;" in text
    assert "値" in text
    assert "&quot;call_summary&quot;: &quot;Charged twice.&quot;" in text


def test_the_list_it_came_from_is_carried_along(viewer: Client) -> None:
    conversation = make_conversation(make_agent())

    text = viewer.get(url(conversation), {"from": "status=ended&q=refund"}).content.decode()

    assert "?tab=history&amp;from=status%3Dended%26q%3Drefund" in text


def test_next_and_previous_within_the_list(viewer: Client) -> None:
    agent = make_agent()
    made = [
        make_conversation(agent, status="ended" if n != 1 else "error", sort_at=day(4 - n))
        for n in range(3)
    ]
    here, other, after = made

    text = viewer.get(url(here), {"from": "status=ended"}).content.decode()
    everything = viewer.get(url(here)).content.decode()
    broken = viewer.get(url(here), {"from": "nonsense=1&cursor=x"})

    assert f'rel="next" href="{url(after)}?from=status%3Dended"' in text
    assert 'rel="prev"' not in text
    assert f'rel="next" href="{url(other)}"' in everything
    assert broken.status_code == 200
    assert b'rel="next"' not in broken.content
