"""Conversations and their analyses."""

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from ninja import Router

from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.agents.models import AgentVersion
from apps.analysis.effects import read_side_effects
from apps.analysis.missing_reason import missing_result_reason
from apps.analysis.models import Analysis, AnalysisQuerySet
from apps.analysis.presentation import analysis_json
from apps.analysis.recovery import retry_first
from apps.analysis.services import request_rerun
from apps.conversations import filters
from apps.conversations.models import Conversation
from apps.conversations.rows import transfers_of
from apps.conversations.serializers import conversation_json
from apps.conversations.services import Outcome
from apps.core.errors import UserError
from apps.intake.files import json_lines, split_lines
from apps.intake.services import take_in, take_in_one
from apps.platforms.models import UploadChannel
from apps.platforms.rejected_lines import storing_rejected, storing_rejected_request
from apps.privacy.erasure import erase

from . import lists
from .errors import read_object, refusal, refuse_unknown, require_type
from .openapi import NDJSON, Answer, operation
from .parameters import PAGE, filter_parameters
from .shapes import conversations as shapes
from .writes import reader_of, write

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
        takes=shapes.ConversationIn,
        answers={
            201: Answer(shapes.Conversation, "The new conversation."),
            200: Answer(shapes.Conversation, "The conversation that was there, merged."),
        },
        refuses=_OF_LINE,
    ),
)
@write(Role.OPERATOR)
def create(request: HttpRequest) -> HttpResponse:
    """Whole or still `ongoing`. The same `source` and `external_id` again is the same
    conversation: 200 instead of 201, and what is new in it is merged."""
    by = actor_of(request)
    with storing_rejected_request(request.body, by=by):
        stored = take_in_one(line=read_object(request), by=by)
    if stored.outcome != Outcome.ACCEPTED:
        whole = _whole(stored.conversation.public_id)
        return JsonResponse(conversation_json(whole, whole=True))
    # What is new is in memory as it was stored; only its result may have moved on since.
    new = stored.conversation
    new.refresh_from_db(fields=_RESULT)
    transfers = transfers_of(new, stored.route)
    return JsonResponse(conversation_json(new, whole=True, transfers=transfers), status=201)


@router.post(
    "/bulk",
    **operation(
        "createConversations",
        "Take in many, one a line",
        lines_of=shapes.ConversationIn,
        answers={200: Answer(shapes.BulkReport, "What became of the lines.")},
        refuses=["unreadable_file"],
    ),
)
@write(Role.OPERATOR, streamed=True)
def bulk(request: HttpRequest) -> HttpResponse:
    """NDJSON: a line that is refused is named with its reason and spoils no other."""
    require_type(request, _NDJSON_TYPES, hint="one JSON object a line")
    by = actor_of(request)
    with storing_rejected(UploadChannel.BULK, by=by, source="api") as keep:
        report = take_in(lines=split_lines(json_lines(reader_of(request))), by=by, on_refused=keep)
    return JsonResponse(report.as_dict())


@router.get(
    "",
    **operation(
        "listConversations",
        "List conversations",
        query=[*PAGE, *filter_parameters()],
        answers={200: Answer(shapes.Conversations, "One page of conversations.")},
        refuses=["bad_request", "invalid_filter", "invalid_cursor", "repeated_parameter"],
    ),
)
def many(request: HttpRequest) -> HttpResponse:
    """The filters of the history pages, as query parameters; `channel` is voice or chat."""
    params = request.GET.copy()
    channel = params.pop("channel", [None])[-1]
    for name in lists.PARAMETERS:
        params.pop(name, None)
    if channel not in {None, "voice", "chat"}:
        raise filters.FilterError({"channel": f"channel is voice or chat, not “{channel}”."})
    spec = filters.parse(channel, params)
    rows = spec.queryset().with_agents()
    return lists.answer(
        request,
        rows,
        order=spec.sort.order,
        show=lambda c: conversation_json(c, whole=False),
        stable_order=spec.sort.field.name in _STABLE,
    )


