"""The Salesforce connector, against a server that speaks Salesforce's wire format."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from apps.crm.connectors.base import ConnectorError, FieldType, Person, Verdict
from apps.crm.connectors.salesforce import Salesforce
from tests.crm.vendors import CHOICE, NUMBER, activity, change, salesforce
from tests.fakes.salesforce import SalesforceServer, field
from tests.fakes.vendor_server import Reply

OK, PARKED, RETRY = Verdict.OK, Verdict.PARKED, Verdict.RETRY
UPDATE = "PATCH /services/data/v65.0/composite/sobjects"


@pytest.fixture
def server(settings: Any) -> Iterator[SalesforceServer]:
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = True
    running = SalesforceServer()
    running.add_field("Plan__c", "picklist", "free", "pro_plan")
    running.add_field("Topics__c", "multipicklist", "billing", "sales")
    running.add_field("Score__c", "double")
    running.add_field("Count__c", "int")
    running.add_field("Vip__c", "boolean")
    running.add_field("Notes__c", length=20)
    running.add_field("Debrief__c", externalId=True, unique=True)
    yield running
    running.close()


async def test_contact_is_found_by_email_and_updated_by_id(server: SalesforceServer) -> None:
    record_id = server.add_contact(Email="Ada@example.com", LastName="Lovelace")
    async with salesforce(server) as connector:
        wanted = change({"Plan__c": "Pro Plan"}, CHOICE, email="ada@EXAMPLE.com")
        [result] = await connector.push([wanted])
    assert (result.verdict, result.remote_id) == (OK, record_id)
    assert server.contacts[record_id]["Plan__c"] == "pro_plan"
    [sent] = server.bodies("/composite/sobjects")
    record = {"attributes": {"type": "Contact"}, "id": record_id, "Plan__c": "pro_plan"}
    assert sent == {"allOrNone": False, "records": [record]}


@pytest.mark.parametrize(
    "stored", ["+15550134000", "(555) 013-4000", "+1 555-013-4000", "5550134000", "555-013-4000"]
)
async def test_phone_number_finds_the_contact(server: SalesforceServer, stored: str) -> None:
    record_id = server.add_contact(MobilePhone=stored)
    async with salesforce(server) as connector:
        [result] = await connector.push([change({"Notes__c": "x"}, phone_number="+15550134000")])
    assert (result.verdict, result.remote_id) == (OK, record_id)


async def test_email_of_two_contacts_is_ambiguous(server: SalesforceServer) -> None:
    for _ in range(2):
        server.add_contact(Email="ada@example.com")
    async with salesforce(server) as connector:
        [result] = await connector.push([change({"Notes__c": "x"}, email="ada@example.com")])
    assert result.verdict is PARKED
    assert "2 Salesforce contacts have this email address" in result.words


@pytest.mark.parametrize("email", ["o'brien@example.com", 'a"b\\@example.com', "a' OR 'x@y.z"])
async def test_values_in_queries_are_quoted(server: SalesforceServer, email: str) -> None:
    server.add_contact(Email="other@example.com")
    record_id = server.add_contact(Email=email)
    async with salesforce(server) as connector:
        [result] = await connector.push([change({"Notes__c": "x"}, email=email)])
    assert result.remote_id == record_id


async def test_external_id_finds_the_contact_and_is_filled_in(server: SalesforceServer) -> None:
    record_id = server.add_contact(Email="ada@example.com", LastName="Lovelace")
    async with salesforce(server, unique="Debrief__c") as connector:
        await connector.push([change({"Notes__c": "x"}, email="ada@example.com")])
        assert server.contacts[record_id]["Debrief__c"] == "ct_1"
        [result] = await connector.push([change({"Notes__c": "y"}, email="new@example.com")])
    assert result.remote_id == record_id
    assert server.contacts[record_id]["Email"] == "ada@example.com"


async def test_missing_contact_is_created_once_although_the_response_was_lost(
    server: SalesforceServer,
) -> None:
    missing = change({"Notes__c": "x"}, email="a@b.co", last_name="Lovelace")
    async with salesforce(server, unique="Debrief__c", create_missing=True) as connector:
        server.lose_response = "/composite/sobjects/Contact/"
        with pytest.raises(ConnectorError, match="closed the connection"):
            await connector.push([missing])
        [result] = await connector.push([missing])
    [(record_id, record)] = server.contacts.items()
    assert (result.verdict, result.remote_id) == (OK, record_id)
    assert record == {
        "Debrief__c": "ct_1",
        "Email": "a@b.co",
        "LastName": "Lovelace",
        "Notes__c": "x",
    }


async def test_new_contact_needs_a_last_name_and_never_gets_a_phone_number(
    server: SalesforceServer,
) -> None:
    async with salesforce(server, create_missing=True) as connector:
        results = await connector.push(
            [
                change({"Notes__c": "x"}, phone_number="+15550134000", first_name="Ada"),
                change({"Notes__c": "x"}, phone_number="+15550134000", last_name="Lovelace"),
                change({"Phone": "+15550134000"}, last_name="Lovelace"),
            ]
        )
    assert [one.verdict for one in results] == [PARKED, OK, PARKED]
    assert "no last name" in results[0].words
    [record] = server.contacts.values()
    assert record == {"LastName": "Lovelace", "Notes__c": "x"}


async def test_duplicate_rule_parks_the_contact(server: SalesforceServer) -> None:
    server.duplicate_rule = True
    async with salesforce(server, create_missing=True) as connector:
        await connector.fields()
        server.add_contact(Email="ada@example.com", LastName="L")
        server.answer_next("/query", Reply(200, {"done": True, "records": []}))
        wanted = change({"Notes__c": "x"}, email="ada@example.com", last_name="Lovelace")
        [result] = await connector.push([wanted])
    assert result.verdict is PARKED
    assert "A duplicate rule blocks this record. DUPLICATES_DETECTED" in result.words


async def test_batch_of_mixed_results_is_handled_item_by_item(server: SalesforceServer) -> None:
    ids = [server.add_contact() for _ in range(200)]
    changes = [change({"Score__c": i}, NUMBER, remote_id=one) for i, one in enumerate(ids)]
    server.validation = lambda record: "Too low" if record.get("Score__c") == 3 else ""
    server.locked = {ids[4]}
    server.deleted = {ids[5]}
    async with salesforce(server) as connector:
        await connector.fields()
        server.fields["Notes__c"]["length"] = 5
        server.fields["Plan__c"] = field("Plan__c", "picklist", "gold")
        server.fields["Count__c"]["updateable"] = False
        changes[6] = change({"Notes__c": "123456"}, remote_id=ids[6])
        changes[7] = change({"Plan__c": "free"}, CHOICE, remote_id=ids[7])
        changes[8] = change({"Count__c": 1}, NUMBER, remote_id=ids[8])
        results = await connector.push(changes)
        assert [i for i, one in enumerate(results) if one.verdict is not OK] == [3, 4, 5, 6, 7, 8]
        assert "A validation rule rejects it. FIELD_CUSTOM_VALIDATION_EXCEPTION: Too low" in (
            results[3].words
        )
        assert (results[4].verdict, results[4].retry_after) == (RETRY, timedelta(seconds=10))
        assert "no contact with this email address" in results[5].words
        assert "STRING_TOO_LONG" in results[6].words
        assert "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST" in results[7].words
        assert "The run-as user can’t edit the field." in results[8].words
        again = await connector.push([changes[4], changes[7]])
    assert [one.verdict for one in again] == [OK, PARKED]
    assert "“free” isn’t an option of Plan. Options: gold." in again[1].words
    assert server.writes.total() == 195
    assert max(server.writes.values()) == 1


async def test_unknown_field_of_one_contact_does_not_fail_the_others(
    server: SalesforceServer,
) -> None:
    ids = [server.add_contact() for _ in range(200)]
    changes = [change({"Score__c": 1}, NUMBER, remote_id=one) for one in ids]
    changes[150] = change({"Notes__c": "x"}, remote_id=ids[150])
    async with salesforce(server) as connector:
        await connector.fields()
        del server.fields["Notes__c"]
        results = await connector.push(changes)
    assert [i for i, one in enumerate(results) if one.verdict is not OK] == [150]
    assert "INVALID_FIELD: No such column 'Notes__c'" in results[150].words
    assert server.writes.total() == 199
    assert server.counts[UPDATE] < 20


async def test_expired_token_is_replaced_once_for_all_requests(server: SalesforceServer) -> None:
    ids = [server.add_contact() for _ in range(10)]
    async with salesforce(server) as connector:
        await connector.fields()
        server.expire_tokens()
        pushes = [connector.push([change({"Score__c": 1}, NUMBER, remote_id=one)]) for one in ids]
        results = await asyncio.gather(*pushes)
    assert {one.verdict for [one] in results} == {OK}
    assert server.tokens == 2
    assert server.writes.total() == 10


async def test_token_that_stays_rejected_stops_the_connection(server: SalesforceServer) -> None:
    async with salesforce(server) as connector:
        error = [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}]
        server.answer_next("/describe", *[Reply(401, error)] * 3)
        with pytest.raises(ConnectorError, match="rejects the connected app’s tokens") as caught:
            await connector.fields()
    assert caught.value.stops
    assert server.tokens == 2


TOKENS = [
    (None, "The consumer key or secret is wrong"),
    (("invalid_client_id", "client identifier invalid"), "The consumer key is wrong"),
    (("invalid_grant", "no client credentials user enabled"), "has no run-as user"),
    (("inactive_user", "user is inactive"), "user is inactive"),
    (("new_error", "something new"), "something new"),
]


@pytest.mark.parametrize(("error", "words"), TOKENS)
async def test_rejected_credentials_stop_the_connection(
    server: SalesforceServer, error: tuple[str, str] | None, words: str
) -> None:
    server.token_error = error
    async with salesforce(server, secret="wrong-secret") as connector:
        with pytest.raises(ConnectorError, match=words) as caught:
            await connector.test([])
    assert caught.value.stops
    assert "wrong-secret" not in str(caught.value) + caught.value.got


async def test_used_up_limit_says_when_it_is_tried_again(server: SalesforceServer) -> None:
    record_id = server.add_contact()
    async with salesforce(server) as connector:
        await connector.fields()
        error = [
            {"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}
        ]
        server.answer_next("/composite/sobjects", Reply(403, error))
        with pytest.raises(ConnectorError, match="tries again in 1 hour") as caught:
            await connector.push([change({"Score__c": 1}, NUMBER, remote_id=record_id)])
    assert not caught.value.stops
    assert caught.value.retry_after == timedelta(hours=1)


async def test_last_requests_of_the_day_are_left_to_others(server: SalesforceServer) -> None:
    server.daily, server.used = 1_000, 948
    record_id = server.add_contact()
    wanted = change({"Score__c": 1}, NUMBER, remote_id=record_id)
    async with salesforce(server) as connector:
        [result] = await connector.push([wanted])  # the 949th and 950th request
        assert result.verdict is OK
        with pytest.raises(ConnectorError, match="950 of 1,000 requests are used") as caught:
            await connector.push([wanted])
        assert caught.value.retry_after == timedelta(hours=1)
        server.used = 10
        [result] = await connector.push([wanted])
    assert result.verdict is OK


WHOLE = [
    (
        Reply(403, [{"errorCode": "API_DISABLED_FOR_ORG", "message": "No API"}]),
        True,
        "API_DISABLED",
    ),
    (Reply(500, [{"errorCode": "UNKNOWN_EXCEPTION", "message": "x"}]), False, "UNKNOWN_EXCEPTION"),
    (Reply(503, [{"errorCode": "SERVER_UNAVAILABLE", "message": "x"}]), False, "SERVER_UNAVAIL"),
    (Reply(502, "<html>Bad gateway</html>"), False, "502"),
    (Reply(200, "<html>Maintenance</html>"), False, "isn’t available"),
    (Reply(200, []), False, "isn’t available"),
    (Reply(404, "<html>We can't find that page</html>"), True, "404"),
    (Reply(drop=True), False, "closed the connection"),
]


@pytest.mark.parametrize(("reply", "stops", "words"), WHOLE)
async def test_error_of_a_request_stops_or_waits(
    server: SalesforceServer, reply: Reply, stops: bool, words: str
) -> None:
    ids = [server.add_contact() for _ in range(2)]
    async with salesforce(server) as connector:
        await connector.fields()
        server.answer_next("/composite/sobjects", reply)
        with pytest.raises(ConnectorError, match=words) as caught:
            await connector.push(
                [change({"Score__c": 1}, NUMBER, remote_id=record_id) for record_id in ids]
            )
    assert caught.value.stops is stops
    assert not server.writes


async def test_lookups_of_many_contacts_fit_into_urls(server: SalesforceServer) -> None:
    emails = [f"{'x' * 60}{i}@example.com" for i in range(200)]
    ids = [server.add_contact(Email=email) for email in emails]
    changes = [change({"Score__c": 1}, NUMBER, email=email, contact_id=email) for email in emails]
    async with salesforce(server) as connector:
        results = await connector.push(changes)
    assert [one.remote_id for one in results] == ids
    queries = [call for call in server.calls if call.path.endswith("/query")]
    assert len(queries) > 1
    assert server.counts[UPDATE] == 1


async def test_connection_test_names_fields_that_would_be_dropped(
    server: SalesforceServer,
) -> None:
    server.fields["Score__c"]["updateable"] = False
    server.add_contact(Plan__c="free", Score__c=4.5)
    async with salesforce(server) as connector:
        findings = await connector.test(["Score__c", "Plan__c", "Hidden__c"])
    assert findings.sample == ("Score", "4.5")
    assert findings.account == "127.0.0.1"
    assert "doesn’t see the field “Hidden__c”" in findings.notes[0]
    assert "can’t edit Score" in findings.notes[1]
    by_name = {one.name: one for one in findings.fields}
    assert by_name["Topics__c"].several
    assert by_name["Notes__c"].max_length == 20
    assert not by_name["Phone"].writable
    assert by_name["AccountId"].type is FieldType.OTHER


async def test_text_is_shortened_between_characters(server: SalesforceServer) -> None:
    record_id = server.add_contact()
    async with salesforce(server) as connector:
        text = "Family 👨‍👩‍👧‍👦 is here to stay"
        [result] = await connector.push([change({"Notes__c": text}, remote_id=record_id)])
        assert result.verdict is OK
    assert server.contacts[record_id]["Notes__c"] == "Family 👨‍👩‍👧‍👦…"


async def test_checkbox_without_a_value_is_unchecked(server: SalesforceServer) -> None:
    record_id = server.add_contact(Vip__c=True, Score__c=3, Notes__c="x")
    types = {"Vip__c": FieldType.BOOLEAN, "Score__c": NUMBER, "Notes__c": FieldType.TEXT}
    async with salesforce(server) as connector:
        await connector.push([change(dict.fromkeys(types), types, remote_id=record_id)])
    assert server.contacts[record_id] == {"Vip__c": False, "Score__c": None, "Notes__c": None}


async def test_call_is_logged_once_although_the_response_was_lost(
    server: SalesforceServer,
) -> None:
    record_id, other = server.add_contact(Email="ada@example.com"), server.add_contact()
    async with salesforce(server) as connector:
        await connector.log_activity(activity(person=Person("ct_2"), remote_id=other))
        server.tasks.clear()
        server.lose_response = "/sobjects/Task"
        with pytest.raises(ConnectorError):
            await connector.log_activity(activity())
        result = await connector.log_activity(activity())
    [(task_id, task)] = server.tasks.items()
    assert (result.verdict, result.activity_id) == (OK, task_id)
    assert task == {
        "WhoId": record_id,
        "Subject": "Call with Billing line",
        "Status": "Completed",
        "TaskSubtype": "Call",
        "ActivityDate": "2025-01-18",
        "CallType": "Inbound",
        "CallDurationInSeconds": 61,
        "CallDisposition": "Unsuccessful",
        "CallObject": "conv_1",
        "Description": "Charged twice for <March>.\n\nOutcome: Unsuccessful\n"
        "https://debrief.example.com/calls/conv_1",
    }


async def test_logged_conversation_is_updated(server: SalesforceServer) -> None:
    record_id = server.add_contact()
    async with salesforce(server) as connector:
        first = await connector.log_activity(activity(remote_id=record_id))
        again = activity(remote_id=record_id, activity_id=first.activity_id, summary="New")
        await connector.log_activity(again)
        [task] = server.tasks.values()
        assert task["Description"].startswith("New\n")
        server.tasks.clear()
        third = await connector.log_activity(again)
    assert third.verdict is PARKED
    assert "ENTITY_IS_DELETED" in third.words


async def test_long_summary_is_shortened_and_keeps_its_link(server: SalesforceServer) -> None:
    record_id = server.add_contact()
    async with salesforce(server) as connector:
        long = activity(remote_id=record_id, summary="💬" * 40_000, channel="chat")
        result = await connector.log_activity(long)
    [task] = server.tasks.values()
    assert result.verdict is OK
    assert task["Description"].endswith("…\n\nOutcome: Unsuccessful\n" + long.url)
    assert "CallType" not in task


async def test_task_has_only_fields_that_the_user_may_write(server: SalesforceServer) -> None:
    for name in ("CallObject", "CallDisposition", "CallType"):
        server.task_fields[name]["createable"] = False
    record_id = server.add_contact()
    async with salesforce(server) as connector:
        result = await connector.log_activity(activity(remote_id=record_id))
    assert result.verdict is OK
    [task] = server.tasks.values()
    assert not {"CallObject", "CallDisposition", "CallType"} & set(task)


@pytest.mark.parametrize(
    ("domain", "valid"),
    [
        ("https://acme.my.salesforce.com", True),
        ("https://acme--uat.sandbox.my.salesforce.com/", True),
        ("http://acme.my.salesforce.com", False),
        ("https://acme.my.salesforce.com.evil.example", False),
        ("https://evil.example/acme.my.salesforce.com", False),
        ("acme.my.salesforce.com", False),
    ],
)
def test_secret_goes_to_salesforce_only(domain: str, valid: bool) -> None:
    problems = Salesforce.check({"domain": domain, "external_id_field": ""}, {})
    assert bool(problems) is not valid


def test_external_id_field_is_an_api_name() -> None:
    problems = Salesforce.check({"external_id_field": "Id) OR (Name"}, {})
    assert "API name" in problems["external_id_field"]
