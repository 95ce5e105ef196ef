"""A conversation without an analysis says exactly why, and what would help."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.models import Agent
from apps.analysis.missing_reason import MissingReason, missing_result_reason
from apps.conversations.models import Reason
from apps.llm.errors import ErrorCode
from tests.factories import make_agent, make_conversation, make_model

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("reason", [*Reason.values, *ErrorCode.values])
def test_every_reason_and_failure_has_its_sentence(reason: str) -> None:
    state = "failed" if reason in ErrorCode.values else "skipped"
    conversation = make_conversation(make_agent(), analysis_state=state, analysis_reason=reason)

    why = missing_result_reason(conversation)

    assert why.reason == reason
    assert why.sentence.startswith(("Not analyzed: ", "The analysis failed: "))
    assert why.sentence.endswith(".")


class TestExactlyWhy:
    """Settings that decided are named with their figures, and what would help is offered."""

    def why(self, agent: Agent | None = None, **values: Any) -> MissingReason:
        return missing_result_reason(make_conversation(agent or make_agent(), **values))

    def left_out(self, reason: str, agent: Agent | None = None, **values: Any) -> MissingReason:
        values = {"analysis_state": "skipped", "analysis_reason": reason, **values}
        return self.why(agent, **values)

    @pytest.mark.parametrize(
        ("reason", "settings", "values", "words"),
        [
            ("disabled", {"post_analysis_enabled": False}, {}, "is off for this agent"),
            ("disabled", {}, {}, "automatic analysis was off when it ended (it’s on now)"),
            (
                "sampled_out",
                {"sample_percent": Decimal("12.500")},
                {},
                "not in the agent’s 12.5% sample",
            ),
            ("sampled_out", {}, {}, "not in the agent's sample."),
            (
                "too_short",
                {"min_seconds": 30},
                {"duration_ms": 12_300},
                "it lasted 12s, below the agent’s minimum of 30s.",
            ),
            (
                "too_short",
                {"min_messages": 9},
                {},
                "it has 3 messages, below the agent’s minimum of 9.",
            ),
            ("too_short", {}, {}, "shorter than the agent's minimum length."),
            ("unconfigured", {}, {}, "the agent wasn’t set up when it ended (it is now)"),
        ],
    )
    def test_by_settings(
        self, reason: str, settings: dict[str, Any], values: dict[str, Any], words: str
    ) -> None:
        assert words in self.left_out(reason, make_agent(**settings), **values).sentence

    def test_an_agent_that_is_gone_or_not_set_up(self) -> None:
        agent = make_agent()
        agent.deactivated_at = timezone.now()
        agent.save()
        why = self.left_out("disabled", agent)
        assert ("the agent is deactivated" in why.sentence, why.way_out) == (True, "agent")
        agent.unconfigured = True
        agent.save()
        why = self.left_out("unconfigured", agent)
        assert ("when an editor saves the draft." in why.sentence, why.way_out) == (
            True,
            "prompts",
        )

    def test_an_agent_that_cannot_be_run(self) -> None:
        model = make_model(enabled=False)
        why = self.left_out("unconfigured", make_agent(model=model))
        assert f"uses {model.name}, which is switched off." in why.sentence

    @pytest.mark.usefixtures("_in_utc")
    def test_what_is_still_open(self) -> None:
        chat = make_agent(channel="chat")
        noon = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
        idle = self.why(chat, status="ongoing", idle_at=noon, source="shop")
        assert "will end at 12:30 PM on Mar 1 if there are no new messages" in idle.sentence
        thread = self.why(chat, status="ongoing", source="api")
        assert "ends when you close it there or on this page" in thread.sentence
        assert (thread.reason, thread.way_out, thread.shared) == ("not_ended", "close", False)

    @pytest.mark.usefixtures("_in_utc")
    def test_what_a_platform_is_to_send(self) -> None:
        noon = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
        values: dict[str, Any] = {"analysis_state": "none"}
        why = self.left_out("waiting_for_platform", analyze_at=noon, **values)
        assert "until 12:30 PM on Mar 1. After that, Debrief runs its own." in why.sentence
        why = self.left_out("waiting_for_platform", **values)
        assert why.sentence == (
            "Not analyzed: waiting for the platform's analysis. This source uses only the "
            "platform’s analysis. If none arrives, rerun the analysis."
        )
        assert why.way_out == "rerun"

    def test_the_settings_of_the_last_agent_decide(self) -> None:
        last = make_agent(post_analysis_enabled=False)
        conversation = make_conversation(
            make_agent(), analysis_state="skipped", analysis_reason="disabled"
        )
        conversation.transfers.create(
            position=0, after_message=1, to_version=last.versions.get(), setting="both_agents"
        )
        assert missing_result_reason(conversation).agent == last
