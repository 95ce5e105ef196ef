"""Erasing: nothing is left of what was said, what was counted stays true, nothing comes back."""

import json
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry, IdempotencyKey, Role
from apps.agents.models import Agent
from apps.analysis import record
from apps.analysis.model_call import AnalysisOutcome
from apps.analysis.models import Analysis, State
from apps.analysis.queues import RerunQueue
from apps.analysis.services import request_rerun
from apps.api.schemas.conversations import BulkReport, LineError
from apps.contacts.models import Contact, ContactAlias
from apps.conversations.models import Conversation, ConversationQuerySet
from apps.crm.models import RemoteContact
from apps.intake.models import Erased
from apps.intake.services import REMEMBERED, forget_erased, ingest, ingest_one, is_erased
from apps.llm.models import Usage
from apps.mappings.models import Contribution, Summary
from apps.platforms.models import IntakePayload, IntakeSource
from apps.privacy import erasure
from apps.privacy.erasure import erase
from apps.runs import services as backfills
from apps.runs.backfill_queue import BackfillQueue
from apps.runs.models import Run, RunItem
from apps.runs.options import Options
from apps.runs.progress import progress_of
from apps.webhooks.models import Event
from tests.api.conftest import Caller
from tests.factories import (
    make_agent,
    make_connection,
    make_conversation,
    make_conversations,
    make_delivery,
    make_event,
    make_follow_up,
    make_push,
)
from tests.locks import Writer

from .whole_database import kinds_of_traces, places_of, tables_that_django_knows

pytestmark = pytest.mark.django_db

BY = Actor.system("tests")
ID = "call-of-zyxemuid"


def some(**ids: Any) -> ConversationQuerySet:
    return Conversation.objects.all().filter(**ids)


def erase_all() -> int:
    return erase(conversations=Conversation.objects.all(), by=BY, why="asked for on its page")


