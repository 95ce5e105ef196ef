"""Conversations and their analyses."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Router

from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.agents.models import AgentVersion
from apps.analysis.effects import UNLESS_ASKED
from apps.analysis.missing_reason import missing_result_reason
from apps.analysis.models import Analysis, AnalysisQuerySet
from apps.analysis.recovery import retry_first
from apps.analysis.schemas import AnalysisSchema
from apps.analysis.services import request_rerun
from apps.conversations import filters
from apps.conversations.history_list import keys_of
from apps.conversations.models import Conversation
from apps.conversations.rows import transfers_of
from apps.conversations.schemas import ConversationRow, ConversationSchema
from apps.conversations.services import StoreOutcome
from apps.core.errors import UserError
from apps.intake.files import json_lines, split_lines
from apps.intake.services import ingest, ingest_one
from apps.platforms.models import UploadChannel
from apps.platforms.rejected_lines import store_rejected_request, storing_rejected
from apps.privacy.erasure import erase

from . import lists
from .endpoints import read, read_object, reader_of, require_type, respond, write
from .openapi import NDJSON, Answer, operation
from .parameters import PAGE, filter_parameters
from .schemas import conversations as schemas

router = Router(tags=["Conversations"])

_OF_LINE = (
    "missing_field",
    "invalid_value",
    "unknown_agent",
    "unknown_version",
    "channel_mismatch",
    "not_storable",
)
_RESULT = ("analysis_state", "analysis_reason", "analysis_data", "stale")
#: Orders in which a row keeps its place whatever is analyzed while pages are read.
_STABLE = frozenset({"started_at", "id"})
_NDJSON_TYPES = (NDJSON, "application/ndjson", "application/jsonl", "application/x-jsonlines")


@router.post(
    "",
    **operation(
        "createConversation",
        "Create or merge a conversation",
        takes=schemas.ConversationIn,
        answers={
            201: Answer(ConversationSchema, "The new conversation."),
            200: Answer(ConversationSchema, "The existing conversation, with the new data merged."),
        },
        refuses=_OF_LINE,
    ),
)
@write(Role.OPERATOR)
def create(request: HttpRequest) -> HttpResponse:
    """Creates a complete or `ongoing` conversation. If the `source` and `external_id` already
    exist, returns 200 and merges any new data."""
    by = actor_of(request)
    try:
        line = read_object(request)
        stored = ingest_one(line=line, by=by)
    except UserError as error:
        store_rejected_request(request.body, error, by=by)
        raise
    if stored.outcome != StoreOutcome.ACCEPTED:
        return respond(ConversationSchema.whole(_whole(stored.conversation.public_id)))
    # A new one is in memory as it was stored, but for a result of its own.
    new = stored.conversation
    if line.get("analysis"):
        new.refresh_from_db(fields=_RESULT)
    transfers = transfers_of(new, stored.route)
    return respond(ConversationSchema.whole(new, transfers), status=201)


@router.post(
    "/bulk",
    **operation(
        "createConversations",
        "Create conversations in bulk (NDJSON)",
        lines_of=schemas.ConversationIn,
        answers={200: Answer(schemas.BulkReport, "Counts and errors by line.")},
        refuses=["unreadable_file"],
    ),
)
@write(Role.OPERATOR, streamed=True)
def bulk(request: HttpRequest) -> HttpResponse:
    """Accepts NDJSON, one conversation per line. Invalid lines are reported with their line number
    and don't affect the others."""
    require_type(request, _NDJSON_TYPES, hint="one JSON object per line")
    by = actor_of(request)
    with storing_rejected(UploadChannel.BULK, by=by, source="api") as keep:
        report = ingest(lines=split_lines(json_lines(reader_of(request))), by=by, on_refused=keep)
    return respond(schemas.BulkReport.from_report(report))


@router.get(
    "",
    **operation(
        "listConversations",
        "List conversations",
        query=[*PAGE, *filter_parameters()],
        answers={200: Answer(schemas.Conversations, "One page of conversations.")},
        refuses=[*lists.CODES, "invalid_filter"],
    ),
)
def many(request: HttpRequest) -> HttpResponse:
    """Filter with the filters of the history pages. `channel` is voice or chat."""
    params = request.GET.copy()
    channel = params.pop("channel", [None])[-1]
    for name in lists.PARAMETERS:
        params.pop(name, None)
    if channel not in {None, "voice", "chat"}:
        raise filters.FilterError({"channel": f"channel must be voice or chat, not “{channel}”."})
    spec = filters.parse(channel, params)
    rows = Conversation.objects.select_related("agent", "agent_version", "contact")
    return lists.answer(
        request,
        rows.defer("summary", "agent_version__editor_document"),
        keys=keys_of(spec),
        order=spec.sort.order,
        page=schemas.Conversations,
        show=ConversationRow.from_conversation,
        stable_order=spec.sort.field.name in _STABLE,
    )


