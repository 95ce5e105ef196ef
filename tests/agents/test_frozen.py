"""What is published, and what results name, is never changed: by code and by the database."""

from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection, transaction

from apps.agents import services
from apps.agents.models import Agent, AgentVersion, AnalysisConfig, ConfigSave, Immutable
from tests.factories.drafts import ADA, agent, draft

pytestmark = pytest.mark.django_db


@pytest.fixture
def published() -> AgentVersion:
    return services.publish(agent=agent(), by=ADA)


def run(sql: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.parametrize(
    "change",
    [
        lambda version: version.save(),
        lambda version: version.delete(),
        lambda version: AgentVersion.objects.filter(pk=version.pk).update(title="x"),
        lambda version: AgentVersion.objects.filter(pk=version.pk).delete(),
        lambda version: AgentVersion.objects.all().update(title="x"),
    ],
)
def test_code_refuses_to_change_a_published_version(
    published: AgentVersion, change: Callable[[AgentVersion], object]
) -> None:
    with pytest.raises(Immutable):
        change(published)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE agents_agentversion SET title = 'x' WHERE published_at IS NOT NULL",
        "UPDATE agents_agentversion SET published_at = NULL WHERE published_at IS NOT NULL",
        "DELETE FROM agents_agentversion WHERE published_at IS NOT NULL",
        "UPDATE agents_analysisconfig SET document = '{}'",
        "UPDATE agents_configsave SET editor_document = '{}'",
    ],
)
def test_the_database_refuses_too(published: AgentVersion, sql: str) -> None:
    with pytest.raises(IntegrityError, match="never changed or deleted"):
        run(sql)


def test_the_database_refuses_to_delete_a_config(published: AgentVersion) -> None:
    # One that nothing refers to, or the foreign keys would answer first.
    AnalysisConfig.objects.create(sha256="0" * 64, document="{}", model=published.config.model)
    with pytest.raises(IntegrityError, match="never changed or deleted"):
        run(f"DELETE FROM agents_analysisconfig WHERE sha256 = '{'0' * 64}'")


def test_code_refuses_to_change_a_config(published: AgentVersion) -> None:
    config = published.config
    for change in (config.save, config.delete, AnalysisConfig.objects.all().delete):
        with pytest.raises(Immutable):
            change()
    with pytest.raises(Immutable):
        AnalysisConfig.objects.update(document="{}")


def test_the_draft_can_still_be_changed(published: AgentVersion) -> None:
    version = draft(published.agent)
    version.retention_days = 30
    version.save()
    AgentVersion.objects.drafts().update(retention_days=31)
    version.refresh_from_db()
    assert version.retention_days == 31


def test_an_agent_has_one_draft(published: AgentVersion) -> None:
    copy = draft(published.agent)
    copy.pk, copy.number = None, 9
    copy._state.adding = True
    with pytest.raises(IntegrityError, match="agent_one_draft"), transaction.atomic():
        copy.save()


def test_an_agent_that_only_has_a_draft_can_go() -> None:
    made = agent()
    made.delete()
    assert not Agent.objects.exists()
    assert not ConfigSave.objects.exists()