class TestNothingIsLeft:
    """A word for each place that can hold words; afterwards none of them is anywhere."""

    def test_in_the_whole_database(self) -> None:
        words = leave_traces_everywhere()
        before = places_of(words)
        for word, tables in words.items():
            missing = tables - {place.split(".")[0] for place in before.get(word, ())}
            assert not missing, f"{word} was to be in {missing}: it proves nothing"
        for kind in kinds_of_traces():
            assert kind._default_manager.exists(), (
                f"{kind._meta.label} refers to conversations: let `leave_traces_everywhere` make a "
                "row of it, with a word in each column that can hold one."
            )
        assert erase_all() == 1
        connection.check_constraints()
        assert places_of([*words, ID]) == {}

    def test_the_walk_sees_each_kind_of_column(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA elsewhere")
            cursor.execute(
                "CREATE TABLE elsewhere.kinds AS SELECT 'a Zyxword b'::text AS t,"
                " '{\"k\": [\"zyxword\"]}'::jsonb AS j, to_tsvector('simple', 'zyxword') AS v,"
                " convert_to('a zyxword', 'UTF8') AS b, ARRAY['zyxword'] AS a"
            )
            cursor.execute("CREATE MATERIALIZED VIEW seen AS SELECT t FROM elsewhere.kinds")
        found = {"kinds.t", "kinds.j", "kinds.v", "kinds.b", "kinds.a", "seen.t"}
        assert places_of(["zyxword", "zyxother"]) == {"zyxword": found}

    def test_the_walk_looks_into_every_table(self) -> None:
        known = tables_that_django_knows()
        with connection.cursor() as cursor:
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            there = {row[0] for row in cursor.fetchall()}
        assert known <= there
        assert there - known == {"django_migrations"}


def leave_traces_everywhere() -> dict[str, set[str]]:
    """One conversation, come in over the API, with a row of every kind that refers to it.

    Each word with the tables that it was put into.
    """
    agent = make_agent(name="Billing line")
    body = {
        "agent_id": agent.public_id,
        "channel": "voice",
        "external_id": ID,
        "source": "retell",
        "language": "zyxlanguage",
        "disconnection_reason": "zyxreason",
        "recording_url": "https://example.com/zyxrecording",
        "from_number": "+12025550143",
        "metadata": {"zyxkey": ["zyxmetadata"]},
        "dynamic_variables": {"name": "zyxvariable"},
        "contact": {"email": "zyxemail@example.com", "first_name": "Zyxname"},
        "messages": [
            {"role": "agent", "content": "Hello zyxhello"},
            {"role": "user", "content": "zyxtranscript, please"},
        ],
        "transfers": [
            {
                "after_message": 1,
                "to_agent_id": make_agent().public_id,
                "post_call_analysis_setting": "both_agents",
            }
        ],
        "analysis": {"call_summary": "zyxsummary of it", "note": "zyxoutput"},
    }
    headers = {"Idempotency-Key": "once"}
    assert Caller(Role.OPERATOR).post("/conversations", body, **headers).status_code == 201
    (conversation,) = Conversation.objects.all()
    traces_of_work(conversation, agent)
    traces_of_receivers(conversation)
    traces_on_their_way(conversation)
    traces_in_contacts(conversation)
    make_follow_up(conversation, reason="zyxfollow", values={"note": "zyxasked"}, note="zyxnote")
    main, side = "conversations_conversation", "conversations_attributes"
    kept = {"accounts_idempotencykey", "conversations_searchtext", "conversations_transcript"}
    return {
        ID: {main, "accounts_idempotencykey", "platforms_intakepayload"},
        "12025550143": {main},
        "zyxlanguage": {main},
        "zyxreason": {main},
        "zyxrecording": {main},
        "zyxkey": {side},
        "zyxmetadata": {side},
        "zyxvariable": {side},
        "zyxemail": {"contacts_contact"},
        "zyxname": {"contacts_contact"},
        "zyxhello": kept,
        "zyxtranscript": kept,
        "zyxsummary": {main, "analysis_analysis", "conversations_searchtext"},
        "zyxoutput": {main, "analysis_analysis", "accounts_idempotencykey"},
        "zyxraw": {"analysis_analysis"},
        "zyxfailure": {"analysis_analysis"},
        "zyxrequest": {"analysis_analysis"},
        "zyxitem": {"runs_runitem"},
        "zyxtried": {"runs_runitem"},
        "zyxrawtrial": {"runs_runitem"},
        "zyxtrialerror": {"runs_runitem"},
        "zyxtaken": {"platforms_intakepayload"},
        "zyxrefused": {"platforms_intakepayload"},
        "zyxline": {"platforms_intakepayload"},
        "zyxunread": {"platforms_intakepayload"},
        "zyxpayload": {"webhooks_event"},
        "zyxsent": {"webhooks_delivery"},
        "zyxanswer": {"webhooks_delivery"},
        "zyxerror": {"webhooks_delivery"},
        "zyxwanted": {"crm_push"},
        "zyxcrm": {"crm_push"},
        "zyxlogged": {"crm_push"},
        "zyxplan": {"mappings_contribution"},
        "zyxproblem": {"mappings_contribution"},
        "zyxcombined": {"mappings_summary"},
        "zyxrefusal": {"mappings_summary"},
        "zyxformer": {"contacts_contactalias"},
        "zyxfollow": {"follow_ups_followup"},
        "zyxasked": {"follow_ups_followup"},
        "zyxnote": {"follow_ups_followup"},
    }


def traces_of_work(conversation: Conversation, agent: Agent) -> None:
    """A failure, a pending rerun, a backfill, and a test run."""
    current = Analysis.objects.current().get()
    config = {"config": agent.versions.drafts().get().config}
    failed = Analysis.objects.create(
        conversation=conversation,
        agent_version=current.agent_version,
        restored_from=current,
        trigger="rerun",
        state=State.FAILED,
        error_code="invalid_output",
        error_message="said zyxfailure",
        raw_output='{"cut": "zyxraw',
        request_id="zyxrequest",
        requested_by="tests",
        **config,
    )
    backfills.start(channel="voice", params={}, options=Options(), by=BY)
    RunItem.objects.update(
        state="failed",
        analysis=failed,
        previous_analysis=current,
        error_code="invalid_output",
        error_message="said zyxitem",
        finished_at=timezone.now(),
    )
    request_rerun(conversation=conversation, by=BY)
    RunItem.objects.create(
        run=Run.objects.create(
            kind="trial",
            public_id="try_1",
            agent=agent,
            channel="voice",
            save_token="1",
            as_of=timezone.now(),
            created_by="tests",
        ),
        position=0,
        conversation=conversation,
        agent_version=current.agent_version,
        previous_analysis=current,
        state="failed",
        output={"call_summary": "zyxtried"},
        raw_output="zyxrawtrial",
        error_code="invalid_output",
        error_message="zyxtrialerror",
        finished_at=timezone.now(),
        **config,
    )


def traces_of_receivers(conversation: Conversation) -> None:
    """What the platform sent: taken, refused by its id, refused and unreadable; and a line."""
    source = IntakeSource.objects.create(
        kind="retell", name="Our account", secret_encrypted=b"x", created_by="tests"
    )
    refused = {"state": "refused", "reason": "Not that."}
    IntakePayload.objects.bulk_create(
        [
            IntakePayload(
                source=source,
                external_id=ID,
                state="taken",
                body={"said": "zyxtaken"},
                conversation=conversation,
            ),
            IntakePayload(source=source, external_id=ID, body={"said": "zyxrefused"}, **refused),
            IntakePayload(
                source=source, raw=b'{"id": "%s", "said": "zyxunread' % ID.encode(), **refused
            ),
            IntakePayload(
                upload_channel="bulk",
                source_name="retell",
                external_id=ID,
                body=["zyxline"],
                **refused,
            ),
        ]
    )


def traces_on_their_way(conversation: Conversation) -> None:
    """One delivered and one pending event, and pushes to a CRM: sent, pending, and an activity."""
    payload = json.dumps({"analysis": {"summary": "zyxpayload"}})
    event = make_event(conversation=conversation, payload=payload)
    make_delivery(
        event=event,
        state="failed",
        finished_at=timezone.now(),
        request="POST zyxsent",
        response="200 zyxanswer",
        last_error="zyxerror",
    )
    make_delivery(event=make_event(conversation=conversation, payload=payload))
    crm = make_connection()
    assert conversation.contact is not None
    push = {"connection": crm, "contact": conversation.contact}
    of_it = push | {"conversation_ids": [conversation.pk]}
    make_push(**of_it, wanted={"note": "zyxwanted"})
    ended = {"state": "sent", "finished_at": timezone.now()}
    make_push(**of_it, **ended, request="POST zyxcrm", sent={"note": "zyxwanted"})
    make_push(**push, **ended, before={"note": "zyxwanted"})
    make_push(**push, **ended, kind="activity", conversation=conversation, request="POST zyxlogged")
    RemoteContact.objects.create(connection=crm, contact=conversation.contact, remote_id="1")


def traces_in_contacts(conversation: Conversation) -> None:
    """Contributions, one of which doesn't fit, summaries of them, and a former email."""
    common = {"kind": "conversation", "conversation": conversation, "at": timezone.now()}
    Contribution.objects.create(field="plan", value="zyxplan", **common)
    Contribution.objects.create(field="score", problem="“zyxproblem” is not a number.", **common)
    contact = conversation.contact
    assert contact is not None
    Summary.objects.create(contact=contact, field="plan", digest="1", text="zyxcombined")
    refused = {"state": "failed", "error_message": "zyxrefusal"}
    Summary.objects.create(contact=contact, field="score", digest="2", **refused)
    ContactAlias.objects.create(contact=contact, email="zyxformer@example.com")


class TestWhatStays:
    def test_the_ledger_keeps_ids_and_money_and_the_log_who_and_why(self) -> None:
        conversation = make_conversation(make_agent())
        Usage.objects.create(
            purpose="analysis",
            model_name="m",
            conversation_id=conversation.public_id,
            cost=Decimal("0.01"),
        )
        erase_all()
        assert Usage.objects.get().conversation_id == conversation.public_id
        entry = AuditEntry.objects.get(verb="conversation.erased")
        assert (entry.target, entry.who) == (conversation.public_id, BY.label)
        assert entry.detail == {"why": "asked for on its page"}

    def test_a_neighbor_loses_nothing(self) -> None:
        agent = make_agent()
        gone, stays = (
            make_conversation(agent, source="retell", external_id=f"{ID}-{n}") for n in "12"
        )
        source = IntakeSource.objects.create(
            kind="vapi", name="Another", secret_encrypted=b"x", created_by="tests"
        )
        for external_id in (gone.external_id, stays.external_id):
            IntakePayload.objects.create(
                source=source, external_id=external_id, body={}, state="refused", reason="No."
            )
        make_event(conversation=stays)
        erase(conversations=some(pk=gone.pk), by=BY, why="x")
        assert list(Conversation.objects.all()) == [stays]
        assert stays.transcript.messages
        assert Event.objects.count() == 1
        assert IntakePayload.objects.count() == 2  # the ids of another platform's account

    def test_a_run_keeps_its_counts_and_costs(self) -> None:
        make_conversations(make_agent(), 3)
        run = backfills.start(channel="voice", params={}, options=Options(), by=BY)
        first, second, _ = run.items.order_by("pk")
        run.items.filter(pk=first.pk).update(
            state="done", changed=True, cost=Decimal("0.5"), finished_at=timezone.now()
        )
        erase(conversations=some(pk__in=[first.conversation_id, second.conversation_id]),
              by=BY, why="x")  # fmt: skip
        after = progress_of(run)
        assert (after.total, after.done, after.skipped, after.left) == (3, 1, 1, 1)
        assert (after.changed, after.cost) == (1, Decimal("0.5"))

    @pytest.mark.parametrize("another", [True, False])
    def test_a_contact_stays_while_it_has_another_conversation(self, another: bool) -> None:
        agent = make_agent()
        contact = Contact.objects.create(email="ada@example.com")
        gone = make_conversation(agent, contact=contact)
        if another:
            make_conversation(agent, contact=contact)
        erase(conversations=some(pk=gone.pk), by=BY, why="x")
        assert Contact.objects.exists() is another

    def test_answers_of_other_conversations_are_still_given_again(self) -> None:
        agent, caller = make_agent(), Caller(Role.OPERATOR)
        body = {"agent_id": agent.public_id, "channel": "voice", "messages": []}
        for name in ("one", "two"):
            said = caller.post("/conversations", body, **{"Idempotency-Key": name})
            assert said.status_code == 201
        erase(conversations=some(public_id=json.loads(said.content)["id"]), by=BY, why="x")
        assert IdempotencyKey.objects.get().key == "one"

    def test_what_a_bulk_upload_was_told_of_refused_lines_goes(self) -> None:
        torn = LineError(line=1, code="not_json", message="zyxquoted")
        for name, errors in (("clean", []), ("torn", [torn])):
            report = BulkReport(accepted=1, updated=0, unchanged=0, refused=0, errors=errors)
            IdempotencyKey.objects.create(
                actor="tests",
                path="POST /api/conversations/bulk",
                key=name,
                request_sha256="0",
                status=200,
                body=report.as_json(),
            )
        make_conversation(make_agent())
        erase_all()
        assert IdempotencyKey.objects.get().key == "clean"

    def test_over_the_api_by_admins_once(self) -> None:
        conversation = make_conversation(make_agent())
        path = f"/conversations/{conversation.public_id}"
        assert Caller(Role.EDITOR).send("DELETE", path).status_code == 403
        admin = Caller(Role.ADMIN)
        assert admin.send("DELETE", path).status_code == 204
        assert admin.send("DELETE", path).status_code == 404
        assert AuditEntry.objects.get(verb="conversation.erased").via == "api"


class TestWorkInFlight:
    def test_what_was_paid_reaches_the_ledger_and_nothing_else_is_recorded(self) -> None:
        stays, gone = make_conversations(make_agent(), 2)
        for conversation in (stays, gone):
            request_rerun(conversation=conversation, by=BY)
        jobs = RerunQueue().claim(2)
        erase(conversations=some(pk=gone.pk), by=BY, why="x")
        record.record(
            [AnalysisOutcome(j, output={"call_summary": "zyxlate"}, requests=1) for j in jobs],
            settle=lambda recorded: None,
        )
        assert Analysis.objects.get().conversation == stays
        ledger = set(Usage.objects.values_list("conversation_id", flat=True))
        assert ledger == {stays.public_id, gone.public_id}
        erase_all()
        assert places_of(["zyxlate"]) == {}

    def test_an_item_that_an_engine_has_in_hand(self) -> None:
        make_conversation(make_agent())
        run = backfills.start(channel="voice", params={}, options=Options(), by=BY)
        source = BackfillQueue()
        (job,) = source.claim(1)
        erase_all()
        record.record(
            [AnalysisOutcome(job, output={"call_summary": "late"}, requests=1)],
            settle=source.settle,
        )
        source.finished()
        run.refresh_from_db()
        assert (run.state, progress_of(run).skipped, progress_of(run).left) == ("completed", 1, 0)
        assert Usage.objects.get().backfill_id == run.public_id


def line(**values: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "zyxagain"}]
    return {
        "channel": "voice",
        "source": "retell",
        "external_id": ID,
        "messages": messages,
        "contact": {"email": "zyxagain@example.com"},
        **values,
    }


