"""Contacts end the same, in whatever order their conversations are analyzed and rerun."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.actors import Actor
from apps.contacts.models import Contact
from apps.conversations.models import Conversation
from apps.conversations.results import NewResult
from apps.mappings.contributions import contribute
from apps.mappings.edits import set_by_hand
from apps.mappings.marked_contacts import fold_marked
from apps.mappings.models import Contribution, Mode
from apps.mappings.reduction import Part, fold
from apps.privacy.erasure import erase
from tests.factories import (
    make_agent,
    make_contact,
    make_contact_field,
    make_conversation,
    make_mapping,
)

BY = Actor.system("tests")
START = datetime(2026, 1, 1, tzinfo=UTC)
TEXTS = st.one_of(st.none(), st.sampled_from(["a", "b", "c", "d"]))
MODES = st.sampled_from(Mode.values)


@given(st.lists(st.tuples(st.integers(0, 5), TEXTS, MODES, st.booleans())), st.randoms())
def test_the_fold_does_not_depend_on_the_order_of_arrival(
    rows: list[tuple[int, str | None, str, bool]], order: random.Random
) -> None:
    parts = [
        Part(key, START + timedelta(days=day), mode, value, None if by_hand else key)
        for key, (day, value, mode, by_hand) in enumerate(rows, start=1)
    ]
    mixed = list(parts)
    order.shuffle(mixed)
    assert fold(mixed) == fold(parts)


@pytest.mark.django_db
@pytest.mark.parametrize("mode", Mode.values)
@pytest.mark.parametrize("seed", range(4))
def test_ten_conversations_in_any_order_end_as_in_order_of_time(mode: str, seed: int) -> None:
    """Analyzed and rerun twice, with an edit, an erasure, and folds in between."""
    dice = random.Random(seed)
    make_contact_field("note")
    make_mapping("note", "note", mode=mode)
    agent, contact = make_agent(), make_contact()
    calls = [
        make_conversation(agent, contact=contact, sort_at=START + timedelta(days=day))
        for day in range(10)
    ]
    final = {call.pk: dice.choice([None, f"note {n}", "same"]) for n, call in enumerate(calls)}
    gone = dice.choice(calls)
    steps = [("draft", call) for call in calls] + [("final", call) for call in calls]
    dice.shuffle(steps)
    steps.sort(key=lambda step: step[0] == "final" and dice.random() < 0.5)
    edit_at, erase_at = sorted(dice.sample(range(len(steps)), 2))
    for at, (kind, call) in enumerate(steps):
        if at == edit_at:
            set_by_hand(contact=contact, values={"note": "by hand"}, by=BY)
            Contribution.objects.filter(kind="manual").update(at=START + timedelta(days=4.5))
        if at == erase_at:
            erase(conversations=Conversation.objects.filter(pk=gone.pk), by=BY, why="tests")
        if at < erase_at or call != gone:
            _analyze(call, f"draft of {call.pk}" if kind == "draft" else final[call.pk])
        if dice.random() < 0.3:
            fold_marked()
    for call in dice.sample(calls, len(calls)):
        if call != gone:
            _analyze(call, final[call.pk])
    while fold_marked():
        pass
    assert Contact.objects.get(pk=contact.pk).fields.get("note") == _in_order(calls, gone, final)


def _analyze(call: Conversation, note: str | None) -> None:
    values = {"note": note} if note else {}
    contribute([NewResult(call.pk, call.agent_id, "an_1", values)])


def _in_order(
    calls: list[Conversation], gone: Conversation, final: dict[int, str | None]
) -> str | None:
    """The value after each conversation was analyzed once, in order of time."""
    mode = Contribution.objects.filter(kind="conversation").values_list("mode", flat=True).first()
    held: list[str] = []
    for day, call in enumerate(calls):
        if day == 5:
            held = ["by hand"]
        note = final[call.pk]
        if call == gone or note is None:
            continue
        if mode == Mode.OVERWRITE or not held:
            held = [note]
        elif mode == Mode.ACCUMULATE and note not in held:
            held.append(note)
    return "\n\n".join(held) or None


@pytest.mark.django_db
def test_many_conversations_cost_one_write_per_contact() -> None:
    make_contact_field("note")
    make_mapping("note", "note")
    agent = make_agent()
    contacts = [make_contact() for _ in range(20)]
    for contact in contacts:
        for day in range(3):
            call = make_conversation(agent, contact=contact, sort_at=START + timedelta(days=day))
            _analyze(call, f"note {day}")
    assert fold_marked() == 20
    assert set(Contact.objects.values_list("fields__note", flat=True)) == {"note 2"}
    assert fold_marked() == 0
