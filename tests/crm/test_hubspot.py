"""The HubSpot connector, against a server that speaks HubSpot's wire format."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from apps.crm.connectors.base import ConnectorError, FieldType, Verdict
from tests.crm.vendors import CHOICE, NUMBER, TEXT, Clock, activity, change, hubspot
from tests.fakes.hubspot import HubSpotServer, property_
from tests.fakes.vendor_server import Reply

OK, PARKED, RETRY = Verdict.OK, Verdict.PARKED, Verdict.RETRY


@pytest.fixture
def server(settings: Any) -> Iterator[HubSpotServer]:
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = True
    running = HubSpotServer()
    running.add_property("plan", "enumeration", "free", "pro_plan")
    running.add_property("topics", "enumeration", "billing", "sales", fieldType="checkbox")
    running.add_property("score", "number")
    running.add_property("notes")
    yield running
    running.close()


async def test_contact_is_found_by_email_and_updated_by_record_id(server: HubSpotServer) -> None:
    record_id = server.add_contact(email="ada@example.com", firstname="Ada", phone="+15550134000")
    async with hubspot(server) as connector:
        wanted = change({"plan": "Pro Plan"}, CHOICE, email="Ada@Example.com")
        [result] = await connector.push([wanted])
    assert (result.verdict, result.remote_id) == (OK, record_id)
    assert server.contacts[record_id]["plan"] == "pro_plan"
    [sent] = server.bodies("/contacts/batch/update")
    assert sent["inputs"] == [
        {"id": record_id, "properties": {"plan": "pro_plan"}, "objectWriteTraceId": "0"}
    ]
    assert not server.bodies("/contacts/search")


async def test_secondary_email_finds_the_contact(server: HubSpotServer) -> None:
    record_id = server.add_contact(email="a@b.co", hs_additional_emails="x@y.co;ada@example.com")
    async with hubspot(server) as connector:
        [result] = await connector.push([change({"notes": "x"}, email="ada@example.com")])
    assert result.remote_id == record_id


@pytest.mark.parametrize("stored", ["+1 (555) 013-4000", "(555) 013-4000", "5550134000"])
@pytest.mark.parametrize("name", ["phone", "mobilephone"])
async def test_phone_number_finds_the_contact(
    server: HubSpotServer, stored: str, name: str
) -> None:
    record_id = server.add_contact(**{name: stored})
    server.add_contact(phone="+49 555 0134000")  # the same digits in another country
    async with hubspot(server) as connector:
        [result] = await connector.push([change({"notes": "x"}, phone_number="+15550134000")])
    assert (result.verdict, result.remote_id) == (OK, record_id)


async def test_phone_number_of_two_contacts_is_ambiguous(server: HubSpotServer) -> None:
    for _ in range(2):
        server.add_contact(phone="+15550134000")
    async with hubspot(server) as connector:
        [result] = await connector.push([change({"notes": "x"}, phone_number="+15550134000")])
    assert result.verdict is PARKED
    assert "2 HubSpot contacts have this phone number" in result.words
    assert not server.writes


async def test_unique_property_finds_the_contact_and_is_filled_in(server: HubSpotServer) -> None:
    server.add_property("debrief_id", hasUniqueValue=True)
    record_id = server.add_contact(email="ada@example.com")
    async with hubspot(server, unique="debrief_id") as connector:
        await connector.push([change({"notes": "x"}, email="ada@example.com")])
        assert server.contacts[record_id]["debrief_id"] == "ct_1"
        [result] = await connector.push([change({"notes": "y"}, email="new@example.com")])
    assert result.remote_id == record_id
    assert server.contacts[record_id] | {"notes": "y"} == server.contacts[record_id]
    assert server.contacts[record_id]["email"] == "ada@example.com"


async def test_missing_contact_is_parked_unless_creating_is_on(server: HubSpotServer) -> None:
    missing = change({"notes": "x"}, email="ada@example.com", phone_number="+15550134000")
    async with hubspot(server) as connector:
        [result] = await connector.push([missing])
    assert result.verdict is PARKED
    assert not server.contacts
    async with hubspot(server, create_missing=True) as connector:
        [result] = await connector.push([missing])
    assert result.verdict is OK
    assert (
        server.contacts[result.remote_id] | {"email": "ada@example.com", "notes": "x"}
        == (server.contacts[result.remote_id])
    )


async def test_phone_number_is_never_written(server: HubSpotServer) -> None:
    server.add_contact(email="ada@example.com")
    person: dict[str, Any] = {
        "phone_number": "+15550134000",
        "first_name": "Ada",
        "last_name": "Lovelace",
    }
    async with hubspot(server, create_missing=True) as connector:
        results = await connector.push(
            [
                change({"phone": "+15550134000"}, email="ada@example.com", **person),
                change({"notes": "x", "mobilephone": "1"}, email="ada@example.com", **person),
                change({"notes": "x"}, contact_id="ct_2", email="new@example.com", **person),
                change({"notes": "x"}, contact_id="ct_3", phone_number="+15550134001"),
            ]
        )
    assert [one.verdict for one in results] == [PARKED, PARKED, OK, PARKED]
    assert results[1].written == frozenset({"notes"})
    assert "neither a name nor an email address" in results[3].words
    stored = [
        record.get(n) for record in server.contacts.values() for n in ("phone", "mobilephone")
    ]
    assert stored == [None] * 4


async def test_batch_of_mixed_results_is_handled_item_by_item(server: HubSpotServer) -> None:
    ids = [server.add_contact(email=f"c{i}@example.com") for i in range(100)]
    changes = [
        change({"notes": f"note {i}"}, remote_id=record_id, contact_id=f"ct_{i}")
        for i, record_id in enumerate(ids)
    ]
    # Since the field list was read, the property became a number: every fifth text isn't one.
    for i in range(0, 100, 5):
        changes[i] = change({"score": i}, NUMBER, remote_id=ids[i], contact_id=f"ct_{i}")
    async with hubspot(server) as connector:
        await connector.fields()
        server.add_property("score", "enumeration", "low", "high")
        del server.contacts[ids[99]]
        results = await connector.push(changes)
    assert [i for i, one in enumerate(results) if one.verdict is PARKED] == [
        *range(0, 100, 5),
        99,
    ]
    assert "0 was not one of the allowed options: [low, high]" in results[0].words
    assert results[0].words.startswith("score:")
    assert "no contact with this email address" in results[99].words
    assert {server.contacts[ids[i]].get("notes") for i in (1, 2)} == {"note 1", "note 2"}
    assert server.writes.total() == 79
    assert max(server.writes.values()) == 1
    assert results[1].sent
    assert "note 2" not in results[1].sent + results[1].got


async def test_batch_that_hubspot_rejects_whole_is_split(server: HubSpotServer) -> None:
    server.whole_batches = True
    ids = [server.add_contact() for _ in range(100)]
    async with hubspot(server) as connector:
        await connector.fields()
        del server.properties["notes"]
        changes = [change({"score": 1}, NUMBER, remote_id=record_id) for record_id in ids]
        for i in (7, 70):
            changes[i] = change({"notes": "x"}, remote_id=ids[i])
        results = await connector.push(changes)
    assert [i for i, one in enumerate(results) if one.verdict is not OK] == [7, 70]
    assert 'Property "notes" does not exist' in results[7].words
    assert server.writes.total() == 98
    assert max(server.writes.values()) == 1
    assert len(server.bodies("/contacts/batch/update")) < 30


async def test_two_contacts_with_one_record_are_written_one_after_the_other(
    server: HubSpotServer,
) -> None:
    record_id = server.add_contact(email="ada@example.com", phone="+15550134000")
    async with hubspot(server) as connector:
        results = await connector.push(
            [
                change({"notes": "by email"}, email="ada@example.com"),
                change({"score": 1}, NUMBER, contact_id="ct_2", phone_number="+15550134000"),
            ]
        )
    assert [one.remote_id for one in results] == [record_id, record_id]
    assert [len(body["inputs"]) for body in server.bodies("/batch/update")] == [1, 1]


async def test_deleted_record_is_looked_up_again(server: HubSpotServer) -> None:
    record_id = server.add_contact(email="ada@example.com")
    async with hubspot(server) as connector:
        wanted = change({"notes": "x"}, remote_id="99", email="ada@example.com")
        [result] = await connector.push([wanted])
    assert (result.verdict, result.remote_id) == (OK, record_id)


async def test_contact_created_since_the_lookup_is_retried_with_its_id(
    server: HubSpotServer,
) -> None:
    async with hubspot(server, create_missing=True) as connector:
        await connector.fields()
        conflict = {
            "category": "CONFLICT",
            "status": "error",
            "message": "Contact already exists. Existing ID: 512",
        }
        server.answer_next("/batch/create", Reply(409, conflict))
        [result] = await connector.push([change({"notes": "x"}, email="ada@example.com")])
    assert (result.verdict, result.remote_id) == (RETRY, "512")


WHOLE = [
    (Reply(401, {"category": "INVALID_AUTHENTICATION", "message": "No"}), True, None, "token"),
    (Reply(401, "not JSON"), True, None, "token"),
    (Reply(429, {"policyName": "TEN_SECONDLY_ROLLING"}), False, 10, "limit was reached"),
    (Reply(429, {"policyName": "SECONDLY"}), False, 1, "limit was reached"),
    (Reply(429, {"policyName": "DAILY"}), False, 3_600, "daily request limit"),
    (Reply(429, "", {"Retry-After": "7"}), False, 7, "limit was reached"),
    (Reply(423, {"message": "locked"}), False, 2, "locked"),
    (Reply(477, "", {"Retry-After": "3600"}), False, 3_600, "migrating"),
    (Reply(500, {"message": "internal error", "category": "INTERNAL_ERROR"}), False, None, "500"),
    (Reply(502, "<html>Bad gateway</html>"), False, None, "502"),
    (Reply(200, "<html>Maintenance</html>"), False, None, "isn’t available"),
    (Reply(404, "<html>Not found</html>"), True, None, "404"),
    (Reply(drop=True), False, None, "closed the connection"),
]


@pytest.mark.parametrize(("reply", "stops", "wait", "words"), WHOLE)
async def test_error_of_a_request_stops_or_waits(
    server: HubSpotServer, reply: Reply, stops: bool, wait: int | None, words: str
) -> None:
    record_id = server.add_contact()
    async with hubspot(server) as connector:
        await connector.fields()
        server.answer_next("/batch/update", reply)
        with pytest.raises(ConnectorError, match=words) as caught:
            await connector.push([change({"notes": "x"}, remote_id=record_id)])
    assert caught.value.stops is stops
    expected = None if wait is None else timedelta(seconds=wait)
    assert caught.value.retry_after == expected
    assert not server.writes


ITEMS: list[tuple[dict[str, Any], Verdict, str]] = [
    ({"context": {"objectWriteTraceId": ["0"]}, "message": "Bad"}, PARKED, "Bad"),
    ({"context": {"ids": ["101"]}, "message": "Bad"}, PARKED, "Bad"),
    ({"context": {"id": "101"}, "message": "Bad"}, PARKED, "Bad"),
    ({"id": "101", "message": "Bad", "errors": [{"message": "why"}]}, PARKED, "Bad why"),
    ({"category": "INTERNAL_ERROR", "id": "101"}, RETRY, "INTERNAL_ERROR"),
    (
        {"context": None, "id": "101", "message": "Property values were not valid: [cut"},
        PARKED,
        "cut",
    ),
    ({}, PARKED, "no reason given"),
]


@pytest.mark.parametrize(("error", "verdict", "words"), ITEMS)
async def test_error_of_an_item_has_the_vendors_words(
    server: HubSpotServer, error: dict[str, Any], verdict: Verdict, words: str
) -> None:
    record_id = server.add_contact()
    async with hubspot(server) as connector:
        await connector.fields()
        body = {"status": "COMPLETE", "results": [], "numErrors": 1, "errors": [error]}
        server.answer_next("/batch/update", Reply(207, body))
        [result] = await connector.push([change({"notes": "x"}, remote_id=record_id)])
    assert result.verdict is verdict
    assert words in result.words
    assert result.got


async def test_results_before_an_error_are_not_lost(server: HubSpotServer) -> None:
    known, found = server.add_contact(), server.add_contact(email="ada@example.com")
    async with hubspot(server) as connector:
        await connector.fields()
        server.answer_next("/batch/read", Reply(503, "down"))
        with pytest.raises(ConnectorError) as caught:
            await connector.push(
                [
                    change({"notes": "x"}, contact_id="ct_2", email="ada@example.com"),
                    change({"notes": "x"}, remote_id=known),
                ]
            )
    assert [(i, r.verdict) for i, r in caught.value.results.items()] == [(1, OK)]
    assert server.writes == {known: 1}
    assert "notes" not in server.contacts[found]


async def test_missing_scope_is_named(server: HubSpotServer) -> None:
    server.scopes.discard("crm.objects.contacts.write")
    record_id = server.add_contact()
    async with hubspot(server) as connector:
        with pytest.raises(ConnectorError, match=r"scope crm\.objects\.contacts\.write") as caught:
            await connector.push([change({"notes": "x"}, remote_id=record_id)])
    assert caught.value.stops


async def test_wrong_token_stops_and_is_not_repeated(server: HubSpotServer) -> None:
    async with hubspot(server, token="pat-na1-wrong") as connector:
        with pytest.raises(ConnectorError, match="rejected the access token") as caught:
            await connector.test([])
    assert caught.value.stops
    assert "pat-na1-wrong" not in str(caught.value) + caught.value.got


async def test_values_that_do_not_fit_are_named_and_the_others_written(
    server: HubSpotServer,
) -> None:
    record_id = server.add_contact()
    types = {"plan": CHOICE, "notes": TEXT, "gone": TEXT, "createdate": FieldType.DATETIME}
    wanted = {"plan": "platinum", "notes": "x", "gone": "y", "createdate": "2025-01-18T15:30:00Z"}
    async with hubspot(server) as connector:
        [result] = await connector.push([change(wanted, types, remote_id=record_id)])
    assert result.verdict is PARKED
    assert "“platinum” isn’t an option of Plan. Options: free, pro_plan." in result.words
    assert "HubSpot has no field “gone”." in result.words
    assert "Createdate can’t be changed" in result.words
    assert result.written == frozenset({"notes"})
    assert server.contacts[record_id]["notes"] == "x"


async def test_field_list_is_read_again_after_a_rejected_value(server: HubSpotServer) -> None:
    record_id = server.add_contact()
    wanted = change({"plan": "platinum"}, CHOICE, remote_id=record_id)
    async with hubspot(server) as connector:
        server.properties["plan"] = property_("plan", "enumeration", "platinum")
        await connector.fields()
        server.properties["plan"] = property_("plan", "enumeration", "Platinum_2")
        [result] = await connector.push([wanted])
        assert "platinum was not one of" in result.words
        server.properties["plan"] = property_("plan", "enumeration", "platinum", "gold")
        [result] = await connector.push([wanted])
    assert result.verdict is OK
    assert server.counts["GET /crm/properties/2026-03/contacts"] == 2


async def test_requests_stay_within_the_limit_of_the_account(settings: Any) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = True
    clock = Clock()
    server = HubSpotServer(clock.now)
    server.limit = 20
    server.add_property("notes")
    try:
        ids = [server.add_contact() for _ in range(100)]
        async with hubspot(server, clock=clock) as connector:
            for record_id in ids:
                await connector.push([change({"notes": "x"}, remote_id=record_id)])
    finally:
        server.close()
    assert server.writes.total() == 100
    assert 429 not in server.statuses[20:]
    assert clock.slept >= 40  # 100 requests at 19 per 10 seconds


async def test_searches_stay_within_their_own_limit(server: HubSpotServer) -> None:
    clock = Clock()
    async with hubspot(server, clock=clock) as connector:
        for i in range(9):
            await connector.push([change({"notes": "x"}, phone_number=f"+1555013400{i}")])
    assert server.counts["POST /crm/objects/2026-03/contacts/search"] == 9
    assert clock.slept >= 2


async def test_connection_test_reads_fields_and_one_value(server: HubSpotServer) -> None:
    server.add_contact(email="ada@example.com", plan="free")
    async with hubspot(server, unique="debrief_id") as connector:
        findings = await connector.test(["plan", "gone", "createdate"])
    assert findings.sample == ("Plan", "free")
    by_name = {one.name: one for one in findings.fields}
    assert by_name["plan"].choices == ("free", "pro_plan")
    assert by_name["plan"].labels == ("Free", "Pro Plan")
    assert by_name["topics"].several
    assert not by_name["phone"].writable
    assert not by_name["createdate"].writable
    assert findings.notes == (
        "HubSpot has no property “gone”.",
        "Createdate can’t be changed through the API.",
        "HubSpot has no property “debrief_id” for the contact ID.",
    )
    assert not server.writes


async def test_call_is_logged_with_its_contact(server: HubSpotServer) -> None:
    record_id = server.add_contact(email="ada@example.com")
    async with hubspot(server) as connector:
        result = await connector.log_activity(activity())
        [logged] = server.activities
        assert result.verdict is OK
        assert (logged["kind"], logged["contacts"]) == ("calls", [record_id])
        assert logged["association_types"] == [194]
        assert logged["hs_call_duration"] == "61000"
        assert logged["hs_call_direction"] == "INBOUND"
        assert logged["hs_timestamp"] == "2025-01-18T23:30:00.000Z"
        assert logged["hs_call_body"] == (
            "Charged twice for &lt;March&gt;.<br><br>Outcome: Unsuccessful<br>"
            "https://debrief.example.com/calls/conv_1"
        )


async def test_chat_is_logged_as_a_communication(server: HubSpotServer) -> None:
    record_id = server.add_contact()
    async with hubspot(server) as connector:
        await connector.log_activity(activity(channel="chat", remote_id=record_id))
    [logged] = server.activities
    assert (logged["kind"], logged["association_types"]) == ("communications", [81])
    assert logged["hs_communication_channel_type"] == "CUSTOM_CHANNEL_CONVERSATION"


async def test_logged_conversation_is_updated(server: HubSpotServer) -> None:
    record_id = server.add_contact()
    async with hubspot(server) as connector:
        first = await connector.log_activity(activity(remote_id=record_id))
        again = activity(remote_id=record_id, activity_id=first.activity_id, summary="New")
        second = await connector.log_activity(again)
        assert second.activity_id == first.activity_id
        [logged] = server.activities
        assert logged["hs_call_body"].startswith("New<br>")
        server.activities.clear()
        third = await connector.log_activity(again)
    assert third.verdict is PARKED
    assert third.words == "The activity was deleted in HubSpot."


async def test_conversation_of_an_unknown_contact_is_parked(server: HubSpotServer) -> None:
    async with hubspot(server, create_missing=True) as connector:
        result = await connector.log_activity(activity())
    assert result.verdict is PARKED
    assert not server.activities


async def test_private_address_is_not_connected_to(server: HubSpotServer, settings: Any) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = False
    async with hubspot(server) as connector:
        with pytest.raises(ConnectorError, match="private network"):
            await connector.fields()
    assert not server.calls