class TestItDoesNotComeBack:
    @pytest.fixture(autouse=True)
    def _erased(self) -> None:
        self.agent = make_agent()
        ingest_one(line=line(agent_id=self.agent.public_id), by=BY)
        assert erase_all() == 1

    def test_the_receiver_refuses_it_by_name_and_keeps_nothing(self) -> None:
        lines = [line(agent_id=self.agent.public_id), line(agent_id=self.agent.public_id)]
        kept: list[Any] = []
        report = ingest(lines=lines, by=BY, on_refused=lambda refusal, line: kept.append(refusal))
        assert (report.refused, report.accepted) == (2, 0)
        assert {e.code for e in report.errors} == {"erased"}
        assert kept == []
        assert places_of(["zyxagain", ID]) == {}

    def test_over_the_api(self) -> None:
        said = Caller(Role.OPERATOR).post("/conversations", line(agent_id=self.agent.public_id))
        assert said.status_code == 409
        assert json.loads(said.content)["error"]["code"] == "erased"
        assert places_of(["zyxagain", ID]) == {}

    def test_others_and_the_same_id_elsewhere_are_welcome(self) -> None:
        for values in ({"external_id": "another"}, {"source": "vapi"}):
            stored = ingest_one(line=line(agent_id=self.agent.public_id, **values), by=BY)
            assert stored.outcome == "accepted"

    def test_a_secret_key_that_was_changed_since_still_knows_it(self) -> None:

        assert is_erased(source="retell", external_id=ID)
        with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=[]):
            assert not is_erased(source="retell", external_id=ID)
        with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
            assert is_erased(source="retell", external_id=ID)

    def test_it_is_forgotten_when_nobody_sends_it_any_more(self) -> None:
        now = timezone.now()
        assert forget_erased(now=now + REMEMBERED - timedelta(hours=1)) == 0
        assert forget_erased(now=now + REMEMBERED + timedelta(hours=1)) == 1
        assert not Erased.objects.exists()


