"""From the end of a conversation to its analysis: by itself, once, and nothing is missed."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.agents.plans import Plan, plan_for_steps
from apps.agents.services import publish
from apps.analysis import auto_analysis
from apps.analysis.auto_analysis import Requested, request_due
from apps.analysis.models import Analysis
from apps.analysis.results import column_row, retire_current
from apps.conversations.filters import matching
from apps.conversations.inputs import LineRefused
from apps.conversations.models import Conversation, Trigger
from apps.conversations.results import write_result_columns
from apps.conversations.services import GROUP, Stored
from apps.intake.lifecycle import end_idle_chats, sweep
from apps.intake.live import Closing, OutOfStep, append, close
from apps.intake.platform_analysis import PlatformRule
from apps.intake.services import ingest, ingest_one
from apps.llm.specs import Priority
from apps.platforms.models import IntakePayload
from apps.platforms.sources import create_source, rules_of
from apps.webhooks import outbox
from apps.webhooks.models import Endpoint, Event
from apps.webhooks.services import create_endpoint
from tests.factories import make_agent, make_conversations

pytestmark = pytest.mark.django_db

BY = Actor.system("tests")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
HELLO = {"role": "agent", "content": "Hello, how can I help?"}
BILL = {"role": "user", "content": "I was charged twice."}
THANKS = {"role": "user", "content": "Thank you."}


@pytest.fixture
def chat_agent() -> Agent:
    return make_agent(channel="chat")


@pytest.fixture
def agent() -> Agent:
    return make_agent()


def line(agent: Agent, **values: Any) -> dict[str, Any]:
    return {
        "agent_id": agent.public_id,
        "channel": agent.channel,
        "external_id": "x",
        "messages": [HELLO, BILL],
        **values,
    }


def take(
    agent: Agent, *, now: datetime = NOON, rule: PlatformRule | None = None, **values: Any
) -> Stored:
    return ingest_one(
        line=line(agent, **values), by=BY, source="shop", now=now, platform_analysis=rule
    )


def only() -> Conversation:
    return Conversation.objects.select_related("transcript", "attributes", "agent").get()


def standing() -> tuple[str, str, str]:
    found = only()
    return found.status, found.analysis_state, found.analysis_reason


def said() -> list[str]:
    return [message["content"] for message in only().transcript.messages]


def finish_analysis(conversation: Conversation) -> None:
    """As if a worker had recorded a result of everything that was said so far."""

    retire_current([conversation.pk])
    Analysis.objects.open().filter(conversation=conversation).update(
        state="succeeded", is_current=True, output={"chat_summary": "s"}
    )
    write_result_columns(
        [
            column_row(
                conversation_id=conversation.pk,
                output={"chat_summary": "s"},
                columns={"summary": "chat_summary"},
                missing_required=[],
                config_id=None,
                trigger=Trigger.INITIAL,
                model="m",
                cost=None,
                at=NOON,
                messages=conversation.message_count,
            )
        ]
    )


class TestTheEnd:
    def test_a_call_that_ended_is_analysed_on_the_live_lane(self, agent: Agent) -> None:
        take(agent)
        analysis = Analysis.objects.get()
        assert (analysis.trigger, analysis.priority, analysis.state) == (
            Trigger.INITIAL,
            Priority.LIVE,
            "pending",
        )
        assert standing() == ("ended", "pending", "")
        assert only().analyze_at is None

    def test_one_that_goes_on_is_not_due(self, agent: Agent) -> None:
        take(agent, status="ongoing")
        assert standing() == ("ongoing", "none", "not_ended")
        assert (only().analyze_at, only().idle_at) == (None, NOON + 24 * HOUR)
        assert sweep(now=NOON + 23 * HOUR).seen == 0

    def test_its_end_by_another_line_starts_it(self, agent: Agent) -> None:
        take(agent, status="ongoing")
        take(agent, status="ended")
        assert Analysis.objects.count() == 1
        take(agent, status="ended")
        assert Analysis.objects.count() == 1

    def test_who_dies_at_the_request_has_stored_nothing(
        self, agent: Agent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as dead:
            dead.setattr(auto_analysis, "insert_new", _die)
            with pytest.raises(KeyboardInterrupt):
                take(agent)
        assert not Conversation.objects.exists()
        take(agent)
        assert standing() == ("ended", "pending", "")

    @pytest.mark.parametrize(("times", "state"), [(1, "pending"), (2, "failed")])
    def test_a_plan_that_breaks_leaves_the_conversation_stored(
        self, agent: Agent, monkeypatch: pytest.MonkeyPatch, times: int, state: str
    ) -> None:
        broken = iter([True] * times)

        def plan(steps: Any) -> Any:
            if next(broken, False):
                raise ValueError("a fault of ours")
            return plan_for_steps(steps)

        monkeypatch.setattr(auto_analysis, "plan_for_steps", plan)
        take(agent)
        assert standing() == ("ended", state, "internal" if state == "failed" else "")
        assert only().analyze_at is None
        assert Analysis.objects.count() == (state == "pending")

    def test_one_that_cannot_be_asked_for_spoils_no_other(
        self, agent: Agent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = make_conversations(agent, 3, analyze_at=NOON)
        decide = auto_analysis._why_not_first

        def but_one(conversation: Conversation, plan: Plan) -> Any:
            if conversation == made[1]:
                raise ValueError("a bug")
            return decide(conversation, plan)

        monkeypatch.setattr(auto_analysis, "_why_not_first", but_one)
        assert request_due(now=NOON) == Requested(seen=3, queued=2)
        states = Conversation.objects.order_by("pk").values_list(
            "analysis_state", "analysis_reason", "analyze_at"
        )
        assert list(states) == [
            ("pending", "", None),
            ("failed", "internal", None),
            ("pending", "", None),
        ]

    def test_many_are_asked_for_in_groups_and_bounded_time(self, agent: Agent) -> None:
        make_conversations(agent, GROUP + 50, analyze_at=NOON)
        assert sweep(now=NOON, seconds=0) == Requested(GROUP, GROUP)
        assert sweep(now=NOON) == Requested(50, 50)
        assert Analysis.objects.count() == GROUP + 50

    def test_a_group_costs_a_fixed_number_of_queries(
        self, agent: Agent, django_assert_max_num_queries: Any
    ) -> None:
        make_conversations(agent, GROUP, analyze_at=NOON)
        with django_assert_max_num_queries(20):
            request_due(now=NOON)

    def test_the_database_keeps_what_is_due_and_what_is_open_apart(self, agent: Agent) -> None:

        (one,) = make_conversations(agent, 1)
        for wrong in ({"status": "ongoing", "analyze_at": NOON}, {"idle_at": NOON}):
            with pytest.raises(IntegrityError), transaction.atomic():
                Conversation.objects.filter(pk=one.pk).update(**wrong)


def _die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


class TestIdleChats:
    def test_a_chat_ends_after_the_idle_time_of_its_version(self, chat_agent: Agent) -> None:
        take(chat_agent, status="ongoing")
        assert only().idle_at == NOON + HOUR
        assert end_idle_chats(now=NOON + HOUR - SECOND) == 0
        assert end_idle_chats(now=NOON + HOUR) == 1
        ended = only()
        assert (ended.status, ended.disconnection_reason) == ("ended", "inactivity")
        assert ended.ended_at == NOON  # when the last message was said
        assert standing() == ("ended", "pending", "")
        assert sweep(now=NOON + 9 * HOUR).seen == 0
        assert Analysis.objects.count() == 1

    def test_the_time_counts_from_the_last_message_by_its_own_clock(
        self, chat_agent: Agent
    ) -> None:
        at = NOON - timedelta(minutes=50)
        take(chat_agent, status="ongoing", messages=[{**HELLO, "at": at.isoformat()}])
        assert only().idle_at == at + HOUR
        later = [{**HELLO, "at": at.isoformat()}, BILL]
        take(chat_agent, status="ongoing", messages=later, now=NOON + timedelta(minutes=5))
        assert only().idle_at == NOON + timedelta(minutes=65)
        assert end_idle_chats(now=NOON + timedelta(minutes=64)) == 0

    def test_a_clock_that_is_ahead_keeps_no_chat_open(self, chat_agent: Agent) -> None:
        ahead = (NOON + timedelta(days=400)).isoformat()
        take(chat_agent, status="ongoing", messages=[{**HELLO, "at": ahead}])
        assert only().idle_at == NOON + HOUR

    def test_duration_and_end_follow_from_the_last_message(self, chat_agent: Agent) -> None:
        start = NOON - timedelta(minutes=2)
        take(chat_agent, status="ongoing", started_at=start.isoformat())
        sweep(now=NOON + HOUR, rules_of=rules_of)
        assert (only().ended_at, only().duration_ms) == (NOON, 120_000)

    def test_nothing_of_the_api_idles_out(self, agent: Agent, chat_agent: Agent) -> None:
        take(agent, status="ongoing", external_id="call", source="api")
        take(chat_agent, status="ongoing", external_id="thread", source="api")
        assert sweep(now=NOON + 1000 * HOUR).seen == 0
        assert set(Conversation.objects.values_list("status", flat=True)) == {"ongoing"}

    def test_a_chat_is_given_the_time_of_the_agent_that_has_it_now(self, chat_agent: Agent) -> None:
        patient = make_agent(channel="chat", chat_idle_seconds=7200)
        to = {"after_message": 1, "to_agent_id": patient.public_id}
        take(chat_agent, status="ongoing", transfers=[to])
        assert only().idle_at == NOON + 2 * HOUR

    def test_more_patience_since_puts_it_off(self, chat_agent: Agent) -> None:
        take(chat_agent, status="ongoing")
        chat_agent.versions.update(chat_idle_seconds=7200)
        end_idle_chats(now=NOON + HOUR)
        assert (only().status, only().idle_at) == ("ongoing", NOON + 2 * HOUR)
        end_idle_chats(now=NOON + 2 * HOUR)
        assert only().status == "ended"

    def test_a_chat_that_goes_on_after_all_is_open_again(self, chat_agent: Agent) -> None:
        take(chat_agent, status="ongoing")
        sweep(now=NOON + HOUR, rules_of=rules_of)
        finish_analysis(only())
        again = NOON + 2 * HOUR
        take(chat_agent, status="ongoing", messages=[HELLO, BILL, THANKS], now=again)
        reopened = only()
        assert (reopened.status, reopened.stale) == ("ongoing", True)
        assert (reopened.ended_at, reopened.disconnection_reason) == (None, "")
        assert reopened.idle_at == again + HOUR
        assert reopened.analysis_state == "succeeded"  # the result stands until the next
        sweep(now=again + HOUR)
        assert only().status == "ended"
        assert Analysis.objects.open().get().trigger == Trigger.INITIAL

    def test_a_late_line_without_news_opens_nothing(self, chat_agent: Agent) -> None:
        take(chat_agent, status="ongoing")
        sweep(now=NOON + HOUR, rules_of=rules_of)
        take(chat_agent, status="ongoing", language="en", now=NOON + 2 * HOUR)
        assert (only().status, only().language) == ("ended", "en")

    def test_what_the_platform_ended_is_not_opened_by_a_late_line(self, chat_agent: Agent) -> None:
        take(chat_agent, status="ended", disconnection_reason="user_left")
        finish_analysis(only())
        take(chat_agent, status="ongoing", messages=[HELLO, BILL, THANKS])
        assert (only().status, only().stale) == ("ended", True)
        assert Analysis.objects.open().count() == 1  # it went on after its result

    def test_nothing_said_is_no_analysis(self, chat_agent: Agent) -> None:
        take(chat_agent, status="registered", messages=[])
        sweep(now=NOON + HOUR, rules_of=rules_of)
        assert standing() == ("ended", "skipped", "empty")


@pytest.mark.django_db(transaction=True)
class TestTheVeryMoment:
    """A chat idles out while a message arrives: whoever has the row first decides, nothing is
    lost."""

    def test_the_message_comes_first(self, chat_agent: Agent) -> None:
        chat = take(chat_agent, status="ongoing").conversation
        with Holding(chat):
            assert _elsewhere(lambda: end_idle_chats(now=NOON + HOUR)) == 0
            append(conversation=chat, messages=[THANKS], now=NOON + HOUR)
        assert end_idle_chats(now=NOON + HOUR) == 0
        assert (only().status, said()[-1]) == ("ongoing", "Thank you.")

    def test_the_sweep_comes_first(self, chat_agent: Agent) -> None:
        chat = take(chat_agent, status="ongoing").conversation
        arrived: list[object] = []
        with transaction.atomic():
            end_idle_chats(now=NOON + HOUR)
            late = Thread(
                target=lambda: arrived.append(
                    _elsewhere(
                        lambda: append(conversation=chat, messages=[THANKS], now=NOON + HOUR)
                    )
                )
            )
            late.start()
            late.join(0.2)
            assert not arrived  # it waits for the row
        late.join(10)
        assert (only().status, said()[-1]) == ("ongoing", "Thank you.")
        assert only().idle_at == NOON + 2 * HOUR
        end_idle_chats(now=NOON + 2 * HOUR)
        assert only().status == "ended"
        assert Analysis.objects.open().count() == 1

    def test_concurrent_appends_lose_nothing(self, chat_agent: Agent) -> None:
        chat = take(chat_agent, status="ongoing", messages=[]).conversation
        together = Barrier(4)

        def write(who: int) -> None:
            together.wait()
            for n in range(5):
                message = {"role": "user", "content": f"{who}-{n}"}
                append(conversation=chat, messages=[message])

        threads = [Thread(target=lambda w=w: _elsewhere(lambda: write(w))) for w in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert only().message_count == 20
        for who in range(4):  # each one's own in its own order
            assert [s for s in said() if s.startswith(f"{who}-")] == [
                f"{who}-{n}" for n in range(5)
            ]

    def test_two_sweeps_ask_once(self, agent: Agent) -> None:
        make_conversations(agent, 30, analyze_at=NOON)
        with transaction.atomic():
            assert request_due(now=NOON, limit=10).seen == 10
            assert _elsewhere(lambda: sweep(now=NOON).seen) == 20
        assert Analysis.objects.count() == 30


def _elsewhere(do: Callable[[], Any]) -> Any:
    """On a connection of its own."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(do())
        finally:
            connection.close()

    thread = Thread(target=run)
    thread.start()
    thread.join(30)
    return found[0] if found else None