@router.get(
    "/{conversation_id}",
    **operation(
        "getConversation",
        "One conversation",
        answers={200: Answer(shapes.Conversation, "The conversation.")},
    ),
)
def one(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """With transcript, transfers, metadata and the current result's values."""
    return JsonResponse(conversation_json(_whole(conversation_id), whole=True))


@router.delete(
    "/{conversation_id}",
    **operation(
        "eraseConversation",
        "Erase a conversation",
        answers={204: Answer(None, "It is gone, everywhere.")},
    ),
)
@write(Role.ADMIN)
def remove(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """Everywhere it left a trace: transcript, results, search, payloads, webhooks' contents. It
    does not come back when a platform sends it once more. Cannot be undone."""
    rows = Conversation.objects.filter(public_id=conversation_id)
    if not erase(conversations=rows, by=actor_of(request), why="asked for over the API"):
        raise Http404
    return HttpResponse(status=204)


@router.get(
    "/{conversation_id}/analysis",
    **operation(
        "getAnalysis",
        "The current analysis",
        answers={200: Answer(shapes.Analysis, "The current result.")},
        refuses=["not_analyzed"],
        refusal_shapes={404: shapes.NotAnalyzed},
    ),
)
def current(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """404 `not_analyzed` with the `reason` where there is none."""
    conversation = get_object_or_404(Conversation, public_id=conversation_id)
    analysis = _analyses(conversation_id).current().first()
    if analysis is None:
        why = missing_result_reason(conversation, _analyses(conversation_id).first())
        return refusal(404, "not_analyzed", why.sentence, reason=why.reason or "none")
    return JsonResponse(analysis_json(analysis))


@router.get(
    "/{conversation_id}/analyses",
    **operation(
        "listAnalyses",
        "Every analysis ever made",
        query=PAGE,
        answers={200: Answer(shapes.Analyses, "One page of analyses.")},
        refuses=["bad_request", "invalid_cursor", "repeated_parameter"],
    ),
)
def history(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """The newest first, failures and running ones included."""
    lists.only(request)
    get_object_or_404(Conversation, public_id=conversation_id)
    return lists.answer(request, _analyses(conversation_id), order=["-pk"], show=analysis_json)


@router.post(
    "/{conversation_id}/analysis/rerun",
    **operation(
        "rerunAnalysis",
        "Rerun",
        takes=shapes.RerunIn,
        answers={202: Answer(shapes.Analysis, "The analysis that was asked for.")},
        refuses=[
            "already_running",
            "draft_invalid",
            "not_analyzable",
            "invalid_side_effects",
            "unknown_version",
            "unknown_keys",
        ],
    ),
)
@write(Role.OPERATOR)
def rerun(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """By the latest drafts, or by a published `version` of the conversation's last agent. It is
    charged for, also where the first analysis was free."""
    body = read_object(request)
    refuse_unknown(body, {"version", "side_effects"})
    conversation = get_object_or_404(Conversation, public_id=conversation_id)
    analysis = request_rerun(
        conversation=conversation,
        by=actor_of(request),
        version=_version(conversation, body),
        side_effects=read_side_effects(body.get("side_effects")),
    )
    return JsonResponse(analysis_json(analysis), status=202)


@router.post(
    "/analysis/retry_failed",
    **operation(
        "retryFirstAnalyses",
        "Retry failed first analyses",
        answers={202: Answer(shapes.Retried, "How many were queued again.")},
    ),
)
@write(Role.OPERATOR)
def retry_failed(request: HttpRequest) -> HttpResponse:
    """Those that failed because the provider was down, limited, out of quota or refused the key,
    and those that still wait for it. By the same versions and prices as any first analysis."""
    return JsonResponse({"queued": retry_first(by=actor_of(request))}, status=202)


class UnknownVersion(UserError):
    """The named version is not one of the conversation's last agent, or not published."""

    code = "unknown_version"


def _version(conversation: Conversation, body: dict[str, object]) -> AgentVersion | None:
    number = body.get("version")
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**31:
        raise UnknownVersion(
            f"version is a number, not {str(number)[:60]}.", {"version": "A number."}
        )
    agent_pk = int(conversation.route.split("+")[-1])
    versions = AgentVersion.objects.published().with_config()
    version = versions.filter(agent_id=agent_pk, number=number).first()
    if version is None:
        raise UnknownVersion(
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
