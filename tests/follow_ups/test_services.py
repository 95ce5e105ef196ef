"""Follow-ups are added once, taken once, finished, and reopened."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry, User
from apps.conversations.models import Conversation
from apps.follow_ups import services
from apps.follow_ups.listing import Queue, counts_for, follow_up_of
from apps.follow_ups.models import FollowUp, FollowUpState
from apps.follow_ups.services import Details
from tests.factories import make_agent, make_conversation, make_conversations, make_follow_up

pytestmark = pytest.mark.django_db

BY = Actor.system("tests")


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", role="operator", first_name="Ada")


@pytest.fixture
def grace() -> User:
    return User.objects.create_user("grace", role="editor", first_name="Grace")


def test_conversations_with_an_open_follow_up_are_left_out() -> None:
    conversations = make_conversations(make_agent(), 3)
    make_follow_up(conversations[0])
    make_follow_up(conversations[1], done_at=timezone.now())

    added = services.add_many(
        conversations=Conversation.objects.all(), details=Details(reason="Call back"), by=BY
    )

    assert (len(added.rows), added.skipped) == (2, 1)
    assert FollowUp.objects.open().count() == 3
    assert AuditEntry.objects.filter(verb="follow_up.added").count() == 2


def test_the_database_rejects_a_second_open_one() -> None:
    first = make_follow_up()
    with pytest.raises(IntegrityError, match="follow_up_open_once"), transaction.atomic():
        make_follow_up(first.conversation)
    make_follow_up(first.conversation, done_at=timezone.now())


def test_adding_one_twice_names_the_open_one() -> None:
    conversation = make_conversation(make_agent())
    first = services.add(conversation=conversation, details=Details(), by=BY)
    with pytest.raises(services.FollowUpExists, match=first.public_id):
        services.add(conversation=conversation, details=Details(), by=BY)


@pytest.mark.django_db(transaction=True)
def test_two_people_who_add_at_the_same_time_add_one() -> None:
    conversation = make_conversation(make_agent())
    alone = Conversation.objects.filter(pk=conversation.pk)
    counts: list[int] = []

    def add() -> None:
        added = services.add_many(conversations=alone, details=Details(), by=BY)
        counts.append(len(added.rows))

    _at_the_same_time(add, add)

    assert sorted(counts) == [0, 1]


@pytest.mark.django_db(transaction=True)
def test_two_people_who_take_the_same_one_get_one_owner(ada: User, grace: User) -> None:
    follow_up = make_follow_up()
    refused: list[str] = []

    def take(user: User) -> Callable[[], None]:
        def act() -> None:
            try:
                services.take(follow_up=follow_up, user=user, by=Actor.of_user(user))
            except services.FollowUpTaken as error:
                refused.append(error.message)

        return act

    _at_the_same_time(take(ada), take(grace))

    follow_up.refresh_from_db()
    assert follow_up.owner is not None
    assert refused == [f"{follow_up.owner.label} already took this follow-up."]
    services.take(follow_up=follow_up, user=follow_up.owner, by=BY)  # a second click


def _at_the_same_time(*acts: Callable[[], None]) -> None:
    together = threading.Barrier(len(acts))

    def run(act: Callable[[], None]) -> None:
        try:
            together.wait(30)
            act()
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def test_a_done_one_cannot_be_taken(ada: User) -> None:
    follow_up = make_follow_up(done_at=timezone.now(), done_by="Grace")
    with pytest.raises(services.FollowUpTaken, match="Grace already finished"):
        services.take(follow_up=follow_up, user=ada, by=BY)


def test_the_second_editor_is_told_and_overwrites_nothing() -> None:
    follow_up = make_follow_up(reason="Call back")
    services.change(follow_up=follow_up, changes={"note": "Left a message."}, by=BY, version=1)
    with pytest.raises(services.FollowUpChanged):
        services.change(follow_up=follow_up, changes={"note": "Mine"}, by=BY, version=1)
    follow_up.refresh_from_db()
    assert (follow_up.note, follow_up.version) == ("Left a message.", 2)
    services.change(follow_up=follow_up, changes={"note": "Mine"}, by=BY, version=2)
    follow_up.refresh_from_db()
    assert follow_up.note == "Mine"


def test_the_audit_log_names_fields_and_no_text() -> None:
    follow_up = make_follow_up()
    services.change(follow_up=follow_up, changes={"note": "Secret words"}, by=BY)
    entry = AuditEntry.objects.get(verb="follow_up.changed")
    assert (entry.target, entry.detail) == (follow_up.public_id, {"fields": ["note"]})
    services.change(follow_up=follow_up, changes={"note": "Secret words"}, by=BY)
    assert AuditEntry.objects.filter(verb="follow_up.changed").count() == 1


def test_finished_ones_are_reopened_but_never_beside_an_open_one() -> None:
    follow_up = make_follow_up()
    rows = FollowUp.objects.filter(pk=follow_up.pk)

    assert services.finish(rows=rows, by=BY) == 1
    assert services.finish(rows=rows, by=BY) == 0
    follow_up.refresh_from_db()
    assert (follow_up.state, follow_up.done_by) == (FollowUpState.DONE, BY.label)

    again = make_follow_up(follow_up.conversation)
    assert services.reopen(rows=rows, by=BY) == 0
    services.finish(rows=FollowUp.objects.filter(pk=again.pk), by=BY)
    # Two done ones of a conversation: the newest is reopened.
    assert services.reopen(rows=FollowUp.objects.all(), by=BY) == 1
    again.refresh_from_db()
    assert again.is_open
    assert again.done_by == ""


def test_many_are_assigned_and_finished_together(ada: User) -> None:
    for _ in range(3):
        make_follow_up()
    due = timezone.now() + timedelta(days=1)
    assert services.assign(rows=FollowUp.objects.all(), changes={"owner": ada}, by=BY) == 3
    assert services.assign(rows=FollowUp.objects.all(), changes={"due_at": due}, by=BY) == 3
    assert set(FollowUp.objects.values_list("owner", "due_at")) == {(ada.pk, due)}
    assert services.finish(rows=FollowUp.objects.all(), by=BY) == 3


def test_only_active_operators_can_own(ada: User) -> None:
    User.objects.create_user("eve", role="viewer")
    User.objects.create_user("gone", role="admin", is_active=False)
    assert services.owner_named("ada") == ada
    for name in ("eve", "gone", "nobody"):
        with pytest.raises(services.InvalidFollowUp, match="username of an active operator"):
            services.owner_named(name)


def test_a_changed_result_is_shown_and_changes_nothing_else() -> None:
    conversation = make_conversation(
        make_agent(), analysis_data={"follow_up_needed": False, "note": "x"}
    )
    follow_up = make_follow_up(conversation, values={"follow_up_needed": True, "note": "x"})
    (change,) = follow_up.changes()
    assert (change.name, change.before, change.after) == ("follow_up_needed", True, False)
    assert follow_up.is_open


class TestQueue:
    def test_views_and_counts(self, ada: User, grace: User) -> None:
        now = timezone.now()
        late = make_follow_up(due_at=now - timedelta(hours=1), owner=ada)
        free = make_follow_up()
        later = make_follow_up(due_at=now + timedelta(days=1), owner=grace)
        done = make_follow_up(due_at=now - timedelta(days=3), done_at=now)

        def of(view: str, **options: str) -> list[FollowUp]:
            return Queue(ada, view=view, **options).page(None).items

        assert of("") == [late, later, free]
        assert of("", sort="-created_at") == [later, free, late]
        assert of("mine") == [late]
        assert of("unassigned") == [free]
        assert of("overdue") == [late]
        assert of("done") == [done]
        assert of("", agent=free.conversation.agent.public_id) == [free]
        counts = counts_for(ada)
        assert (counts.open, counts.mine, counts.unassigned, counts.overdue) == (3, 1, 1, 1)
        assert counts.waiting == 2

    def test_a_conversation_shows_its_open_one_first(self) -> None:
        done = make_follow_up(done_at=timezone.now())
        assert follow_up_of(done.conversation) == done
        newer = make_follow_up(done.conversation)
        assert follow_up_of(done.conversation) == newer
        assert follow_up_of(make_conversation(make_agent())) is None
