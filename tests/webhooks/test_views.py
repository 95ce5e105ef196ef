"""Endpoints and deliveries: works, fragment, missing, refused, query count (roles: the matrix)."""

import html
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.accounts.actors import Actor
from apps.accounts.models import Role, User
from apps.webhooks import record, services
from apps.webhooks.models import Delivery, DeliveryState, DisabledCause, Endpoint, EventType
from tests.factories import make_agent, make_conversation
from tests.fakes.receiver import Answer, Receiver

from .deliveries import deliver, endpoint_to, happened

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
URL = "https://example.com/hook"
ENDED = EventType.CONVERSATION_ENDED


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_user("ada", role=Role.ADMIN))
    return client


def path(endpoint: Endpoint, rest: str = "") -> str:
    return f"/webhooks/{endpoint.public_id}/{rest}"


def toast(response: Any) -> str:
    return str(json.loads(response.headers["HX-Trigger"])["toast"]["text"])


def test_without_endpoints_the_page_says_what_they_are_for(admin: Client) -> None:
    page = admin.get("/webhooks/").text
    assert "Create endpoint" in page
    assert 'aria-current="page"' in page


def test_the_list_shows_how_each_is_doing(admin: Client, receiver: Receiver) -> None:
    endpoint_to(receiver.url, agent=make_agent(name="Billing line"))
    failing = endpoint_to(receiver.url + "/failing")
    off = endpoint_to(URL)
    services.disable_endpoint(endpoint=off, by=Actor.system("tests"))
    receiver.decide = lambda r: Answer(503 if r.path.endswith("failing") else 200)
    happened()
    deliver()

    page = admin.get("/webhooks/").text

    assert [w in page for w in ("Billing line", "Failing", "Enabled", "Disabled")] == [True] * 4
    assert re.search(r'bad-text" data-label="Failures, 24h">1<', page)
    assert f"/webhooks/{failing.public_id}/" in page
    assert "<html" not in admin.get("/webhooks/", headers=HTMX).text


def test_queries_do_not_grow_with_endpoints_and_deliveries(
    admin: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    def make(how_many: int) -> None:
        for _ in range(how_many):
            endpoint_to(URL, agent=make_agent())
        for conversation in (make_conversation(make_agent()), None):
            happened(conversation)

    for times in (1, 4):
        make(times)
        first = path(Endpoint.objects.earliest("pk"))
        with django_assert_num_queries(2 + 4):  # session, user; endpoints, failures, waiting, last
            admin.get("/webhooks/")
        with django_assert_num_queries(2 + 2):  # the endpoint, its deliveries
            admin.get(first)


FORMS = ["edit", "secret", "enable", "disable", "delete", "test", "again"]


@pytest.mark.parametrize("form", FORMS)
def test_forms_come_as_a_page_and_as_a_dialog(admin: Client, form: str) -> None:
    url = path(endpoint_to(URL), f"{form}/")
    page, fragment = admin.get(url), admin.get(url, headers=HTMX)
    assert "<html" in page.text
    assert "<html" not in fragment.text
    assert "dialog-frame" in page.text
    assert "dialog-frame" in fragment.text


@pytest.mark.parametrize("rest", ["", *(f"{f}/" for f in FORMS), "test/tested/", "msg_x/"])
def test_what_is_not_there_is_not_found(admin: Client, rest: str) -> None:
    assert admin.get(f"/webhooks/wh_none/{rest}").status_code == 404
    assert admin.get("/webhooks/%00/").status_code == 404


def test_a_new_endpoint_shows_its_secret_this_once(admin: Client) -> None:
    data = {"url": URL, "events": ["conversation.analyzed", ENDED], "agent": ""}

    shown = admin.post("/webhooks/new/", data, headers=HTMX)

    endpoint = Endpoint.objects.get()
    (secret,) = set(re.findall(r"whsec_[\w+/=]+", shown.text))
    assert "webhooks:changed" in shown.headers["HX-Trigger"]
    assert "no-store" in shown.headers["Cache-Control"]
    assert endpoint.events == ["conversation.analyzed", "conversation.ended"]
    for rest in ("", "edit/", "secret/"):
        assert secret not in admin.get(path(endpoint, rest)).text


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"url": "example.com", "events": [ENDED]}, "must start with https"),
        ({"url": "http://127.0.0.1/", "events": [ENDED]}, "an address of the public internet"),
        (
            {"url": "http://localhost:9000/hook", "events": [ENDED]},
            "WEBHOOK_ALLOW_PRIVATE_ADDRESSES=on make run",
        ),
        ({"url": "", "events": [ENDED]}, "Enter a URL."),
        ({"url": URL, "events": []}, "Select at least one event."),
        ({"url": URL, "events": ["lunch"]}, "lunch is not one of the available choices"),
        ({"url": URL, "events": [ENDED], "agent": "agt_none"}, "not one of the available choices"),
    ],
)
def test_an_invalid_form_comes_back_with_what_is_wrong(
    admin: Client, settings: Any, data: dict[str, Any], sentence: str
) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = False
    response = admin.post("/webhooks/new/", data, headers=HTMX)
    assert response.status_code == 200
    assert sentence in response.text
    assert not Endpoint.objects.exists()


