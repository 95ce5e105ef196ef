"""Call History and Chat History: what is shown, to whom, and at what cost."""

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.http import QueryDict
from django.test import Client
from django.urls import reverse

from apps.agents.models import AgentVersion
from apps.contacts.models import Contact
from apps.conversations import history_list
from apps.conversations.filters import parse
from apps.conversations.models import Conversation
from tests.factories import client_as, make_draft, make_indexed_conversation

pytestmark = pytest.mark.django_db

CALLS = "/calls/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def viewer() -> Client:
    return client_as("viewer")


@pytest.fixture
def operator() -> Client:
    return client_as("operator")


@pytest.fixture
def version() -> AgentVersion:
    return make_draft(properties={"topic": {"type": "string", "enum": ["a", "b"]}})


@pytest.fixture
def calls(version: AgentVersion) -> list[Conversation]:
    """Three calls, an hour apart, the newest last."""
    start = datetime(2025, 3, 1, 10, tzinfo=UTC)
    return [
        make_indexed_conversation(
            version,
            external_id=f"call-{n}",
            started_at=start + timedelta(hours=n),
            duration_ms=[5_000, None, 1_000][n],
            summary=f"Summary {n}",
            sentiment="Positive",
            successful=True,
            analysis_state="succeeded",
            analysis_data={"topic": "a"},
            metadata={"plan": "pro"},
        )
        for n in range(3)
    ]


def html(client: Client, url: str, **headers: str) -> str:
    response = client.get(url, headers=headers)
    assert response.status_code == 200
    return response.content.decode()


def shown(page: str) -> list[str]:
    """The summaries of the rows, in order."""
    found = [(page.find(f">Summary {n}<"), str(n)) for n in range(3)]
    return [n for at, n in sorted(found) if at >= 0]


def test_calls_are_listed_newest_first(viewer: Client, calls: list[Conversation]) -> None:
    page = html(viewer, CALLS)
    assert shown(page) == ["2", "1", "0"]
    assert "3 of 3" in page
    assert f"/conversations/{calls[0].public_id}/" in page
    assert "No chats yet" in html(viewer, "/chats/")
    assert "No calls yet" not in page


def test_sort_filter_search_and_columns(viewer: Client, calls: list[Conversation]) -> None:
    assert shown(html(viewer, f"{CALLS}?sort=duration_ms")) == ["2", "0", "1"]
    assert shown(html(viewer, f"{CALLS}?sort=-duration_ms")) == ["0", "2", "1"]
    assert shown(html(viewer, f"{CALLS}?duration_ms__gte=2000")) == ["0"]
    assert shown(html(viewer, f"{CALLS}?q=call-1")) == ["1"]
    page = html(viewer, f"{CALLS}?columns=id,analysis.topic,metadata.plan&columns=agent_version")
    assert shown(page.split("<tbody>")[1].replace("title=", "")) == []
    for text in (calls[0].public_id, ">topic<", ">plan<", "pro"):
        assert text in page


def test_every_column_can_be_shown(viewer: Client, calls: list[Conversation]) -> None:
    Conversation.objects.filter(pk=calls[0].pk).update(
        contact=Contact.objects.create(first_name="Ada", phone_number="+15550100")
    )
    for field in history_list.columns_of(parse("voice", {})):
        assert field.label
    names = [n for n, f in parse_fields().items() if f]
    page = html(viewer, f"{CALLS}?columns={','.join(names)}")
    assert "Ada" in page


def test_an_empty_list_sends_only_admins_to_settings(viewer: Client) -> None:
    links = ('href="/intake/">Connect', 'href="/api-keys/">Create')
    page = html(viewer, CALLS)
    assert "No calls yet" in page
    assert not any(link in page for link in links)
    page = html(client_as("admin"), CALLS)
    assert all(link in page for link in links)


def parse_fields() -> dict[str, bool]:
    from apps.conversations.filters import fields

    return {field.name: True for field in fields("voice")}


