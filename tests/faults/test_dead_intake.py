"""A process that dies between storing conversations and requesting their analyses."""

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

#: Takes conversations in, in groups of twenty, and stands still in the transaction of a group,
#: between its conversations and their analyses, after so many whole groups.
TAKES_IN = """
import sys, time
import django
django.setup()
from apps.accounts.actors import Actor
from apps.analysis.auto_analysis import FirstAnalyses
from apps.intake import services

agent, groups = sys.argv[1], int(sys.argv[2])
whole, request = 0, FirstAnalyses.request

def stand_still(self, stored, **more):
    global whole
    if whole == groups:
        print("between", flush=True)
        time.sleep(600)
    whole += 1
    return request(self, stored, **more)

FirstAnalyses.request = stand_still
services.GROUP = 20
said = [{"role": "user", "content": "I was charged twice."}]
lines = (
    {"agent_id": agent, "channel": "voice", "external_id": str(n), "messages": said}
    for n in range(200)
)
services.ingest(lines=lines, by=Actor.system("tests"), source="torn")
print("done", flush=True)
"""


def test_groups_are_stored_with_their_analyses_and_none_twice() -> None:
    agent = make_agent()
    with _start("-c", TAKES_IN, agent.public_id, "3") as uploading:
        try:
            assert uploading.stdout is not None
            assert uploading.stdout.readline().strip() == "between"
        finally:
            uploading.kill()
    assert _stored() == (60, 60)

    with _start("-c", TAKES_IN, agent.public_id, "100") as again:
        assert again.stdout is not None
        assert again.stdout.readline().strip() == "done"
    assert _stored() == (200, 200)
    assert lifecycle.sweep().seen == 0
    per_conversation = Conversation.objects.annotate(asked=Count("analyses"))
    assert set(per_conversation.values_list("asked", flat=True)) == {1}


def _stored() -> tuple[int, int]:
    """Return how many conversations wait for their analysis, of those stored, and analyses."""
    assert not Conversation.objects.exclude(analysis_state="pending").exists()
    return Conversation.objects.count(), Analysis.objects.count()


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
