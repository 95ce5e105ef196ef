"""Two at once: each in a thread and a transaction of its own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from apps.agents import services
from apps.agents.models import Agent, AgentVersion, AnalysisConfig, ConfigSave
from tests.factories.drafts import ADA, agent, draft

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(work: Callable[[int], object], how_many: int = 4) -> list[object]:
    """What each of several threads came to, exceptions included, having started together."""
    barrier = Barrier(how_many)

    def run(number: int) -> object:
        try:
            barrier.wait(timeout=20)
            return work(number)
        except services.DraftConflict as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(how_many) as pool:
        return list(pool.map(run, range(how_many)))


@pytest.fixture
def made() -> Agent:
    return agent(analysis={"instructions": "Brief."})


def test_of_several_saves_on_one_state_one_is_made(made: Agent) -> None:
    def save(number: int) -> services.SaveResult:
        change = {"analysis": {"instructions": f"Number {number}."}}
        return services.save_draft(
            agent=made, changes=change, by=ADA, expected=services.Stamp(0, 2)
        )

    results = at_once(save)
    saved = [r for r in results if isinstance(r, services.SaveResult)]
    assert len(saved) == 1
    assert sum(isinstance(r, services.DraftConflict) for r in results) == 3
    assert draft(made).save_count == 3
    assert draft(made).config_id == saved[0].version.config_id


def test_saves_of_different_parts_come_one_after_the_other(made: Agent) -> None:
    changes: list[Any] = [
        {"analysis": {"instructions": "Other."}},
        {"post_analysis": {"min_seconds": 5}},
        {"analysis": {"built_ins": {"call_summary": {"prompt": "Five words."}}}},
        {"columns": {"outcome": ""}},
    ]
    at_once(lambda number: services.save_draft(agent=made, changes=changes[number], by=ADA))
    version = draft(made)
    assert version.save_count == 6
    assert version.config.parsed().instructions == ("Other.",)
    assert version.config.parsed().built_ins[0].prompt == "Five words."
    assert (version.min_seconds, version.outcome_field) == (5, "")
    assert ConfigSave.objects.count() == 6


def test_several_clicks_publish_once(made: Agent) -> None:
    results = at_once(
        lambda _: services.publish(agent=made, by=ADA, expected_version=0, expected_save_count=2)
    )
    assert {version.number for version in results if isinstance(version, AgentVersion)} == {0}
    assert sorted(AgentVersion.objects.values_list("number", flat=True)) == [0, 1]
    assert AgentVersion.objects.drafts().count() == 1


def test_a_save_and_a_publish_at_once_lose_nothing(made: Agent) -> None:
    def either(number: int) -> object:
        if number:
            return services.publish(agent=made, by=ADA)
        change = {"analysis": {"instructions": "Saved."}}
        return services.save_draft(agent=made, changes=change, by=ADA)

    at_once(either, 2)
    assert AgentVersion.objects.published().get().number == 0
    assert draft(made).config.parsed().instructions == ("Saved.",)


def test_equal_configs_made_at_once_are_one_row(made: Agent) -> None:
    others = [agent(f"Agent {number}") for number in range(4)]
    before = AnalysisConfig.objects.count()
    change = {"analysis": {"instructions": "The same for all."}}
    at_once(lambda n: services.save_draft(agent=others[n], changes=change, by=ADA))
    assert AnalysisConfig.objects.count() == before + 1