def test_a_refused_filter_lists_nothing_and_says_why(
    viewer: Client, calls: list[Conversation]
) -> None:
    for query in (
        "colour=red",
        "status=gone",
        "duration_ms__gt=soon",
        "q=%21",
        "sort=x",
        "status=",
    ):
        page = html(viewer, f"{CALLS}?{query}")
        assert shown(page) == []
        assert "apply this filter" in page
        assert "0 of 3" in page
        assert 'role="alert"' in page
    assert "Unknown filter “colour”." in html(viewer, f"{CALLS}?colour=red")


def test_valid_filters_next_to_a_refused_one_read_as_usual(
    viewer: Client, calls: list[Conversation]
) -> None:
    page = html(viewer, f"{CALLS}?colour=red&agent__isset=true&analysis_cost__isset=false")
    assert 'Remove filter: Agent is set"' in page
    assert 'Remove filter: Cost is not set"' in page


def test_nothing_matches(viewer: Client, calls: list[Conversation]) -> None:
    page = html(viewer, f"{CALLS}?status=ongoing")
    assert "No calls match" in page
    assert "0 of 3" in page


def test_the_fragment_is_the_list_with_what_depends_on_the_address(
    viewer: Client, calls: list[Conversation]
) -> None:
    response = viewer.get(f"{CALLS}?status=ended", headers=HTMX)
    fragment = response.content.decode()
    assert "<html" not in fragment
    assert fragment.count('hx-swap-oob="true"') == 3
    assert "HX-Request" in response["Vary"]
    for headers in ({**HTMX, "HX-History-Restore-Request": "true"}, {**HTMX, "HX-Boosted": "true"}):
        assert "<html" in viewer.get(CALLS, headers=headers).content.decode()


def test_forms_end_in_a_plain_address(viewer: Client) -> None:
    form = "q=&sort=duration_ms&row-0-field=status&row-0-op=&row-0-value=ended"
    response = viewer.get(f"{CALLS}?{form}")
    assert response.status_code == 302
    assert QueryDict(response["Location"].partition("?")[2]).dict() == {
        "sort": "duration_ms",
        "status": "ended",
    }
    assert viewer.get(f"{CALLS}?q=")["Location"] == CALLS


