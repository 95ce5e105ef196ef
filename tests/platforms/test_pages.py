"""The pages of this room: works, fragment, missing, wrong, query count (roles: the matrix)."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry, Role, User
from apps.agents.models import Agent
from apps.core.cipher import decrypt
from apps.intake.services import RejectedLine
from apps.platforms.models import IntakePayload, IntakeSource, SourceAgent, UploadChannel
from apps.platforms.pages import PER_PAGE, SHOWN
from apps.platforms.registry import GUIDES
from apps.platforms.rejected_lines import storing_rejected
from apps.platforms.sources import create_source, map_agent
from tests.factories import make_agent, make_conversation

pytestmark = pytest.mark.django_db

BY = Actor.command("tests")
HTMX = {"HX-Request": "true"}
HTML = "<script>alert(1)</script>"
RTL = "خط الفواتير \u202e abc"


@pytest.fixture
def client() -> Client:
    admin = Client()
    admin.force_login(User.objects.create_user("root", role=Role.ADMIN))
    return admin


@pytest.fixture
def source() -> IntakeSource:
    return create_source(kind="retell", name="Retell, main", secret="key_secret_1", by=BY)


def arrive(source: IntakeSource | None, **values: Any) -> IntakePayload:
    values = {"body": {"event": "call_ended"}, "event": "call_ended", "state": "taken", **values}
    if values["state"] == "refused":
        values.setdefault("reason", "There is no agent “agent_9”.")
        values.setdefault("code", "unknown_agent")
    return IntakePayload.objects.create(source=source, **values)


def refused_line(line: bytes = b"{") -> IntakePayload:
    with storing_rejected(UploadChannel.BULK, by=BY, source="api") as keep:
        keep(RejectedLine(12, "not_json", "This is not JSON."), line)
    return IntakePayload.objects.latest("pk")


def said(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def toast(response: Any) -> str:
    return str(json.loads(response.headers["HX-Trigger"])["toast"]["text"])


# ---- The list


def test_an_empty_page_names_the_two_ways_in(client: Client) -> None:
    page = client.get("/intake/", headers={"host": "localhost"}).text

    assert "/intake/sources/new/" in page
    assert "curl http://localhost/api/conversations" in page
    assert "Authorization: Bearer" in page
    assert "/api/docs" in page


def test_the_list_says_at_first_glance_what_was_refused(
    client: Client, source: IntakeSource
) -> None:
    arrive(source, state="refused")
    arrive(source, state="refused")
    arrive(source, state="refused", code="bad_signature", reason="The signature is wrong.")
    long_ago = timezone.now() - timedelta(hours=25)
    arrive(source, state="refused", received_at=long_ago)
    refused_line()

    page = client.get("/intake/").text

    assert "4 rejected in the last 24 hours:" in page
    assert "unknown agent 2" in page
    assert page.index("unknown agent 2") < page.index("wrong signature 1")
    assert "line 12" in page
    assert "Retell, main" in page
    assert page.count("There is no agent “agent_9”.") >= 3  # older ones are listed too


def test_the_list_links_conversations(client: Client, source: IntakeSource) -> None:
    conversation = make_conversation(make_agent())
    arrive(source, conversation=conversation, external_id="call_1")

    page = client.get("/intake/").text

    assert f'href="/conversations/{conversation.public_id}/"' in page
    assert "call_1" in page
    assert "No rejections in the last 24 hours." in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"taken", "agent", "signature", "line"}),
        ("state=refused", {"agent", "signature", "line"}),
        ("state=taken", {"taken"}),
        ("code=bad_signature", {"signature"}),
        ("source={source}", {"taken", "agent", "signature"}),
        ("source=bulk", {"line"}),
        ("source=file", set()),
        ("q=id-of-ag", {"agent"}),
        ("q=of-ag", set()),
        ("q=SIGNATURE is", {"signature"}),
        ("q=call_start", {"taken"}),
        ("source={source}&state=refused&q=id-of", {"agent"}),
    ],
)
def test_filters(client: Client, source: IntakeSource, query: str, found: set[str]) -> None:
    rows = {
        "taken": arrive(source, event="call_started"),
        "agent": arrive(source, state="refused", external_id="id-of-agent"),
        "signature": arrive(
            source, state="refused", code="bad_signature", reason="The signature is wrong."
        ),
        "line": refused_line(),
    }

    page = client.get(f"/intake/?{query.format(source=source.public_id)}", headers=HTMX).text

    assert "<html" not in page
    assert {name for name, row in rows.items() if f'id="payload-{row.pk}"' in page} == found


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("source=in_nobody", "Unknown source “in_nobody”."),
        ("state=lost", "Unknown state “lost”"),
        ("cursor=nonsense", "invalid or has expired"),
        ("code=" + "x" * 60, "at most 50"),
    ],
)
def test_a_filter_that_cannot_be_read_shows_nothing(
    client: Client, source: IntakeSource, query: str, says: str
) -> None:
    arrived = arrive(source)

    page = client.get(f"/intake/?{query}").text

    assert says in page
    assert f'id="payload-{arrived.pk}"' not in page


def test_a_thousand_payloads_take_a_page_and_few_queries(
    client: Client, source: IntakeSource, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    create_source(kind="vapi", name="Vapi", secret="s", by=BY)
    conversation = make_conversation(make_agent())
    IntakePayload.objects.bulk_create(
        IntakePayload(
            source=source,
            body={"n": n, "pad": "x" * 100},
            state="refused" if n % 3 else "taken",
            reason="No." if n % 3 else "",
            code="unknown_agent" if n % 3 else "",
            conversation=None if n % 3 else conversation,
        )
        for n in range(1_000)
    )
    with django_assert_num_queries(7):
        first = client.get("/intake/")
    with django_assert_num_queries(7):
        second = client.get(first.context["next_url"])

    assert first.text.count("<tr title=") == sum(1 for n in range(950, 1_000) if n % 3)
    shown = [payload.pk for payload, _ in first.context["payloads"]]
    then = [payload.pk for payload, _ in second.context["payloads"]]
    assert len(shown) == len(then) == PER_PAGE
    assert min(shown) > max(then)
    assert second.context["previous_url"]
    assert "666 rejected in the last 24 hours" in first.text


# ---- One payload


def test_a_payload_is_shown_whole_and_harmless(client: Client, source: IntakeSource) -> None:
    body = {HTML: RTL, "call": {"n": 1}}
    payload = arrive(source, body=body, state="refused", reason=HTML, external_id=HTML)

    page = client.get(f"/intake/payloads/{payload.pk}/").text
    fragment = client.get(f"/intake/payloads/{payload.pk}/", headers=HTMX).text

    assert HTML not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "خط الفواتير \\u202e abc" in page
    assert RTL not in page
    assert "Replay" in page
    assert "<html" not in fragment
    assert f"/intake/sources/{source.public_id}/" in page


def test_two_megabytes_are_cut_on_the_page_and_whole_in_the_file(
    client: Client, source: IntakeSource
) -> None:
    body = {"transcript": "word " * 400_000}
    payload = arrive(source, body=body)

    page = client.get(f"/intake/payloads/{payload.pk}/")
    file = client.get(f"/intake/payloads/{payload.pk}/raw/")

    assert len(page.text) < SHOWN + 25_000
    assert "Preview truncated." in page.text
    assert json.loads(file.content) == body
    assert file.headers["Content-Disposition"].startswith("attachment")
    assert file.headers["X-Content-Type-Options"] == "nosniff"


def test_what_is_no_json_is_shown_and_downloaded_byte_by_byte(
    client: Client, source: IntakeSource
) -> None:
    raw = b'{"a": "\x00 caf\xe9 <b>'
    payload = arrive(source, body=None, raw=raw, state="refused")

    page = client.get(f"/intake/payloads/{payload.pk}/").text

    assert "\\x00 caf\\xe9 &lt;b&gt;" in page
    assert client.get(f"/intake/payloads/{payload.pk}/raw/").content == raw


def test_the_page_of_a_payload_takes_few_queries(
    client: Client, source: IntakeSource, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    payload = arrive(source, conversation=make_conversation(make_agent()))

    with django_assert_num_queries(3):
        client.get(f"/intake/payloads/{payload.pk}/")


@pytest.mark.parametrize(
    "path",
    ["payloads/999999/", "payloads/999999/raw/", "sources/in_none/", "sources/in_none/change/"],
)
def test_what_is_not_there_is_not_found(client: Client, path: str) -> None:
    assert client.get(f"/intake/{path}").status_code == 404


# ---- Replay


def test_replaying_one_says_what_came_of_it(client: Client) -> None:
    wrong = refused_line()
    right = refused_line(
        json.dumps(
            {"channel": "voice", "agent_id": make_agent().public_id, "messages": []}
        ).encode()
    )

    again = client.post(f"/intake/payloads/{wrong.pk}/replay/")
    taken = client.post(f"/intake/payloads/{right.pk}/replay/")
    twice = client.post(f"/intake/payloads/{right.pk}/replay/")

    assert again.headers["Location"] == f"/intake/payloads/{wrong.pk}/"
    assert "Rejected again" in said(again)
    assert "Accepted." in said(taken)
    assert "already accepted" in said(twice)
    right.refresh_from_db()
    assert right.conversation is not None


def test_replaying_many_asks_in_numbers_and_marks_them(
    client: Client, source: IntakeSource
) -> None:
    arrive(source)
    arrive(source, state="refused")
    arrive(source, state="refused", code="bad_signature")
    refused_line()
    refused_line(b"x" * 100_000)
    query = f"?source={source.public_id}"

    asked = client.get(f"/intake/replay/{query}", headers=HTMX).text
    everything = client.get("/intake/replay/").text
    done = client.post(f"/intake/replay/{query}", headers=HTMX)
    page = client.get("/intake/").text

    assert "Replay 2 rejected payloads?" in asked
    assert "wrong signature" in asked
    assert "Replay 3 rejected payloads?" in everything
    assert "1 was too long to store in full" in everything
    assert done.status_code == 204
    assert toast(done) == "Replaying 2 payloads."
    assert "intake:changed" in done.headers["HX-Trigger"]
    assert IntakePayload.objects.to_replay().count() == 2
    assert "2 left to replay" in page
    assert client.post(f"/intake/replay/{query}").headers["Location"] == f"/intake/{query}"
    assert AuditEntry.objects.filter(verb="intake_payload.replay_asked").count() == 1


def test_an_unknown_filter_replays_nothing(client: Client, source: IntakeSource) -> None:
    arrive(source, state="refused")

    answer = client.post("/intake/replay/?source=in_nobody")

    assert answer.status_code == 200
    assert "Unknown source" in answer.text
    assert not IntakePayload.objects.to_replay().exists()


def test_the_page_asks_how_many_are_left_until_none_is(
    client: Client, source: IntakeSource
) -> None:
    waiting = arrive(source, state="refused", replay_asked_by="Ada")

    some = client.get("/intake/replaying/", headers=HTMX)
    IntakePayload.objects.filter(pk=waiting.pk).update(replay_asked_by="")
    none = client.get("/intake/replaying/", headers=HTMX)

    assert (some.status_code, none.status_code) == (200, 286)
    assert 'hx-trigger="every 2s"' in some.text
    assert "every" not in none.text
    assert "intake:changed" in none.headers["HX-Trigger"]
    assert client.get("/intake/replaying/").headers["Location"] == "/intake/"


# ---- Sources


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("retell", "“Webhook” badge"),
        ("vapi", "generate a strong secret"),
        ("elevenlabs", "after you add the webhook URL"),
        ("fax", "“Webhook” badge"),
    ],
)
def test_the_form_says_whose_secret_it_is(client: Client, kind: str, says: str) -> None:
    page = client.get(f"/intake/sources/new/?kind={kind}&name=Sales")
    dialog = client.get(f"/intake/sources/new/?kind={kind}", headers=HTMX)

    assert says in page.text
    assert 'value="Sales"' in page.text
    assert "<html" not in dialog.text


def test_a_source_is_made_and_its_page_says_what_to_do(client: Client) -> None:
    given = {
        "kind": "retell",
        "name": "Sales",
        "secret": "key_secret_1",
        "platform_analysis": "wait",
        "wait_minutes": "7",
    }
    made = client.post("/intake/sources/new/", given, headers=HTMX)
    source = IntakeSource.objects.get()
    page = client.get(f"/intake/sources/{source.public_id}/", headers={"host": "localhost"}).text

    assert made.headers["HX-Redirect"] == f"/intake/sources/{source.public_id}/"
    assert source.wait_minutes == 7
    assert f"http://localhost/api/intake/retell/{source.public_id}" in page
    assert "Waiting for the first event…" in page
    assert "Settings → Webhooks" in page
    assert "works only inside your network" in page
    assert "key_secret_1" not in page


def test_a_secret_that_was_made_here_is_shown_once(client: Client) -> None:
    given = {"kind": "vapi", "name": "Vapi", "platform_analysis": "ours", "wait_minutes": ""}
    shown = client.post("/intake/sources/new/", given, headers=HTMX)
    source = IntakeSource.objects.get()
    secret = decrypt(source.secret_encrypted)
    again = client.get(f"/intake/sources/{source.public_id}/")

    assert shown.status_code == 200
    assert secret in shown.text
    assert "no-store" in shown.headers["Cache-Control"]
    assert secret not in again.text
    assert secret not in str(list(AuditEntry.objects.values_list("detail", flat=True)))


def test_a_source_may_wait_for_the_secret_of_its_platform(client: Client) -> None:
    given = {"kind": "elevenlabs", "name": "XI", "platform_analysis": "theirs"}
    client.post("/intake/sources/new/", given)
    source = IntakeSource.objects.get()
    page = f"/intake/sources/{source.public_id}/"

    assert "not set" in client.get(page).text
    assert "Secret not set" in client.get("/intake/").text

    done = client.post(f"{page}secret/", {"secret": "wsec_1"}, headers=HTMX)

    assert done.status_code == 204
    assert "not set" not in client.get(page).text
    source.refresh_from_db()
    assert decrypt(source.secret_encrypted) == "wsec_1"


def test_a_secret_set_later_has_the_help_of_its_platform(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = replace(GUIDES["vapi"], origin="afterwards", where_afterwards="Under Keys in Vapi.")
    monkeypatch.setitem(GUIDES, "vapi", guide)
    vapi = create_source(kind="vapi", name="Vapi", secret="", by=BY)
    elevenlabs = create_source(kind="elevenlabs", name="XI", secret="", by=BY)
    retell = create_source(kind="retell", name="Retell", secret="key_1", by=BY)

    def dialog(source: IntakeSource) -> str:
        return client.get(f"/intake/sources/{source.public_id}/secret/", headers=HTMX).text

    assert "Under Keys in Vapi." in dialog(vapi)
    assert "ElevenLabs" not in dialog(vapi)
    assert "Starts with wsec_." in dialog(elevenlabs)
    assert "“Webhook” badge" in dialog(retell)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"name": ""}, "This field is required"),
        ({"name": "Retell, main"}, "A source named “Retell, main” already exists"),
        ({"secret": ""}, "Enter the secret"),
        ({"secret": "two words"}, "spaces or invalid characters"),
        ({"wait_minutes": "0"}, "Must be at least 1."),
        ({"platform_analysis": "both"}, "both is not one of"),
    ],
)
def test_an_invalid_form_comes_back(
    client: Client, source: IntakeSource, values: dict[str, str], says: str
) -> None:
    given = {"kind": "retell", "name": "New", "secret": "k", "platform_analysis": "ours"}

    answer = client.post("/intake/sources/new/", given | values, headers=HTMX)

    assert answer.status_code == 200
    assert says in answer.text
    assert IntakeSource.objects.count() == 1


def test_the_page_notices_the_first_payload_and_asks_no_more(
    client: Client, source: IntakeSource
) -> None:
    url = f"/intake/sources/{source.public_id}/arrival/"
    nothing = client.get(url, headers=HTMX)
    arrive(source, state="refused", code="bad_signature", reason="The signature is wrong.")
    refused = client.get(url, headers=HTMX)
    arrive(source)
    taken = client.get(url, headers=HTMX)
    arrive(source, state="refused")
    later = client.get(url, headers=HTMX)

    assert [nothing.status_code, refused.status_code] == [200, 200]
    assert "Waiting for the first event…" in nothing.text
    assert "The signature is wrong." in refused.text
    assert "every 3s" in refused.text
    assert [taken.status_code, later.status_code] == [286, 286]
    assert "Connected" in taken.text
    assert "every" not in taken.text
    assert "The last event was rejected" in later.text
    assert client.get(url).headers["Location"] == f"/intake/sources/{source.public_id}/"


def test_name_and_rule_are_changed(client: Client, source: IntakeSource) -> None:
    url = f"/intake/sources/{source.public_id}/change/"
    form = client.get(url)
    given = {"name": "Support", "platform_analysis": "theirs", "wait_minutes": "10"}

    done = client.post(url, given, headers=HTMX)
    wrong = client.post(url, given | {"name": " "}, headers=HTMX)

    assert "Retell, main" in form.text
    assert toast(done) == "Source saved. Changes apply to new conversations."
    assert wrong.status_code == 200
    source.refresh_from_db()
    assert (source.name, source.platform_analysis) == ("Support", "theirs")


def test_a_source_is_removed_after_a_question_in_numbers(
    client: Client, source: IntakeSource
) -> None:
    agent = make_agent()
    conversation = make_conversation(agent)
    map_agent(source=source, external_id="agent_1", agent=agent, by=BY)
    arrive(source, conversation=conversation)
    arrive(source, conversation=conversation)
    arrive(source, state="refused")
    url = f"/intake/sources/{source.public_id}/remove/"

    asked = " ".join(client.get(url, headers=HTMX).text.split())
    done = client.post(url)

    assert "3 payloads, of which 1 was rejected" in asked
    assert "(1 with a stored payload)" in asked
    assert done.headers["Location"] == "/intake/"
    assert "Its conversations are kept." in said(done)
    assert not IntakeSource.objects.exists()
    conversation.refresh_from_db()


def test_agents_are_mapped_and_those_not_set_up_stand_out(
    client: Client, source: IntakeSource
) -> None:
    ours, new = make_agent(name="Billing"), make_agent(name="Agent agent_2")
    Agent.objects.filter(pk=new.pk).update(unconfigured=True)
    map_agent(source=source, external_id="agent_2", agent=new, by=BY)
    page = f"/intake/sources/{source.public_id}/"

    before = client.get(page).text
    form = client.get(f"{page}agent/?external_id=agent_2", headers=HTMX).text
    given = {"external_id": "agent_2", "agent": ours.public_id}
    done = client.post(f"{page}agent/", given, headers=HTMX)
    after = client.get(page, headers=HTMX).text

    assert "Needs setup" in before
    assert f"/agents/{new.public_id}/prompts/" in before
    assert f'value="{new.public_id}" selected' in form
    assert toast(done) == "From now on, agent_2 is Billing."
    assert SourceAgent.objects.get().agent == ours
    assert "Needs setup" not in after


def test_the_pages_of_agents_lead_to_setting_up(client: Client) -> None:
    new = make_agent(name="Front desk")
    Agent.objects.filter(pk=new.pk).update(unconfigured=True, created_by="system: intake Retell")

    listed = client.get("/agents/").text
    page = client.get(f"/agents/{new.public_id}/prompts/").text

    assert "Needs setup" in listed
    assert "Created by system: intake Retell" in listed
    assert "created automatically for incoming calls" in page


@pytest.mark.parametrize(
    "given", [{"external_id": "", "agent": ""}, {"external_id": "a", "agent": "x"}]
)
def test_a_mapping_to_nothing_comes_back(
    client: Client, source: IntakeSource, given: dict[str, str]
) -> None:
    answer = client.post(f"/intake/sources/{source.public_id}/agent/", given, headers=HTMX)

    assert answer.status_code == 200
    assert "errorlist" in answer.text
    assert not SourceAgent.objects.exists()


def test_the_page_of_a_source_takes_few_queries_however_much_arrived(
    client: Client, source: IntakeSource, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(30):
        arrive(source, conversation=make_conversation(make_agent()))
        map_agent(source=source, external_id=f"agent_{number}", agent=make_agent(), by=BY)

    with django_assert_num_queries(7):
        page = client.get(f"/intake/sources/{source.public_id}/")

    assert len(page.context["payloads"]) == 10