class Holding:
    """The row of a conversation, locked as a writer does."""

    def __init__(self, conversation: Conversation) -> None:
        self.atomic = transaction.atomic()
        self.conversation = conversation

    def __enter__(self) -> None:
        self.atomic.__enter__()
        list(Conversation.objects.select_for_update(no_key=True).filter(pk=self.conversation.pk))

    def __exit__(self, *error: Any) -> None:
        self.atomic.__exit__(*error)


class TestAppending:
    @pytest.fixture
    def thread(self, chat_agent: Agent) -> Conversation:
        return take(chat_agent, status="ongoing", source="api").conversation

    def test_facts_and_search_follow(self, thread: Conversation) -> None:

        before = only().prompt_tokens_est
        append(conversation=thread, messages=[THANKS], now=NOON + HOUR)
        after = only()
        assert (after.message_count, after.last_message_at) == (3, NOON + HOUR)
        assert after.prompt_tokens_est > before
        for word in ("thank", "charged"):
            assert matching(channel="chat", params={"q": word}).get() == thread
        assert after.idle_at is None

    def test_a_registered_one_is_ongoing_with_its_first_message(self, chat_agent: Agent) -> None:
        opened = take(chat_agent, status="registered", messages=[]).conversation
        assert not opened.has_speech
        append(conversation=opened, messages=[BILL])
        assert (only().status, only().has_speech) == ("ongoing", True)

    def test_the_same_request_again_adds_nothing(self, thread: Conversation) -> None:
        for added in (2, 0):
            done = append(conversation=thread, messages=[THANKS, HELLO], after=2)
            assert done.added == added
        done = append(conversation=thread, messages=[HELLO, BILL, THANKS], after=0)
        assert done.added == 0  # a part of what is there
        done = append(conversation=thread, messages=[HELLO, BILL], after=3)
        assert done.added == 1  # the first of them is there
        assert said() == [HELLO["content"], BILL["content"], THANKS["content"], HELLO["content"],
                          BILL["content"]]  # fmt: skip

    def test_without_a_position_all_are_added(self, thread: Conversation) -> None:
        for _ in range(2):
            append(conversation=thread, messages=[THANKS])
        assert said()[-2:] == ["Thank you.", "Thank you."]

    @pytest.mark.parametrize(
        ("after", "messages", "words"),
        [
            (3, [THANKS], "after is 3, but there are only 2 messages"),
            (1, [THANKS], "Message 2 already exists with different content"),
        ],
    )
    def test_out_of_step(
        self, thread: Conversation, after: int, messages: list[Any], words: str
    ) -> None:
        with pytest.raises(OutOfStep, match=words):
            append(conversation=thread, messages=messages, after=after)
        assert only().message_count == 2

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ({"messages": None}, "messages is required"),
            ({"messages": [{"role": "pope", "content": ""}]}, r"messages\[0\].role must be one of"),
            ({"messages": [THANKS], "after": -1}, "after must be between"),
            ({"messages": [THANKS] * 100_000}, "would be 100,002 in all"),
        ],
    )
    def test_what_cannot_be_read(
        self, thread: Conversation, body: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(LineRefused, match=words):
            append(conversation=thread, **body)

    def test_a_long_thread_stays_searchable(self, thread: Conversation) -> None:

        wall = " ".join(f"word{n}" for n in range(30_000))
        append(conversation=thread, messages=[{"role": "user", "content": wall}])
        append(conversation=thread, messages=[THANKS])
        assert matching(channel="chat", params={"q": "charged"}).exists()

    def test_what_it_costs_does_not_grow(
        self, thread: Conversation, django_assert_max_num_queries: Any
    ) -> None:
        with django_assert_max_num_queries(9):
            append(conversation=thread, messages=[THANKS] * 50, after=2)


class TestClosing:
    @pytest.fixture
    def thread(self, chat_agent: Agent) -> Conversation:
        return take(chat_agent, status="ongoing", source="api").conversation

    def test_closing_starts_the_analysis(self, thread: Conversation) -> None:
        close(conversation=thread, by=BY, now=NOON + HOUR)
        assert standing() == ("ended", "pending", "")
        assert only().ended_at == NOON + HOUR

    def test_once_more_changes_nothing(self, thread: Conversation) -> None:
        close(conversation=thread, by=BY, now=NOON + HOUR)
        before = Conversation.objects.values().get()
        again = Closing(status="error", disconnection_reason="x")
        close(conversation=thread, by=BY, closing=again, now=NOON + 2 * HOUR)
        assert Conversation.objects.values().get() == before
        assert Analysis.objects.count() == 1

    def test_what_is_said_of_the_end_is_kept(self, agent: Agent) -> None:
        call = take(agent, status="ongoing", started_at=NOON.isoformat()).conversation
        closing = Closing(status="error", duration_ms=61_000, disconnection_reason="line_cut")
        close(conversation=call, by=BY, closing=closing, now=NOON + HOUR)
        ended = only()
        assert (ended.status, ended.duration_ms) == ("error", 61_000)
        assert ended.ended_at == NOON + timedelta(seconds=61)
        assert ended.disconnection_reason == "line_cut"

    def test_an_end_before_the_start_is_refused(self, agent: Agent) -> None:
        call = take(agent, status="ongoing", started_at=NOON.isoformat()).conversation
        with pytest.raises(LineRefused, match="ended_at is before started_at"):
            close(conversation=call, by=BY, closing=Closing(ended_at=NOON - SECOND))
        assert only().status == "ongoing"

    def test_a_result_that_comes_along_is_the_result(self, thread: Conversation) -> None:
        closing = Closing(analysis={"chat_summary": "Charged twice"})
        close(conversation=thread, by=BY, closing=closing)
        assert (only().summary, only().analyze_at) == ("Charged twice", None)
        assert Analysis.objects.get().trigger == Trigger.IMPORTED

    def test_never_connected(self, thread: Conversation) -> None:
        closing = Closing(status="not_connected")
        close(conversation=thread, by=BY, closing=closing)
        assert standing() == ("not_connected", "skipped", "not_connected")

    def test_a_closed_one_goes_on_and_is_analysed_again(self, thread: Conversation) -> None:
        close(conversation=thread, by=BY)
        finish_analysis(only())
        append(conversation=thread, messages=[THANKS])
        assert (only().status, only().stale) == ("ongoing", True)
        assert sweep(now=NOON + 10_000 * HOUR).seen == 0
        close(conversation=thread, by=BY)
        assert Analysis.objects.open().get().trigger == Trigger.INITIAL
        finish_analysis(only())
        assert not only().stale

    def test_a_failure_is_tried_again_at_the_next_end(self, thread: Conversation) -> None:
        close(conversation=thread, by=BY)
        Analysis.objects.update(state="failed", error_code="timeout")
        Conversation.objects.update(analysis_state="failed", analysis_reason="timeout")
        append(conversation=thread, messages=[THANKS])
        assert standing() == ("ongoing", "none", "not_ended")
        close(conversation=thread, by=BY)
        assert standing() == ("ended", "pending", "")

    def test_what_another_analysis_reads_is_looked_at_again(self, thread: Conversation) -> None:
        """It may have begun before the last words: its result decides."""
        close(conversation=thread, by=BY, now=NOON)
        finish_analysis(only())
        append(conversation=thread, messages=[THANKS], now=NOON)
        running = Analysis.objects.create(
            conversation=only(),
            agent_version=only().agent_version,
            config=only().agent_version.config,
            trigger=Trigger.RERUN,
            requested_by="tests",
        )
        close(conversation=thread, by=BY, now=NOON)
        assert only().analyze_at == NOON + timedelta(seconds=5)
        Analysis.objects.filter(pk=running.pk).update(state="failed", error_code="timeout")
        assert request_due(now=NOON + timedelta(seconds=5)).queued == 1
        assert only().analyze_at is None


class TestPlatformRules:
    THEIRS: dict[str, Any] = {"call_summary": "Theirs"}

    def test_ours(self, agent: Agent) -> None:
        rule = PlatformRule("ours")
        take(agent, rule=rule)
        take(agent, rule=rule, analysis=self.THEIRS)
        assert only().attributes.metadata == {"platform_analysis": self.THEIRS}
        assert only().analysis_state == "pending"
        assert Analysis.objects.get().trigger == Trigger.INITIAL

    def test_theirs(self, agent: Agent) -> None:
        rule = PlatformRule("theirs")
        take(agent, rule=rule)
        assert standing() == ("ended", "none", "waiting_for_platform")
        assert sweep(now=NOON + 1000 * HOUR).seen == 0
        take(agent, rule=rule, analysis=self.THEIRS)
        assert (only().summary, only().analysis_trigger) == ("Theirs", "imported")
        assert only().analysis_reason == ""

    def test_theirs_of_what_cannot_be_analysed(self, agent: Agent) -> None:
        take(agent, rule=PlatformRule("theirs"), messages=[])
        assert standing() == ("ended", "skipped", "empty")
        take(agent, rule=PlatformRule("theirs"))
        assert standing() == ("ended", "none", "waiting_for_platform")

    def test_wait_until_theirs_comes(self, agent: Agent) -> None:
        rule = PlatformRule("wait", 10)
        take(agent, rule=rule)
        assert standing() == ("ended", "none", "waiting_for_platform")
        assert only().analyze_at == NOON + timedelta(minutes=10)
        take(agent, rule=rule, analysis=self.THEIRS, now=NOON + timedelta(minutes=9))
        assert (only().summary, only().analyze_at) == ("Theirs", None)
        assert sweep(now=NOON + HOUR).seen == 0

    def test_wait_in_vain(self, agent: Agent) -> None:
        rule = PlatformRule("wait", 10)
        take(agent, rule=rule)
        more = [HELLO, BILL, THANKS]
        take(agent, rule=rule, messages=more, now=NOON + timedelta(minutes=9))
        assert sweep(now=NOON + timedelta(minutes=10) - SECOND).seen == 0
        assert sweep(now=NOON + timedelta(minutes=10)).queued == 1
        finish_analysis(only())
        take(agent, rule=rule, messages=more, analysis=self.THEIRS, now=NOON + HOUR)
        assert only().analysis_trigger == "initial"  # ours stands; theirs is kept beside it
        assert only().attributes.metadata == {"platform_analysis": self.THEIRS}

    def test_wait_for_what_cannot_be_analysed(self, agent: Agent) -> None:
        take(agent, rule=PlatformRule("wait"), status="not_connected", messages=[])
        assert standing() == ("not_connected", "skipped", "not_connected")
        assert only().analyze_at is None

    def test_a_rule_that_changed_applies_to_what_comes_next(self, agent: Agent) -> None:
        take(agent, rule=PlatformRule("theirs"))
        take(agent, rule=PlatformRule("ours"), analysis=self.THEIRS)
        assert only().analysis_state == "pending"

    @pytest.mark.parametrize(
        ("rule", "reason", "due"),
        [
            ("theirs", "waiting_for_platform", None),
            ("wait", "waiting_for_platform", NOON + HOUR + timedelta(minutes=10)),
            ("ours", "", None),
        ],
    )
    def test_the_rule_holds_for_a_chat_that_idles_out(
        self, chat_agent: Agent, rule: str, reason: str, due: datetime | None
    ) -> None:
        chat = take(chat_agent, status="ongoing").conversation
        source = create_source(
            kind="retell", name="Shop", secret="key_1", platform_analysis=rule, by=BY
        )
        IntakePayload.objects.create(source=source, conversation=chat, body={}, state="taken")
        sweep(now=NOON + HOUR, rules_of=rules_of)
        state = "pending" if rule == "ours" else "none"
        assert standing() == ("ended", state, reason)
        assert only().analyze_at == due


class TestEvents:
    """`conversation.ended`: by every receiver alike, once for each end."""

    @pytest.fixture(autouse=True)
    def _listening(self) -> None:
        create_endpoint(
            url="https://example.com/hook", events=["conversation.ended"], agent=None, by=BY
        )

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(e.payload) for e in Event.objects.order_by("pk")]

    def test_one_line_ended(self, agent: Agent) -> None:
        take(agent, started_at=NOON.isoformat(), duration_ms=61_000, metadata={"plan": "pro"})
        (told,) = self.events()
        part = told.pop("conversation")
        assert (part["external_id"], part["duration_ms"]) == ("x", 61_000)
        assert part["metadata"] == {"plan": "pro"}
        assert told == {
            "event": "conversation.ended",
            "conversation_id": only().public_id,
            "agent_id": agent.public_id,
            "timestamp": "2026-03-01T12:00:00Z",
            "agent_version": 0,
            "status": "ended",
            "ended_at": "2026-03-01T12:01:01Z",
            "disconnection_reason": None,
            "message_count": 2,
        }

    def test_not_again_for_the_same_end(self, agent: Agent) -> None:
        for status in ("ongoing", "ended", "ended", "ongoing"):
            take(agent, status=status)
        take(agent, messages=[HELLO, BILL, THANKS])
        assert len(self.events()) == 1

    def test_each_of_a_group_once(self, agent: Agent) -> None:
        lines = [
            line(agent, external_id=str(n % 3), status=s)
            for n, s in enumerate(["ongoing"] * 3 + ["ended"] * 6)
        ]
        ingest(lines=lines, by=BY, now=NOON)
        assert [e["conversation"]["external_id"] for e in self.events()] == ["0", "1", "2"]

    def test_a_chat_that_idles_out_goes_on_and_idles_out(self, chat_agent: Agent) -> None:
        take(chat_agent, status="ongoing")
        sweep(now=NOON + HOUR, rules_of=rules_of)
        take(chat_agent, status="ongoing", messages=[HELLO, BILL, THANKS], now=NOON + 2 * HOUR)
        sweep(now=NOON + 3 * HOUR)
        assert [e["ended_at"] for e in self.events()] == [
            "2026-03-01T12:00:00Z",
            "2026-03-01T14:00:00Z",
        ]
        assert {e["disconnection_reason"] for e in self.events()} == {"inactivity"}

    def test_closed_reopened_and_closed(self, chat_agent: Agent) -> None:
        thread = take(chat_agent, status="ongoing", source="api").conversation
        for _ in range(2):
            close(conversation=thread, by=BY)
            close(conversation=thread, by=BY)
            append(conversation=thread, messages=[THANKS])
        assert [e["message_count"] for e in self.events()] == [2, 3]

    def test_what_failed_to_be_stored_ended_for_nobody(self, agent: Agent) -> None:
        with pytest.raises(LineRefused):
            take(agent, agent_version=7)
        assert self.events() == []

    def test_the_demo_tells_nobody(self, agent: Agent) -> None:
        ingest(lines=[line(agent)], by=BY, analyze=False)
        assert self.events() == []

    def test_without_a_listener_it_costs_one_query(
        self, agent: Agent, django_assert_num_queries: Any
    ) -> None:
        Endpoint.objects.all().delete()
        with django_assert_num_queries(1):
            outbox.announce_ended([1, 2, 3], now=NOON)


