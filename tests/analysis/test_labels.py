"""What the database itself holds of labels."""

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from apps.analysis.models import Analysis, Label, State, Verdict
from apps.conversations.models import Conversation, Trigger
from tests.factories import make_agent, make_conversation

pytestmark = pytest.mark.django_db


def make_analysis(conversation: Conversation) -> Analysis:
    return Analysis.objects.create(
        conversation=conversation,
        agent_version=conversation.agent_version,
        trigger=Trigger.IMPORTED,
        state=State.SUCCEEDED,
        requested_by="tests",
    )


def make_label(analysis: Analysis, **values: Any) -> Label:
    return Label.objects.create(
        **{
            "conversation": analysis.conversation,
            "analysis": analysis,
            "field": "resolved",
            "verdict": Verdict.CORRECTED,
            "value": False,
            "by": "Ada",
            **values,
        }
    )


@pytest.fixture
def analysis() -> Analysis:
    return make_analysis(make_conversation(make_agent()))


@pytest.mark.parametrize(
    ("values", "constraint"),
    [({"verdict": "perhaps"}, "label_verdict_known"), ({"field": ""}, "label_field_given")],
)
def test_labels_refused(analysis: Analysis, values: dict[str, str], constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        make_label(analysis, **values)


def test_one_label_of_a_field_is_current_whichever_analysis_it_saw(analysis: Analysis) -> None:
    make_label(analysis, is_current=False)
    make_label(analysis)
    make_label(analysis, field="topic", value=None)

    with pytest.raises(IntegrityError, match="label_one_current"), transaction.atomic():
        make_label(make_analysis(analysis.conversation))


def test_erasing_a_conversation_takes_its_labels_along(analysis: Analysis) -> None:
    make_label(analysis)

    analysis.conversation.delete()

    assert not Label.objects.exists()
