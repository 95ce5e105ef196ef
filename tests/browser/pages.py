"""Which pages there are to look at, with the paths that this installation's demo gave them."""

from dataclasses import dataclass

from tests.browser.product import Visit


@dataclass(frozen=True)
class Places:
    """Paths of things whose ids are made anew by every installation."""

    call: str
    """An analysed call of the Billing line."""
    other_call: str
    """Another one."""
    agent: str
    """The page of the Billing line, ending in a slash."""
    contact: str
    """The page of a contact with values, ending in a slash."""

    def pages(self) -> dict[str, str]:
        """Every page that a person signed in can open, by name."""
        return {
            "calls": "/calls/",
            "calls-filtered": f"/calls/?agent={self.agent_id}&call_successful=false"
            "&started_at__gte=2020-01-01&sort=-duration_ms",
            "calls-refused": "/calls/?duration_ms__gte=soon&nonsense=1",
            "calls-none": "/calls/?q=xyzzyplugh",
            "chats": "/chats/",
            "filter": "/filters/edit/?channel=voice",
            "exports": "/exports/",
            "export-new": "/exports/new/?channel=voice",
            "views": "/views/?channel=voice",
            "view-new": "/views/new/?channel=voice&query=status%3Dended",
            "columns": "/filters/columns/?channel=voice",
            "call": self.call,
            "call-history": f"{self.call}?tab=history",
            "call-details": f"{self.call}?tab=details",
            "rerun": f"{self.call}rerun/",
            "backfills": "/backfills/",
            "backfill-new": f"/backfills/new/?channel=voice&agent={self.agent_id}",
            "contacts": "/contacts/",
            "contacts-filtered": "/contacts/?fields.refund_promised=true"
            "&fields.follow_up_date__isset=true&sort=name",
            "contacts-none": "/contacts/?q=xyzzyplugh",
            "contact": self.contact,
            "contact-edit": f"{self.contact}edit/",
            "contact-merge": f"{self.contact}merge/?q=a",
            "contact-history": f"{self.contact}history/last_topic/",
            "contact-delete": f"{self.contact}delete/",
            "contact-new": "/contacts/new/",
            "contact-import": "/contacts/import/",
            "contact-fields": "/contacts/fields/",
            "contact-field-new": "/contacts/fields/new/",
            "mappings": "/mappings/",
            "derived-fields": "/derived-fields/",
            "derived-new": "/derived-fields/new/?type=number&channel=voice",
            "mapping-new": "/mappings/new/",
            "apply-mappings": "/backfills/mappings/?channel=chat",
            "call-contact": f"{self.call}?tab=contact",
            "follow-ups": "/follow-ups/",
            "follow-ups-done": "/follow-ups/?view=done",
            "follow-up-rules": "/follow-ups/rules/",
            "follow-up-rule-new": "/follow-ups/rules/new/",
            "follow-up-new": f"/follow-ups/new/?channel=voice&id={self.call.split('/')[2]}",
            "alerts": "/alerts/?state=all",
            "alert-rules": "/alerts/rules/",
            "alert-rule-new": "/alerts/rules/new/",
            "costs": "/costs/",
            "budgets": "/costs/budgets/",
            "budget-edit": "/costs/budgets/edit/",
            "budget-new": "/costs/budgets/new/",
            "insights": "/insights/?channel=voice",
            "insights-tile": "/insights/tile/?channel=voice&field=call_successful",
            "insights-filter": "/insights/filter/?channel=voice",
            "insights-customer-success": "/insights/customer-success/?days=90",
            "insights-sales": "/insights/sales/?days=90",
            "insights-reports": "/insights/reports/",
            "insights-report-new": "/insights/reports/new/",
            "insights-quality": "/insights/quality/?days=90",
            "erase": f"{self.call}erase/",
            "agents": "/agents/",
            "agent-new": "/agents/new/",
            "prompts": f"{self.agent}prompts/",
            "fields": f"{self.agent}fields/",
            "start": f"{self.agent}start/",
            "post-analysis": f"{self.agent}post-analysis/",
            "try-it": f"{self.agent}try/",
            "trial-new": f"/trials/new/?channel=voice&agent={self.agent_id}",
            "versions": f"{self.agent}versions/",
            "compare": f"{self.agent}compare/?from=v1&to=draft",
            "publish": f"{self.agent}publish/",
            "api-keys": "/api-keys/",
            "api-key-new": "/api-keys/new/",
            "people": "/people/",
            "person-new": "/people/new/",
            "audit": "/audit/",
            "api-docs": "/api/docs",
            "profile": "/profile/",
            "components": "/components/",
            "webhooks": "/webhooks/",
            "crm": "/crm/",
            "crm-new": "/crm/new/http/",
            "crm-new-hubspot": "/crm/new/hubspot/",
            "crm-new-salesforce": "/crm/new/salesforce/",
            "webhook-new": "/webhooks/new/",
            "intake": "/intake/",
            "intake-refused": "/intake/?source=none-such",
            "intake-source-new": "/intake/sources/new/?kind=vapi",
        }

    @property
    def agent_id(self) -> str:
        """Of the Billing line."""
        return self.agent.rstrip("/").rsplit("/", 1)[1]


def find_places(window: Visit) -> Places:
    """As a person would: from the lists."""
    page = window.open("/agents/")
    link = page.get_by_role("link", name="Billing line").first.get_attribute("href") or ""
    agent = "/".join(link.split("/")[:3]) + "/"
    agent_id = agent.rstrip("/").rsplit("/", 1)[1]
    window.open(
        f"/calls/?agent={agent_id}&analysis_trigger=imported"
        "&analysis_trigger=backfill&call_successful=true"
    )
    links = page.locator(".row-link")
    call, other = (links.nth(n).get_attribute("href") or "" for n in (0, 1))
    window.open("/contacts/?fields.last_topic__isset=true&sort=name")
    contact = page.locator(".row-link").first.get_attribute("href") or ""
    return Places(
        call=call.split("?")[0], other_call=other.split("?")[0], agent=agent, contact=contact
    )
