"""Who may do what: every URL of Debrief by its name, and the lowest role that each method needs.

`test_access_matrix.py` walks the URL map and tries each URL as a stranger and as every role. A
URL without a row here fails the tests, so a new page is not forgotten: add its row.

Helpers: `page(role)` only reads; `form(role)` reads and posts with one role; `action(role)` is
POST alone; anything else is a plain dict of method to role. `PUBLIC` needs nothing. A method that
a row does not name has to answer 405. Rows of the REST API are named by their route (names repeat
there) and tried with API keys.
"""

from apps.accounts.models import Role

PUBLIC = None

Needs = dict[str, Role | None]


def page(role: Role | None) -> Needs:
    """A page to read."""
    return {"GET": role}


def form(role: Role | None) -> Needs:
    """A form, and sending it."""
    return {"GET": role, "POST": role}


def action(role: Role | None) -> Needs:
    """A button that sends a POST."""
    return {"POST": role}


VIEWER, OPERATOR, EDITOR, ADMIN = Role.VIEWER, Role.OPERATOR, Role.EDITOR, Role.ADMIN


ACCESS: dict[str, Needs] = {
    # config
    "home": form(VIEWER),  # a redirect, whatever the method
    "components": page(ADMIN),
    "healthz": page(PUBLIC),
    "readyz": page(PUBLIC),
    "metrics": page(VIEWER),
    # accounts
    "accounts:login": form(PUBLIC),
    "accounts:logout": action(VIEWER),
    "accounts:profile": form(VIEWER),
    "accounts:choose_password": form(PUBLIC),  # by a signed link
    "accounts:api_keys": page(ADMIN),
    "accounts:api_key_new": form(ADMIN),
    "accounts:api_key_revoke": form(ADMIN),
    "accounts:people": page(ADMIN),
    "accounts:person_new": form(ADMIN),
    "accounts:person_edit": form(ADMIN),
    "accounts:person_password": form(ADMIN),
    "accounts:person_link": action(ADMIN),
    "accounts:person_active": form(ADMIN),
    "accounts:audit": page(ADMIN),
    # conversations
    "conversations:calls": page(VIEWER),
    "conversations:chats": page(VIEWER),
    "conversations:export": page(OPERATOR),
    "conversations:selected": page(OPERATOR),
    "conversations:count": page(VIEWER),
    "conversations:columns": page(VIEWER),
    "conversations:filter_row": page(VIEWER),
    "conversations:filter_edit": page(VIEWER),
    "conversations:saved_views": page(VIEWER),
    "conversations:saved_view_new": form(VIEWER),
    "conversations:saved_view_edit": form(VIEWER),
    "conversations:saved_view_delete": form(VIEWER),
    # contacts
    "contacts:list": page(VIEWER),
    "contacts:columns": page(VIEWER),
    "contacts:filter_edit": page(VIEWER),
    "contacts:filter_row": page(VIEWER),
    "contacts:export": page(OPERATOR),
    "contacts:new": form(EDITOR),
    "contacts:detail": page(VIEWER),
    "contacts:edit": form(EDITOR),
    "contacts:merge": form(EDITOR),
    "contacts:delete": form(ADMIN),
    "contacts:alias_release": form(EDITOR),
    "contacts:history": page(VIEWER),
    "contacts:import": form(EDITOR),
    "contacts:import_check": form(EDITOR),
    "contacts:import_rejected": page(EDITOR),
    "contacts:fields": page(VIEWER),
    "contacts:field_new": form(EDITOR),
    "contacts:field_edit": form(EDITOR),
    "contacts:field_delete": form(EDITOR),
    "mappings:list": page(VIEWER),
    "mappings:new": form(EDITOR),
    "mappings:edit": form(EDITOR),
    "mappings:delete": form(EDITOR),
    # alerts
    "alerts:list": page(VIEWER),
    "alerts:count": page(VIEWER),
    "alerts:rules": page(VIEWER),
    "alerts:new": form(EDITOR),
    "alerts:preview": action(EDITOR),
    "alerts:rule": page(VIEWER),
    "alerts:edit": form(EDITOR),
    "alerts:past": page(VIEWER),
    "alerts:pause": action(EDITOR),
    "alerts:resume": action(EDITOR),
    "alerts:delete": form(EDITOR),
    "alerts:incident": page(VIEWER),
    "alerts:acknowledge": action(OPERATOR),
    "alerts:assign": form(OPERATOR),
    "alerts:note": form(OPERATOR),
    "alerts:resolve": form(OPERATOR),
    # follow-ups
    "follow_ups:list": page(VIEWER),
    "follow_ups:count": page(VIEWER),
    "follow_ups:new": form(OPERATOR),
    "follow_ups:selected": action(OPERATOR),
    "follow_ups:assign": form(OPERATOR),
    "follow_ups:rules": page(VIEWER),
    "follow_ups:rule_new": form(EDITOR),
    "follow_ups:rule_edit": form(EDITOR),
    "follow_ups:rule_delete": form(EDITOR),
    "follow_ups:edit": form(OPERATOR),
    "follow_ups:take": action(OPERATOR),
    "follow_ups:done": action(OPERATOR),
    "follow_ups:reopen": action(OPERATOR),
    # insights
    "insights:overview": page(VIEWER),
    "insights:tile": page(VIEWER),
    "insights:filter_edit": page(VIEWER),
    "insights:customer_success": page(VIEWER),
    "insights:sales": page(VIEWER),
    "insights:quality": page(VIEWER),
    "insights:panel": page(VIEWER),
    "insights:costs": page(VIEWER),
    "insights:costs_csv": page(VIEWER),
    "insights:conversations": page(VIEWER),
    "insights:savings": page(VIEWER),
    # erasing
    "erasing:conversation": form(ADMIN),
    "erasing:selected": form(ADMIN),
    "erasing:retention": page(VIEWER),
    # agents
    "agents:list": page(VIEWER),
    "agents:new": form(EDITOR),
    "agents:detail": page(VIEWER),
    "agents:prompts": {"GET": VIEWER, "POST": EDITOR},
    "agents:shares": action(VIEWER),
    "agents:fields": {"GET": VIEWER, "POST": EDITOR},
    "agents:advice": action(VIEWER),
    "agents:start": form(EDITOR),
    "agents:post_analysis": {"GET": VIEWER, "POST": EDITOR},
    "agents:versions": page(VIEWER),
    "agents:compare": page(VIEWER),
    "agents:restore": form(EDITOR),
    "agents:publish": form(EDITOR),
    "agents:rename": form(EDITOR),
    "agents:deactivate": form(EDITOR),
    "agents:reactivate": action(EDITOR),
    # analysis
    "analysis:conversation": page(VIEWER),
    "analysis:messages": page(VIEWER),
    "analysis:message": page(VIEWER),
    "analysis:progress": page(VIEWER),
    "analysis:changes": page(VIEWER),
    "analysis:rerun": form(OPERATOR),
    "analysis:retry_first": action(OPERATOR),
    "analysis:restore": form(OPERATOR),
    "runs:try_it": {"GET": VIEWER, "POST": OPERATOR},
    "runs:trial_new": form(OPERATOR),
    "runs:trial_preview": action(OPERATOR),
    "runs:trial": page(VIEWER),
    "runs:trial_evidence": page(VIEWER),
    "runs:trial_progress": page(VIEWER),
    "runs:trial_cancel": action(OPERATOR),
    "runs:trial_transcript": page(VIEWER),
    # backfills
    "runs:list": page(VIEWER),
    "runs:detail": page(VIEWER),
    "runs:progress": page(VIEWER),
    "runs:banner": page(VIEWER),
    "runs:neighbors": page(VIEWER),
    "runs:actions": page(VIEWER),
    "runs:new": form(OPERATOR),
    "runs:preview": action(OPERATOR),
    "runs:pause": action(OPERATOR),
    "runs:resume": action(OPERATOR),
    "runs:cancel": form(OPERATOR),
    "runs:apply_mappings": form(EDITOR),
    "runs:report": page(VIEWER),
    "runs:rollback": form(OPERATOR),
    "runs:retry_failed": action(OPERATOR),
    # crm
    "crm:list": page(ADMIN),
    "crm:new": form(ADMIN),
    "crm:detail": page(ADMIN),
    "crm:edit": form(ADMIN),
    "crm:test": form(ADMIN),
    "crm:banner": page(ADMIN),
    "crm:enable": form(ADMIN),
    "crm:disable": form(ADMIN),
    "crm:delete": form(ADMIN),
    "crm:approval": form(ADMIN),
    "crm:parked_again": action(ADMIN),
    "crm:push": page(ADMIN),
    "crm:again": action(ADMIN),
    # webhooks
    "webhooks:list": page(ADMIN),
    "webhooks:banner": page(ADMIN),
    "webhooks:new": form(ADMIN),
    "webhooks:detail": page(ADMIN),
    "webhooks:edit": form(ADMIN),
    "webhooks:secret": form(ADMIN),
    "webhooks:enable": form(ADMIN),
    "webhooks:disable": form(ADMIN),
    "webhooks:delete": form(ADMIN),
    "webhooks:test": form(ADMIN),
    "webhooks:tested": page(ADMIN),
    "webhooks:failed_again": form(ADMIN),
    "webhooks:delivery": page(ADMIN),
    "webhooks:again": action(ADMIN),
    # intake
    "intake:list": page(ADMIN),
    "intake:replaying": page(ADMIN),
    "intake:replay_all": form(ADMIN),
    "lifecycle:close": action(OPERATOR),
    "intake:recording": page(VIEWER),
    "intake:payload": page(ADMIN),
    "intake:payload_raw": page(ADMIN),
    "intake:payload_replay": action(ADMIN),
    "intake:source_new": form(ADMIN),
    "intake:source": page(ADMIN),
    "intake:source_arrival": page(ADMIN),
    "intake:source_change": form(ADMIN),
    "intake:source_secret": form(ADMIN),
    "intake:source_remove": form(ADMIN),
    "intake:source_agent": form(ADMIN),
    # api
    "/api/": page(PUBLIC),  # a 404 that names the documentation
    "/api/docs": page(VIEWER),
    "/api/openapi.json": page(VIEWER),
    "/api/conversations": {"GET": VIEWER, "POST": OPERATOR},
    "/api/conversations/bulk": action(OPERATOR),
    "/api/conversations/<conversation_id>": {"GET": VIEWER, "DELETE": ADMIN},
    "/api/conversations/<conversation_id>/messages": action(OPERATOR),
    "/api/conversations/<conversation_id>/close": action(OPERATOR),
    "/api/conversations/<conversation_id>/analysis": page(VIEWER),
    "/api/conversations/<conversation_id>/analyses": page(VIEWER),
    "/api/conversations/<conversation_id>/analysis/rerun": action(OPERATOR),
    "/api/conversations/analysis/retry_failed": action(OPERATOR),
    "/api/agents": {"GET": VIEWER, "POST": EDITOR},
    "/api/agents/templates": page(VIEWER),
    "/api/agents/<agent_id>": page(VIEWER),
    "/api/agents/<agent_id>/draft": {"PATCH": EDITOR},
    "/api/agents/<agent_id>/publish": action(EDITOR),
    "/api/agents/<agent_id>/versions": page(VIEWER),
    "/api/insights": page(VIEWER),
    "/api/backfills": {"GET": VIEWER, "POST": OPERATOR},
    "/api/backfills/preview": action(OPERATOR),
    "/api/backfills/<backfill_id>": page(VIEWER),
    "/api/backfills/<backfill_id>/items": page(VIEWER),
    "/api/backfills/<backfill_id>/pause": action(OPERATOR),
    "/api/backfills/<backfill_id>/resume": action(OPERATOR),
    "/api/backfills/<backfill_id>/cancel": action(OPERATOR),
    "/api/backfills/<backfill_id>/retry_failed": action(OPERATOR),
    "/api/backfills/<backfill_id>/report": page(VIEWER),
    "/api/backfills/<backfill_id>/rollback": action(OPERATOR),
    "/api/mappings/apply": action(EDITOR),
    "/api/contacts": {"GET": VIEWER, "POST": EDITOR},
    "/api/contacts/<contact_id>": {"GET": VIEWER, "PATCH": EDITOR, "DELETE": ADMIN},
    "/api/contact-fields": {"GET": VIEWER, "POST": EDITOR},
    "/api/mappings": {"GET": VIEWER, "POST": EDITOR},
    "/api/mappings/<mapping_id>": {"DELETE": EDITOR},
    "/api/alert-rules": {"GET": VIEWER, "POST": EDITOR},
    "/api/alert-rules/preview": action(EDITOR),
    "/api/alert-rules/<rule_id>": {"PATCH": EDITOR, "DELETE": EDITOR},
    "/api/incidents": page(VIEWER),
    "/api/incidents/<incident_id>": {"PATCH": OPERATOR},
    "/api/follow-ups": {"GET": VIEWER, "POST": OPERATOR},
    "/api/follow-ups/<follow_up_id>": {"PATCH": OPERATOR},
    "/api/crm-connections": {"GET": ADMIN, "POST": ADMIN},
    "/api/crm-connections/<connection_id>": {"PATCH": ADMIN, "DELETE": ADMIN},
    "/api/crm-connections/<connection_id>/test": action(ADMIN),
    "/api/crm-connections/<connection_id>/pushes": page(ADMIN),
    "/api/webhooks": {"GET": ADMIN, "POST": ADMIN},
    "/api/webhooks/<webhook_id>": {"DELETE": ADMIN},
    "/api/webhooks/<webhook_id>/test": action(ADMIN),
    "/api/webhooks/<webhook_id>/deliveries": page(ADMIN),
    "/api/intake/<kind>/<source_id>": action(PUBLIC),  # signed by the platform instead
}
"""Everything under `admin:` is for admins and has no rows."""