def test_the_form_shows_what_will_be_sent(admin: Client) -> None:
    for page in ("/webhooks/new/", path(endpoint_to(URL), "edit/")):
        shown = re.findall(
            r'aria-label="Sample payload">(.*?)</pre>', admin.get(page).text, re.DOTALL
        )
        sample = json.loads(html.unescape(shown[0]))
        assert sample["event"] == "conversation.analyzed"
        assert sample["analysis"]["call_summary"]


def test_an_endpoint_is_edited(admin: Client) -> None:
    before = EventType.ALERT_TRIGGERED
    endpoint, agent = endpoint_to(URL, EventType.BACKFILL_COMPLETED, before), make_agent()
    page = admin.get(path(endpoint, "edit/")).text
    assert URL in page
    assert 'value="backfill.completed"' in page
    assert "alert.triggered" in page
    data = {"url": "https://example.org/x", "events": [ENDED], "agent": agent.public_id}

    done = admin.post(path(endpoint, "edit/"), data, headers=HTMX)

    endpoint.refresh_from_db()
    assert done.headers["HX-Redirect"] == path(endpoint)
    assert (endpoint.url, endpoint.events, endpoint.agent) == (
        "https://example.org/x", [ENDED], agent,
    )  # fmt: skip
    refused = admin.post(path(endpoint, "edit/"), {**data, "url": "x"}, headers=HTMX)
    assert "must start with https" in refused.text


def test_a_new_secret(admin: Client) -> None:
    endpoint = endpoint_to(URL)
    assert "24 hours" in admin.get(path(endpoint, "secret/")).text
    assert "whsec_" in admin.post(path(endpoint, "secret/"), headers=HTMX).text


def test_off_and_on_again_says_what_was_missed(admin: Client) -> None:
    endpoint = endpoint_to(URL)
    happened()
    assert "1 pending event" in admin.get(path(endpoint, "disable/")).text

    off = admin.post(path(endpoint, "disable/"), headers=HTMX)
    assert off.headers["HX-Redirect"] == path(endpoint)  # its buttons change as well
    assert "1 pending event won’t" in admin.get(path(endpoint)).text
    assert "Already disabled" in admin.get(path(endpoint, "disable/")).text
    assert "1 missed event</strong>" in admin.get(path(endpoint, "enable/")).text
    page = admin.post(path(endpoint, "enable/"), {"send_missed": "on"}, follow=True)

    assert "Sending 1 missed event." in page.text
    assert Delivery.objects.get().state == DeliveryState.PENDING


def test_deleting_says_how_much_goes(admin: Client) -> None:
    endpoint = endpoint_to(URL)
    happened()
    assert "1 delivery" in admin.get(path(endpoint, "delete/")).text
    done = admin.post(path(endpoint, "delete/"), headers=HTMX)
    assert done.headers["HX-Redirect"] == "/webhooks/"
    assert not Endpoint.objects.exists()


def test_a_test_is_sent_and_watched(admin: Client, receiver: Receiver) -> None:
    endpoint = endpoint_to(receiver.url, ENDED, EventType.BACKFILL_COMPLETED)
    url = path(endpoint, "test/")

    waiting = admin.post(url, {"events": [ENDED]}, headers=HTMX)
    (watch,) = re.findall(r'hx-get="([^"]+tested[^"]+)"', waiting.text)
    assert "webhooks:changed" in waiting.headers["HX-Trigger"]  # for the list behind the dialog
    assert "every 1s" in admin.get(watch.replace("&amp;", "&"), headers=HTMX).text
    deliver()
    done = admin.get(watch.replace("&amp;", "&"), headers=HTMX)

    assert done.status_code == 286
    assert "Delivered" in done.text
    assert receiver.received[0].payload["test"] is True
    assert "Select at least one" in admin.post(url, {}, headers=HTMX).text
    assert "available choices" in admin.post(url, {"events": ["x"]}, headers=HTMX).text
    without_script = admin.post(url, {"events": [ENDED]}, follow=True)
    assert "Queued" in without_script.text