@router.get(
    "/{conversation_id}",
    **operation(
        "getConversation",
        "Get a conversation",
        answers={200: Answer(ConversationSchema, "The conversation.")},
    ),
)
def one(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """With transcript, transfers, metadata and the current result's values."""
    return respond(ConversationSchema.whole(_whole(conversation_id)))


@router.delete(
    "/{conversation_id}",
    **operation(
        "eraseConversation",
        "Erase a conversation",
        answers={204: Answer(None, "Erased.")},
    ),
)
@write(Role.ADMIN)
def remove(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """Permanently deletes the transcript, results, search index, payloads, and webhook contents. A
    platform can't send the conversation again."""
    rows = Conversation.objects.filter(public_id=conversation_id)
    if not erase(conversations=rows, by=actor_of(request), why="asked for over the API"):
        raise Http404
    return HttpResponse(status=204)


@router.get(
    "/{conversation_id}/analysis",
    **operation(
        "getAnalysis",
        "Get the current analysis",
        answers={200: Answer(AnalysisSchema, "The current result.")},
        refuses=["not_analyzed"],
        refusal_schemas={404: schemas.NotAnalyzed},
    ),
)
def current(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """Returns 404 `not_analyzed` with the `reason` where there is none."""
    conversation = get_object_or_404(Conversation, public_id=conversation_id)
    analysis = _analyses(conversation_id).current().first()
    if analysis is None:
        why = missing_result_reason(conversation, _analyses(conversation_id).first())
        raise schemas.NoResult(why.sentence, reason=why.reason or "none")
    return respond(AnalysisSchema.from_analysis(analysis))


@router.get(
    "/{conversation_id}/analyses",
    **operation(
        "listAnalyses",
        "List analyses of a conversation",
        query=PAGE,
        answers={200: Answer(schemas.Analyses, "One page of analyses.")},
        refuses=lists.CODES,
    ),
)
def history(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """The newest first, including failed and running ones."""
    lists.only(request)
    get_object_or_404(Conversation, public_id=conversation_id)
    return lists.answer(
        request,
        _analyses(conversation_id),
        order=["-pk"],
        page=schemas.Analyses,
        show=AnalysisSchema.from_analysis,
    )


@router.post(
    "/{conversation_id}/analysis/rerun",
    **operation(
        "rerunAnalysis",
        "Rerun",
        takes=schemas.RerunIn,
        answers={202: Answer(AnalysisSchema, "The requested analysis.")},
        refuses=["already_running", "draft_invalid", "not_analyzable", "budget_reached"],
    ),
)
@write(Role.OPERATOR)
def rerun(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """Uses the latest drafts, or a published `version` of the conversation's last agent. You're
    charged even if the first analysis was free."""
    body = read(schemas.RerunIn, request)
    conversation = get_object_or_404(Conversation, public_id=conversation_id)
    analysis = request_rerun(
        conversation=conversation,
        by=actor_of(request),
        version=None if body.version is None else _version(conversation, body.version),
        side_effects=body.side_effects or UNLESS_ASKED,
    )
    return respond(AnalysisSchema.from_analysis(analysis), status=202)


@router.post(
    "/analysis/retry_failed",
    **operation(
        "retryFirstAnalyses",
        "Retry failed first analyses",
        answers={202: Answer(schemas.Retried, "How many were queued again.")},
    ),
)
@write(Role.OPERATOR)
def retry_failed(request: HttpRequest) -> HttpResponse:
    """Retries first analyses that failed because the provider was down, limited, out of quota or
    rejected the key, and those that still wait for it. They use the same versions and prices as any
    first analysis."""
    return respond(schemas.Retried(queued=retry_first(by=actor_of(request))), status=202)


def _version(conversation: Conversation, number: int) -> AgentVersion:
    """Return a published version of the conversation's last agent. Raises UnknownVersion."""
    agent_pk = int(conversation.route.split("+")[-1])
    versions = AgentVersion.objects.published().with_config()
    version = versions.filter(agent_id=agent_pk, number=number).first()
    if version is None:
        raise schemas.UnknownVersion(
            f"The agent has no published version {number}.", {"version": "Not published."}
        )
    return version


def _whole(conversation_id: str) -> Conversation:
    rows = Conversation.objects.with_agents().select_related("transcript", "attributes")
    rows = rows.prefetch_related("transfers__to_version__agent")
    return get_object_or_404(rows, public_id=conversation_id)


def _analyses(conversation_id: str) -> AnalysisQuerySet:
    rows = Analysis.objects.filter(conversation__public_id=conversation_id).with_config()
    return rows.select_related("conversation", "config__model", "agent_version__agent")
