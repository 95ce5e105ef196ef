"""What the views of a conversation share: its URLs, and the context of its panel."""

from typing import Any

from django.http import HttpRequest, QueryDict

from apps.analysis import pages
from apps.analysis.missing_reason import missing_result_reason
from apps.analysis.models import Analysis
from apps.analysis.presentation import changes_between, result_of
from apps.analysis.recovery import WAITED_FOR, failed_for
from apps.analysis.schemas import AnalysisSchema
from apps.contacts.models import ContactField
from apps.conversations.models import Attributes, Conversation
from apps.follow_ups.listing import follow_up_of
from apps.mappings.directory import profile

#: Longest list query that is carried along; a longer one is dropped, not cut.
ORIGIN_MAX = 4000

#: Failed first analyses are counted up to here for the label of a button.
RETRY_COUNTED = 1_000


def links_of(request: HttpRequest, conversation: Conversation) -> pages.Links:
    """Return URLs that keep the list the user came from."""
    origin = (request.POST.get("from") or request.GET.get("from") or "").replace("\x00", "")
    return pages.Links(conversation.public_id, origin if len(origin) <= ORIGIN_MAX else "")


def number_in(params: QueryDict, name: str) -> int:
    """Return a whole number of the query, else 0: a hand-edited URL isn't an error."""
    text = params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def panel_context(request: HttpRequest, conversation: Conversation) -> dict[str, Any]:
    """Return everything that one tab of the panel shows."""
    asked = request.GET.get("tab", "analysis")
    tab = asked if asked in pages.TABS else "analysis"
    links = links_of(request, conversation)
    fill = {
        "analysis": analysis_tab,
        "history": history_tab,
        "details": details_tab,
        "contact": contact_tab,
    }[tab]
    return {
        "conversation": conversation,
        "links": links,
        "tab": tab,
        "tabs": [
            (name, label, links.to("conversation", tab="" if name == "analysis" else name))
            for name, label in pages.TABS.items()
        ],
        "can_rerun": pages.can_rerun(conversation),
        **fill(request, conversation),
    }


def analysis_tab(request: HttpRequest, conversation: Conversation) -> dict[str, Any]:
    """Return the current result, the running analysis, and the last failure."""
    standing = pages.status_of(conversation)
    current = standing.current
    proposal = pages.preview_rerun(conversation, current) if current else None
    return {
        "standing": standing,
        "result": result_of(current) if current else None,
        "by_whom": pages.by_whom(current) if current else "",
        "why": None
        if current
        else missing_result_reason(conversation, standing.waiting or standing.failed),
        "proposal": proposal,
        "retry_label": _retry_label(conversation),
        "run": run_context(request, conversation),
        "follow_up": follow_up_of(conversation),
    }


def _retry_label(conversation: Conversation) -> str:
    """Return the label of the button that retries all failed first analyses; empty where
    this one can't be retried."""
    if conversation.analysis_state != "failed" or conversation.analysis_reason not in WAITED_FOR:
        return ""
    count = failed_for()[: RETRY_COUNTED + 1].count()
    if not count:
        return ""
    shown = f"{count:,}" if count <= RETRY_COUNTED else f"{RETRY_COUNTED:,}+"
    return f"Retry {shown} failed first {'analysis' if count == 1 else 'analyses'}"


def run_context(request: HttpRequest, conversation: Conversation) -> dict[str, Any] | None:
    """Return the rerun that the page was opened for (``?run=``), once it has ended."""
    run_id = request.GET.get("run", "")
    if not run_id or "\x00" in run_id:
        return None
    run = pages.analyses_of(conversation).filter(public_id=run_id).first()
    return None if run is None or not run.is_final else ended_run(run)


def ended_run(run: Analysis) -> dict[str, Any]:
    """Return a rerun that ended: old and new side by side, or the failure."""
    before = pages.previous_of(run)
    changes = changes_between(before, run) if run.state == "succeeded" and before else []
    changed = [change for change in changes if change.changed]
    return {
        "analysis": run,
        "before": before,
        "changed": changed,
        "same": [change for change in changes if not change.changed],
        "total": len(changes),
    }


def history_tab(request: HttpRequest, conversation: Conversation) -> dict[str, Any]:
    """Return all analyses, and two of them side by side."""
    rows = list(pages.analyses_of(conversation).defer("raw_output")[: pages.HISTORY_LIMIT + 1])
    picked = [a for a in rows if a.public_id in set(request.GET.getlist("pick"))]
    pair = sorted(picked, key=lambda a: (a.finished_at or a.created_at, a.pk))
    changes = changes_between(pair[0], pair[1]) if len(pair) == 2 else []
    pick_from = [a for a in rows if a.state == "succeeded"]
    return {
        "rows": [(a, pages.by_whom(a)) for a in rows[: pages.HISTORY_LIMIT]],
        "more": len(rows) > pages.HISTORY_LIMIT,
        "picked": {a.public_id for a in (picked if "pick" in request.GET else pick_from[:2])},
        "pair": pair if len(pair) == 2 else None,
        "pick_error": "pick" in request.GET and len(pair) != 2,
        "changed": [c for c in changes if c.changed],
        "same": [c for c in changes if not c.changed],
        "pick_from": pick_from,
    }


def details_tab(request: HttpRequest, conversation: Conversation) -> dict[str, Any]:
    """Return all raw data."""
    current = pages.analyses_of(conversation).filter(is_current=True).first()
    attributes = Attributes.objects.filter(conversation=conversation).first()
    return {
        "attributes": attributes,
        "transfers": pages.transfers_of(conversation),
        "current": current,
        "raw_analysis": AnalysisSchema.from_analysis(current).as_dict() if current else None,
    }


def contact_tab(request: HttpRequest, conversation: Conversation) -> dict[str, Any]:
    """Return the contact with its values, and what this conversation contributed to them."""
    contact = conversation.contact
    custom = list(ContactField.objects.all())
    return {
        "contact": contact,
        "lines": profile.lines_of(contact, custom) if contact else [],
        "has_fields": bool(custom),
        "total": sum(profile.counts_of(contact).values()) if contact else 0,
        "contributed": profile.contributions_of(conversation, custom),
    }