@pytest.mark.django_db(transaction=True)
class TestTwoAtOnce:
    def test_it_is_sent_again_while_it_is_being_erased(self) -> None:
        agent = make_agent()
        ingest_one(line=line(agent_id=agent.public_id), by=BY)
        told: list[Any] = []

        def send_again() -> None:
            lines = [line(agent_id=agent.public_id, external_id=ID)]
            told.append(ingest(lines=lines, by=BY))

        with transaction.atomic():
            erase_all()
            sender = Writer(send_again)
            sender.wait_blocked()
        sender.join()
        assert told[0].errors[0].code == "erased"
        assert not Conversation.objects.exists()
        assert not Contact.objects.exists()

    def test_what_somebody_writes_at_this_moment_is_waited_for(self) -> None:
        held, free = make_conversations(make_agent(), 2)
        with transaction.atomic():
            Conversation.objects.filter(pk=held.pk).update(language="en")
            eraser = Writer(erase_all)
            eraser.wait_blocked()
            assert some(pk=free.pk).exists() is False  # committed by itself
        eraser.join()
        assert not Conversation.objects.exists()

    def test_a_replay_that_is_at_its_payload_keeps_nobody_from_erasing_it(self) -> None:
        call = make_conversation(make_agent(), source="api", external_id=ID)
        payload = IntakePayload.objects.create(
            upload_channel="api",
            source_name="api",
            external_id=ID,
            body={},
            state="refused",
            reason="It was refused.",
        )
        # Whichever has waited longest loses the deadlock. Both try again; a replay does it later.
        with suppress(OperationalError), transaction.atomic():
            IntakePayload.objects.select_for_update(no_key=True).get(pk=payload.pk)
            eraser = Writer(erase_all)
            eraser.wait_blocked()  # it has the conversation, and waits for its payload
            Conversation.objects.select_for_update(no_key=True).get(pk=call.pk)
        eraser.join()
        assert not Conversation.objects.exists()
        assert not IntakePayload.objects.exists()


def test_many_go_in_groups_and_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "GROUP", 4)
    make_conversations(make_agent(), 10)
    assert erase_all() == 10
    entries = AuditEntry.objects.filter(verb="conversation.erased", target="")
    assert sorted(e.detail["conversations"] for e in entries) == [2, 4, 4]


def test_many_cost_no_more_queries_than_two() -> None:
    counts = []
    for how_many in (2, 40):
        make_conversations(make_agent(), how_many)
        with CaptureQueriesContext(connection) as queries:
            assert erase_all() == how_many
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 40
