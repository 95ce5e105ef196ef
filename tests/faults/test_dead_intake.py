"""A process that dies between the end of conversations and the request for their analyses."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection
from django.db.models import Count

from apps.analysis.models import Analysis
from apps.conversations.models import Conversation
from apps.intake import lifecycle
from tests.factories import make_agent

pytestmark = [pytest.mark.django_db(transaction=True)]

ROOT = Path(__file__).parents[2]

#: Takes conversations in, in groups of twenty, and stands still after so many requests: the ends
#: of the group that follows are committed by then, and nobody has asked for their analyses.
TAKES_IN = """
import sys, time
import django
django.setup()
from apps.accounts.actors import Actor
from apps.intake import lifecycle, services

agent, groups = sys.argv[1], int(sys.argv[2])
asked, ask = 0, lifecycle.request_due

def stand_still(**kwargs):
    global asked
    if asked == groups:
        print("between", flush=True)
        time.sleep(600)
    asked += 1
    return ask(**kwargs)

lifecycle.request_due = stand_still
services.GROUP = 20
said = [{"role": "user", "content": "I was charged twice."}]
lines = (
    {"agent_id": agent, "channel": "voice", "external_id": str(n), "messages": said}
    for n in range(200)
)
services.ingest(lines=lines, by=Actor.system("tests"), source="torn")
"""


def test_the_sweep_asks_in_its_place_and_for_none_twice() -> None:
    agent = make_agent()
    with _start("-c", TAKES_IN, agent.public_id, "3") as uploading:
        try:
            assert uploading.stdout is not None
            assert uploading.stdout.readline().strip() == "between"
        finally:
            uploading.kill()

    assert Conversation.objects.count() == 80
    assert Conversation.objects.filter(analyze_at__isnull=False).count() == 20
    assert Analysis.objects.count() == 60

    assert lifecycle.sweep() == lifecycle.Requested(seen=20, queued=20)
    assert lifecycle.sweep().seen == 0
    assert Conversation.objects.filter(analysis_state="pending", analyze_at=None).count() == 80
    per_conversation = Conversation.objects.annotate(asked=Count("analyses"))
    assert set(per_conversation.values_list("asked", flat=True)) == {1}


def _start(*argv: str) -> "subprocess.Popen[str]":
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.worker_settings",
        "TEST_DATABASE_NAME": str(connection.settings_dict["NAME"]),
        "TEST_LEASE_SECONDS": "6",
        "PYTHONWARNINGS": "ignore",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.Popen(
        [sys.executable, *argv], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
