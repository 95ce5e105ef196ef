"""Backfills in the economy lane, driven by a test: every step is due at once."""

from decimal import Decimal
from typing import Any

from django.utils import timezone

from apps.agents.models import Agent
from apps.llm.specs import Priority
from apps.runs import services
from apps.runs.economy import steps
from apps.runs.models import Run, Shipment
from apps.runs.options import Options
from tests.factories import make_agent, make_conversations, make_model
from tests.fakes.fixtures import FakeLLM
from tests.faults.runs import TESTS
from tests.runners import run_queue

HALF = Decimal("0.5")
PRICES = {
    "input_price": Decimal(1),
    "output_price": Decimal(4),
    "batch_factor": HALF,
    "has_batches": True,
}
ECONOMY = Options(lane="economy")


def agent_of(fake: FakeLLM, calls: int = 6, **more: Any) -> Agent:
    """An agent with so many calls, whose model has the Batch API of the fake provider."""
    model = make_model(**{**PRICES, "base_url": fake.url, "api_key_env": "FAKE_API_KEY", **more})
    agent = make_agent(model=model, name="Billing line")
    make_conversations(agent, calls)
    return agent


def start(options: Options = ECONOMY) -> Run:
    """A queued backfill of all calls."""
    return services.start(channel="voice", params={}, options=options, by=TESTS)


def advance(times: int = 1) -> None:
    """Do every step that there is, as if its time had come; so many rounds."""
    for _ in range(times):
        Shipment.objects.update(next_at=timezone.now(), lease_until=None)
        steps.run_steps()


def finish(run: Run, *, rounds: int = 30) -> Run:
    """Advance until the run has ended or paused and its batches are closed; ask directly too."""
    for _ in range(rounds):
        advance()
        run_queue(Priority.BACKFILL)
        run.refresh_from_db()
        if run.state in {"completed", "cancelled", "paused"} and not Shipment.objects.open():
            return run
    raise AssertionError([(s.state, s.status, s.error_message) for s in Shipment.objects.all()])
