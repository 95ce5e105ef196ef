"""Backfills over the fake provider, and what must be true of them whatever happened."""

import random
from collections import Counter
from collections.abc import Callable, Sequence

from django.db.models import Count

from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.analysis.effects import UNLESS_ASKED, SideEffects
from apps.analysis.models import Analysis
from apps.conversations.models import Conversation
from apps.llm.models import Usage
from apps.runs.models import Run, State
from apps.runs.options import Options
from apps.runs.services import start
from tests.factories import make_agent, make_conversations, make_model
from tests.fakes.fixtures import FakeLLM

from .harness import Workers, sweep, wait_until

TESTS = Actor.system("tests")


def agent_of(fake: FakeLLM, *, channel: str = "voice") -> Agent:
    """An agent whose model is the fake server."""
    model = make_model(base_url=fake.url, api_key_env="FAKE_API_KEY")
    return make_agent(model=model, channel=channel)


def run_of(
    fake: FakeLLM, items: int, *, channel: str = "voice", side_effects: SideEffects = UNLESS_ASKED
) -> Run:
    """A queued backfill of so many conversations of a fresh agent."""
    make_conversations(agent_of(fake, channel=channel), items)
    return start_run(channel=channel, side_effects=side_effects)


def start_run(*, channel: str = "voice", side_effects: SideEffects = UNLESS_ASKED) -> Run:
    """A queued backfill of all conversations of a channel that have no result yet."""
    options = Options(side_effects=side_effects)
    return start(channel=channel, params={}, options=options, by=TESTS)


def done(run: Run) -> int:
    """How many items are done."""
    return run.items.filter(state="done").count()


def is_over(run: Run) -> bool:
    """the run has ended"""
    run.refresh_from_db()
    return run.state in {State.COMPLETED, State.CANCELLED}


def states(run: Run) -> dict[str, int]:
    """Items by the state that is shown: what waited in a canceled run is skipped."""
    return dict(Counter(item.shown_state.value for item in run.items.select_related("run")))


def finish(run: Run, workers: Workers, *, kill_at: Sequence[int]) -> None:
    """Wait for the end of a run, one of whose workers is killed after so many items, each time."""
    chance = random.Random(1)
    kill_on_the_way(run, lambda: workers.kill_one(chance), moments=kill_at, timeout=120)


def kill_on_the_way(
    run: Run,
    kill: Callable[[], object],
    *,
    moments: Sequence[int],
    timeout: float,
    drum: Callable[[], object] = sweep,
) -> None:
    """Wait for the end of a run, and kill each time that so many of its items are done.

    Moments are numbers of items, so that a slow machine sees them too.
    """
    left = list(moments)

    def kill_now_and_then() -> None:
        if left and done(run) >= left[0]:
            left.pop(0)
            kill()

    wait_until(
        lambda: is_over(run), timeout=timeout, every=0.01, between=kill_now_and_then, drum=drum
    )
    assert not left


def random_moments(items: int, *, kills: int, seed: int) -> list[int]:
    """Return numbers of items for `kill_on_the_way`; a good part of the run follows the last."""
    return sorted(random.Random(seed).sample(range(items // 50, items * 9 // 10), kills))


def assert_consistent(*, current: int) -> None:
    """Nothing is open, nothing is current twice, and every result was charged once."""
    assert Analysis.objects.open().count() == 0
    by_conversation = Analysis.objects.current().order_by().values("conversation_id")
    assert by_conversation.annotate(n=Count("pk")).filter(n__gt=1).count() == 0
    assert by_conversation.count() == current
    assert Conversation.objects.filter(analysis_state="succeeded").count() == current
    # A worker that was given up for dead adds what it spent, under the id of the same analysis.
    charged = Usage.objects.values_list("analysis_id", flat=True)
    asked = Analysis.objects.filter(requests__gt=0).values_list("public_id", flat=True)
    assert set(charged) == set(asked)


def assert_whole(run: Run, fake: FakeLLM, *, items: int, repeated: int = 0) -> None:
    """The promise to survive crashes in numbers: all done, and at most so many asked twice."""
    run.refresh_from_db()
    assert run.state == State.COMPLETED
    assert states(run) == {"done": items}
    assert_consistent(current=items)
    asked = fake.total
    assert items <= asked <= items + repeated
