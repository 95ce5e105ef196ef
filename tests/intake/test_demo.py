"""The demo loads whole, at the right days, once."""

import time
from datetime import date, timedelta

import pytest
from django.core.management import call_command
from django.db.models import TextField
from django.db.models.functions import Cast
from django.utils import timezone

from apps.agents.models import Agent, AgentVersion
from apps.analysis.models import Analysis
from apps.conversations.models import Conversation, Transcript

pytestmark = pytest.mark.django_db


def test_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    call_command("load_demo")
    took = time.monotonic() - started
    assert "4 agents" in capsys.readouterr().out
    conversations = Conversation.objects.filter(source="demo")
    assert conversations.count() >= 300
    assert took < 30  # some seconds; a busy machine is not a failure
    now = timezone.now()
    assert not conversations.filter(started_at__gt=now).exists()
    assert conversations.filter(started_at__lt=now - timedelta(days=61)).count() == 0
    assert conversations.filter(analysis_trigger="imported").count() >= 240
    assert not Analysis.objects.open().exists()  # a demo asks no model by itself
    assert conversations.filter(analysis_reason="not_connected").exists()
    assert conversations.filter(analysis_reason="not_ended").exists()
    assert set(Analysis.objects.current().values_list("trigger", flat=True)) == {"imported"}
    promised = conversations.filter(analysis_data__has_key="follow_up_date")
    values = [dict(given or {}) for given in promised.values_list("analysis_data", flat=True)]
    days = [date.fromisoformat(of["follow_up_date"]) for of in values if of["follow_up_date"]]
    assert len(days) > 20
    texts = Transcript.objects.annotate(text=Cast("messages", TextField()))
    assert not texts.filter(text__contains="{day").exists()
    for agent in Agent.objects.all():
        numbers = list(agent.versions.order_by("number").values_list("published_at", flat=True))
        published = [at for at in numbers if at]
        assert published == sorted(published)
        assert numbers[-1] is None
    for version in AgentVersion.objects.published():
        assert version.published_at is not None
        before_it = version.published_at - timedelta(days=1)
        handled = Conversation.objects.filter(agent_version=version)
        assert not handled.filter(started_at__lt=before_it).exists()
    stored = list(Conversation.objects.order_by("pk").values())
    call_command("load_demo", verbosity=0)
    assert list(Conversation.objects.order_by("pk").values()) == stored