def test_pages_go_on_and_back(viewer: Client, version: AgentVersion) -> None:
    start = datetime(2025, 3, 1, tzinfo=UTC)
    for n in range(120):
        make_indexed_conversation(
            version, external_id=str(n), started_at=start + timedelta(minutes=n // 7)
        )
    seen: list[str] = []
    url = f"{CALLS}?sort=started_at"
    for _ in range(3):
        page = viewer.get(url)
        seen += [c.public_id for c in page.context["conversations"]]
        url = f"{CALLS}?sort=started_at&cursor={page.context['next_cursor']}"
    assert len(seen) == len(set(seen)) == 120
    assert page.context["next_cursor"] is None
    before = viewer.get(f"{CALLS}?sort=started_at&cursor={page.context['previous_cursor']}")
    assert [c.public_id for c in before.context["conversations"]] == seen[50:100]
    broken = viewer.get(f"{CALLS}?sort=started_at&cursor=broken")
    assert broken["Location"] == f"{CALLS}?sort=started_at"


def test_neighbors_follow_the_list(calls: list[Conversation]) -> None:
    ids = [c.public_id for c in calls]
    newest_first = parse("voice", {})
    assert history_list.neighbors(newest_first, calls[1]) == (ids[2], ids[0])
    assert history_list.neighbors(newest_first, calls[2]) == ("", ids[1])
    by_duration = parse("voice", {"sort": "duration_ms"})  # 2, 0, then the one without
    assert history_list.neighbors(by_duration, calls[0]) == (ids[2], ids[1])
    assert history_list.neighbors(by_duration, calls[1]) == (ids[0], "")
    by_agent = parse("voice", {"sort": "agent", "q": "call-0"})
    assert history_list.neighbors(by_agent, calls[2]) == (ids[0], "")


def test_counts_stop_and_are_asked_for(viewer: Client, calls: list[Conversation]) -> None:
    spec = parse("voice", {"status": "ended"})
    assert [str(c) for c in history_list.counts(spec, limit=2)] == ["2+", "2+"]
    url = f"{reverse('conversations:count')}?channel=voice&status=ended&sort=duration_ms"
    assert html(viewer, url).strip() == "3 of 3"
    assert html(viewer, f"{reverse('conversations:count')}?channel=voice&x=1").strip() == "0 of 3"


def test_a_page_costs_few_queries(
    viewer: Client, calls: list[Conversation], django_assert_max_num_queries: Any
) -> None:
    for query in (
        "",
        "?sort=-duration_ms&status=ended",
        f"?agent={calls[0].agent.public_id}&analysis.topic=a&q=call&columns=agent,transferred_to",
        "?colour=red",
    ):
        html(viewer, CALLS + query)  # what a process reads once
        with django_assert_max_num_queries(12):
            html(viewer, CALLS + query)


def test_columns_are_chosen(viewer: Client, calls: list[Conversation]) -> None:
    url = f"{reverse('conversations:columns')}?channel=voice&status=ended&columns=agent"
    for page in (html(viewer, url), html(viewer, url, **HTMX)):
        assert 'value="agent" checked' in page
        assert 'value="analysis.topic"' in page
        assert '<input type="hidden" name="status" value="ended">' in page
    assert 'value="contact" checked' in html(viewer, f"{url.partition('?')[0]}?channel=voice")


def rows_of(response: Any) -> Iterator[list[str]]:
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    return csv.reader(StringIO(text))


def test_export(operator: Client, calls: list[Conversation]) -> None:
    Conversation.objects.filter(pk=calls[0].pk).update(summary="=HYPERLINK(1)")
    Conversation.objects.filter(pk=calls[1].pk).update(summary="line\nbreak", from_number="+1555")
    query = "channel=voice&sort=started_at&columns=call_summary,contact,duration_ms,analysis.topic"
    url = f"{reverse('conversations:export')}?{query}"
    head, *body = rows_of(operator.get(url))
    assert head == ["id", "call_summary", "contact", "duration_ms", "analysis.topic"]
    assert body[0] == [calls[0].public_id, "'=HYPERLINK(1)", "", "5000", "a"]
    assert body[1][1:3] == ["line\nbreak", "'+1555"]
    refused = operator.get(f"{url}&colour=red")
    assert (refused.status_code, refused["Content-Type"]) == (400, "text/plain")
    assert len(list(rows_of(operator.get(f"{url}&q=call-2")))) == 2


def test_export_of_everything_has_every_column_field_key_and_variable(
    operator: Client, version: AgentVersion, calls: list[Conversation]
) -> None:
    make_draft("Other line", properties={"elsewhere": {"type": "string"}})
    make_indexed_conversation(
        version,
        status="error",
        direction="outbound",
        analysis_cost=Decimal("0.00000040"),
        analysis_data={"topic": "b", "imported_only": {"deep": [1]}},
        metadata={"plan": "pro", "=run": "-2+3"},
        variables={"customer_id": "4111111111111111"},
    )
    url = f"{reverse('conversations:export')}?channel=voice&status=error"
    response = operator.get(f"{url}&content=everything")
    assert "calls-all-fields-" in response["Content-Disposition"]
    head, row = rows_of(response)
    shown = dict(zip(head, row, strict=True))
    assert set(parse_fields()) - {"analysis.elsewhere"} <= set(shown)
    assert len(head) == len(set(head))
    assert shown["status"] == "error"
    assert (shown["direction"], shown["agent_version"]) == ("outbound", "0")
    assert shown["analysis_cost"] == "0.0000004"
    assert (shown["analysis.topic"], shown["analysis.imported_only"]) == ("b", '{"deep": [1]}')
    assert (shown["metadata.plan"], shown["metadata.=run"]) == ("pro", "'-2+3")
    assert shown["var.customer_id"] == "'4111111111111111"
    assert "analysis.elsewhere" not in shown  # no agent of these conversations has it
    head, *_ = rows_of(operator.get(url))
    assert head == ["id", *history_list.default_columns("voice")]


def test_export_keeps_too_many_keys_together(
    operator: Client, version: AgentVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.conversations.csv_lines.MANY_KEYS", 3)
    make_indexed_conversation(
        version, metadata={f"key {n}": n for n in range(4)}, variables={"a": 1}
    )
    url = f"{reverse('conversations:export')}?channel=voice&content=everything"
    head, row = rows_of(operator.get(url))
    shown = dict(zip(head, row, strict=True))
    assert json.loads(shown["metadata"])["key 3"] == 3
    assert shown["var.a"] == "1"


def test_selected_rows_go_to_their_page(operator: Client, calls: list[Conversation]) -> None:
    url = reverse("conversations:selected")
    ids = "id=conv_a&id=conv_b"
    one = operator.get(f"{url}?channel=voice&to=rerun&{ids}&all_matching=&query=status%3Dended")
    assert one["Location"] == f"{reverse('runs:new')}?channel=voice&{ids}"
    everything = (
        f"{url}?channel=voice&to=export&{ids}&all_matching=1&query=status%3Dended%26cursor%3Dx"
    )
    assert operator.get(everything)["Location"] == (
        f"{reverse('conversations:export')}?channel=voice&status=ended"
    )
    assert operator.get(f"{url}?channel=voice&to=rerun").status_code == 404
    columns = "query=columns%3Dagent%26sort%3Dagent%26status%3Dended"
    assert operator.get(f"{url}?channel=voice&to=export_everything&{ids}&{columns}")[
        "Location"
    ] == (
        f"{reverse('conversations:export')}?channel=voice&{ids}&sort=agent&columns=agent"
        "&content=everything"
    )


PATHS = ["/calls/", "/chats/", "/filters/count/?channel=chat", "/filters/columns/?channel=chat"]
OPERATOR_PATHS = [
    "/conversations-export/?channel=chat",
    "/conversations-selected/?channel=chat&id=x",
]


@pytest.mark.parametrize("path", [*PATHS, *OPERATOR_PATHS])
def test_who_and_how(viewer: Client, operator: Client, path: str) -> None:
    allowed = 302 if "selected" in path else 200
    assert operator.get(path).status_code == allowed
    assert viewer.get(path).status_code == (403 if path in OPERATOR_PATHS else 200)
    assert operator.post(path).status_code == 405
    assert Client().get(path).status_code == 302
    if "channel" in path:
        assert operator.get(path.partition("?")[0]).status_code == 404


def test_a_viewer_is_offered_no_rerun(
    viewer: Client, operator: Client, calls: list[Conversation]
) -> None:
    assert "data-select-row" in html(operator, CALLS)
    assert "data-select-row" not in html(viewer, CALLS)


def test_what_people_wrote_is_escaped(viewer: Client, version: AgentVersion) -> None:
    ugly = "<script>alert(1)</script>{{ x }}\u202e"
    make_indexed_conversation(
        version,
        summary=ugly,
        from_number="<b9>",
        sentiment="<i9>",
        outcome="<u9>",
        analysis_data={"topic": ["<s9>", {"k": True}], "<em>": 1},
        metadata={"<k9>": "<v9>"},
    )
    make_draft("<name>")
    page = html(
        viewer,
        f"{CALLS}?columns=call_summary,contact,user_sentiment,call_successful"
        "&columns=analysis.topic&columns=metadata.<k9>&metadata.<k9>=<v9>",
    )
    for raw in ("<script>alert", "<b9>", "<i9>", "<u9>", "<s9>", "<k9>", "<v9>"):
        assert raw not in page
    assert '<bdi dir="auto">k: yes</bdi>' in page
    assert '<bdi dir="auto">Billing line</bdi>' in html(viewer, CALLS)


def test_list_shows_excerpts_of_long_results(viewer: Client, version: AgentVersion) -> None:
    long = "word " * 12_000
    for n in range(20):
        made = make_indexed_conversation(version, external_id=f"long-{n}")
        Conversation.objects.filter(pk=made.pk).update(
            summary=long,
            analysis_state="succeeded",
            analysis_data={"topic": long, "issues": [long] * 3},
        )
    columns = "call_summary,analysis.topic"
    page = viewer.get(CALLS, {"columns": columns}, headers=HTMX).content.decode()
    assert page.count("word word") >= 20
    assert len(page) < 200_000
    [row, *_] = Conversation.objects.all().with_excerpt()
    assert "summary" in row.get_deferred_fields()
    assert len(getattr(row, "excerpt", "")) == 401
