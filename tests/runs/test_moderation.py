"""A run in which the provider's moderation rejects one conversation."""

import pytest

from apps.accounts.actors import Actor
from apps.llm.specs import Priority
from apps.runs import services
from apps.runs.models import State
from apps.runs.options import Options
from tests.factories import make_agent, make_conversations, make_model
from tests.fakes.fixtures import FakeLLM
from tests.runners import run_queue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fake_key")]

FLAGGED = {
    "error": {
        "message": "Your chosen model requires moderation and your input was flagged",
        "code": 403,
        "metadata": {"reasons": ["violence"]},
    }
}


def test_one_rejected_conversation_of_sixty_fails_alone(fake_llm: FakeLLM) -> None:
    model = make_model(base_url=fake_llm.url, api_key_env="FAKE_API_KEY")
    make_conversations(make_agent(model=model), 60)
    by = Actor.system("tests")
    run = services.start(channel="voice", params={}, options=Options(), by=by)
    fake_llm.raw({"status": 403, "body": FLAGGED})
    run_queue(Priority.BACKFILL)
    run.refresh_from_db()
    assert (run.state, run.reason) == (State.COMPLETED, "")
    states = list(run.items.values_list("state", "error_code"))
    assert sorted(states) == [("done", "")] * 59 + [("failed", "content_filter")]
    assert fake_llm.total == 60