class TestReasons:
    """The closed list, each by the rule that makes it."""

    @pytest.mark.parametrize(
        ("settings", "values", "reason"),
        [
            ({"post_analysis_enabled": False}, {}, "disabled"),
            ({"sample_percent": Decimal(0)}, {}, "sampled_out"),
            ({"min_messages": 3}, {}, "too_short"),
            ({"min_seconds": 30}, {"duration_ms": 29_999}, "too_short"),
            ({}, {"messages": []}, "empty"),
            ({}, {"messages": [{"role": "system", "content": "hi"}]}, "no_speech"),
            ({}, {"status": "not_connected"}, "not_connected"),
        ],
    )
    def test_of_what_is_left_out(
        self, settings: dict[str, Any], values: dict[str, Any], reason: str
    ) -> None:
        take(make_agent(**settings), **values)
        assert standing()[1:] == ("skipped", reason)
        assert only().analyze_at is None

    @pytest.mark.parametrize(
        ("settings", "values"),
        [
            ({"min_messages": 2}, {}),
            ({"min_seconds": 30}, {"duration_ms": 30_000}),
            ({"min_seconds": 30}, {}),  # nobody knows how long it was
        ],
    )
    def test_just_enough(self, settings: dict[str, Any], values: dict[str, Any]) -> None:
        take(make_agent(**settings), **values)
        assert only().analysis_state == "pending"

    def test_deactivated_and_unconfigured_agents(self, agent: Agent) -> None:
        Agent.objects.update(deactivated_at=NOON)
        take(agent)
        assert standing()[1:] == ("skipped", "disabled")
        Agent.objects.update(deactivated_at=None, unconfigured=True)
        take(agent, external_id="y")
        assert Conversation.objects.get(external_id="y").analysis_reason == "unconfigured"

    def test_switching_on_analyses_nothing_of_the_past(self) -> None:
        agent = make_agent(post_analysis_enabled=False)
        take(agent)
        agent.versions.update(post_analysis_enabled=True)
        publish(agent=agent, by=BY)
        assert sweep(now=NOON + HOUR).seen == 0
        assert standing()[1:] == ("skipped", "disabled")
        take(agent, external_id="next")
        assert Conversation.objects.get(external_id="next").analysis_state == "pending"

    def test_sampling_says_the_same_of_an_id_each_time(self) -> None:
        agent = make_agent(sample_percent=Decimal(30))
        ingest(lines=[line(agent, external_id=str(n)) for n in range(100)], by=BY)
        left = set(
            Conversation.objects.filter(analysis_reason="sampled_out").values_list("pk", flat=True)
        )
        assert 50 < len(left) < 90
        Conversation.objects.update(analysis_state="none", analyze_at=NOON)
        Analysis.objects.all().delete()
        sweep(now=NOON)
        again = Conversation.objects.filter(analysis_reason="sampled_out")
        assert set(again.values_list("pk", flat=True)) == left


class TestRepeatedInOneUpload:
    def test_opened_and_ended_in_one_group(self, agent: Agent) -> None:
        lines = [line(agent, status=status) for status in ("ongoing", "ended", "ended", "ongoing")]
        report = ingest(lines=lines, by=BY, now=NOON)
        assert (report.accepted, report.updated, report.unchanged) == (1, 1, 2)
        assert report.to_analyze == Analysis.objects.count() == 1

    def test_a_refused_one_between(self, agent: Agent) -> None:
        lines = [line(agent, agent_id="agt_none"), line(agent), line(agent, agent_version=9)]
        report = ingest(lines=lines, by=BY, now=NOON)
        assert (report.accepted, report.refused) == (1, 2)
        assert [error.line for error in report.errors] == [1, 3]

    def test_the_last_result_of_a_group_is_the_current_one(self, agent: Agent) -> None:
        lines = [line(agent, analysis={"call_summary": words}) for words in ("one", "two")]
        report = ingest(lines=lines, by=BY, now=NOON)
        assert (report.accepted, report.updated) == (1, 1)
        assert only().summary == "two"
        assert Analysis.objects.current().count() == 1