def test_deliveries_are_filtered_and_paged(
    admin: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.webhooks.views.deliveries.PER_PAGE", 2)
    endpoint = endpoint_to(receiver.url)
    conversation = make_conversation(make_agent())
    for _ in range(3):
        happened(conversation)
    deliver()
    happened()

    page = admin.get(path(endpoint)).text
    assert page.count("row-link") == 2
    assert "every 3s" in page
    (next_,) = re.findall(r'rel="next" href="([^"]+)"', page)
    assert admin.get(path(endpoint) + next_).text.count("row-link") == 2
    assert conversation.public_id in page
    assert admin.get(path(endpoint), {"state": "pending"}).text.count("row-link") == 1
    assert "No matching deliveries" in admin.get(path(endpoint), {"state": "failed"}).text
    assert (
        "No matching deliveries" in admin.get(path(endpoint), {"event": "backfill.completed"}).text
    )
    assert "Unknown state “lost”" in admin.get(path(endpoint), {"state": "lost"}).text
    assert "Unknown event “lunch”" in admin.get(path(endpoint), {"event": "lunch"}).text
    assert "cursor" in admin.get(path(endpoint), {"cursor": "x"}).text


def test_a_delivery_shows_request_response_and_every_try(
    admin: Client, receiver: Receiver, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    endpoint = endpoint_to(receiver.url)
    conversation = make_conversation(make_agent())
    happened(conversation, x="<script>alert(1)</script>")
    delivery = Delivery.objects.select_related("event").get()
    url = path(endpoint, f"{delivery.event.public_id}/")
    assert "Payload" in admin.get(url).text
    receiver.always(Answer(500, body="<b>no</b>"))
    deliver()

    with django_assert_num_queries(2 + 1):
        page = admin.get(url).text

    assert "The endpoint returned 500 Internal Server Error." in page
    assert "&lt;script&gt;alert(1)" in page
    assert "&lt;b&gt;no&lt;/b&gt;" in page
    assert f"webhook-id: {delivery.event.public_id}" in page
    assert conversation.public_id in page
    assert "next attempt" in page


def test_one_and_all_failed_are_sent_again(admin: Client, receiver: Receiver) -> None:
    endpoint = endpoint_to(receiver.url)
    happened()
    happened()
    deliver()
    Delivery.objects.update(state="failed")
    one = Delivery.objects.select_related("event").earliest("pk")
    url = path(endpoint, f"{one.event.public_id}/again/")

    assert toast(admin.post(url, headers=HTMX)) == "Delivery queued."
    assert "already queued" in toast(admin.post(url, headers=HTMX))
    assert "Delivery queued" not in admin.post(url, follow=True).text
    assert "<dd>1</dd>" in admin.get(path(endpoint, "again/")).text
    assert (
        toast(admin.post(path(endpoint, "again/"), {"since": "day"}, headers=HTMX))
        == "1 delivery queued."
    )
    nothing = admin.post(path(endpoint, "again/"), {"since": "day"}, headers=HTMX)
    assert "No failed deliveries in this period." in nothing.text
    assert admin.post(path(endpoint, "again/"), {"since": "x"}, headers=HTMX).status_code == 200


def test_admins_are_told_on_every_page_of_one_that_was_given_up(admin: Client) -> None:
    endpoint = endpoint_to(URL)
    assert "hidden" in admin.get("/webhooks/banner/", headers=HTMX).text

    record.give_up(endpoint, DisabledCause.FAILING, at=timezone.now() - timedelta(hours=1))
    happened()

    banner = admin.get("/webhooks/banner/", headers=HTMX).text
    assert "after 24 hours of failures" in banner
    assert path(endpoint) in banner
    assert "/webhooks/banner/" in admin.get("/calls/").text
    listed = admin.get("/webhooks/").text
    assert "1 missed event is stored" in listed
    assert path(endpoint, "enable/") in listed


def test_others_are_not_told(client: Client) -> None:
    client.force_login(User.objects.create_user("eve", role=Role.EDITOR))
    assert "/webhooks/" not in client.get("/calls/").text
