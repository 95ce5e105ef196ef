"""Things that exist, for tests that walk the URL map."""

from django.utils import timezone

from apps.accounts import services
from apps.accounts.actors import Actor
from apps.accounts.keys import create_api_key
from apps.accounts.models import Role, User
from apps.alerts.definitions import Definition
from apps.alerts.incidents import open_incident
from apps.alerts.services import create_rule
from apps.analysis.models import Analysis
from apps.contacts.models import ContactAlias
from apps.conversations.models import SavedView
from apps.mappings.directory.imports import upload
from apps.platforms.models import IntakePayload
from apps.platforms.sources import create_source
from apps.runs.models import Run
from apps.runs.options import Options
from apps.runs.services import start
from apps.webhooks.services import create_endpoint, send_test
from tests.factories import (
    make_agent,
    make_contact,
    make_contact_field,
    make_conversation,
    make_derived_field,
    make_email_report,
    make_follow_up,
    make_follow_up_rule,
    make_mapping,
)
from tests.factories.crm import make_connection, make_push

BY = Actor.system("test")


def things() -> dict[str, str]:
    """Make one of each, and return their ids by the names of path parameters."""
    agent = make_agent()
    conversation = make_conversation(agent)
    draft = agent.versions.get()
    analysis = Analysis.objects.create(
        conversation=conversation,
        agent_version=draft,
        config=draft.config,
        trigger="rerun",
        state="succeeded",
        output={},
    )
    trial = Run.objects.create(
        kind="trial",
        public_id="try_matrix",
        agent=agent,
        channel=agent.channel,
        save_token="matrix",
        as_of=timezone.now(),
    )
    trial.items.create(
        position=1, conversation=conversation, config=draft.config, agent_version=draft
    )
    run = start(channel=agent.channel, params={}, options=Options(), by=BY)
    person = User.objects.create_user("somebody")
    key, _ = create_api_key(name="some key", role=Role.VIEWER, by=BY)
    source = create_source(kind="retell", name="matrix", secret="key_matrix", by=BY)
    payload = IntakePayload.objects.create(source=source, body={}, state="taken")
    endpoint, _ = create_endpoint(
        url="https://8.8.8.8/hook", events=["conversation.ended"], agent=None, by=BY
    )
    (sent,) = send_test(endpoint=endpoint, types=["conversation.ended"], by=BY)
    push = make_push(connection=make_connection("https://8.8.8.8/crm"))
    view = SavedView.objects.create(name="ended", channel="voice", owner=person)
    shared = SavedView.objects.create(name="all", channel="voice", owner=person, shared=True)
    alert_rule, incident_id = _alerts()
    contact = make_contact()
    uid, token = services.password_link(person).strip("/").split("/")[1:]
    return {
        "agent_id": agent.public_id,
        "conv_id": conversation.public_id,
        "conversation_id": conversation.public_id,
        "trial_id": trial.public_id,
        "position": "1",
        "an_id": analysis.public_id,
        "index": "0",
        "source_id": source.public_id,
        "payload_id": str(payload.pk),
        "connection_id": push.connection.public_id,
        "push_id": push.public_id,
        "alias_id": str(ContactAlias.objects.create(contact=contact, email="old@a.example").pk),
        "kind": "http",
        "endpoint_id": endpoint.public_id,
        "webhook_id": endpoint.public_id,
        "event_id": sent.event.public_id,
        "view_id": view.public_id,
        "shared_view_id": shared.public_id,
        "export_id": "exp_none",
        "public_id": run.public_id,
        "backfill_id": run.public_id,
        "pk": str(person.pk),
        "key_id": key.public_id,
        "contact_id": contact.public_id,
        "import_id": upload(filename="people.csv", data=b"phone\n+15550199\n", by=BY).public_id,
        "field_name": make_contact_field("plan").name,
        "follow_up_id": make_follow_up(conversation).public_id,
        "rule_id": make_follow_up_rule().public_id,
        "alert_rule_id": alert_rule,
        "incident_id": incident_id,
        "derived_name": make_derived_field("low", kind="boolean", definition=LOW).name,
        "mapping_id": make_mapping("call_summary", "plan").public_id,
        "report_id": make_email_report().public_id,
        "view": "quality",
        "name": "score",
        "uid": uid,
        "token": token,
    }


LOW = {"rule": {"field": "duration_ms", "op": "lt", "value": 60_000}}


def _alerts() -> tuple[str, str]:
    """Return the IDs of an alert rule and of its open incident."""
    wanted = Definition(name="Busy", kind="count", channel="voice", direction="above", threshold=9)
    rule = create_rule(wanted=wanted, by=BY)
    return rule.public_id, open_incident(rule, agent_id=None, at=timezone.now()).public_id
