"""The codes and words by which providers name their errors, sorted by meaning.

Each table was collected from providers' documentation and from error bodies in public reports
(docs/providers.md says which). Order matters where one body fits several rules: see
``classification``.
"""

from __future__ import annotations

import re
from enum import StrEnum

from apps.llm.error_bodies import normalized


class ErrorKind(StrEnum):
    """What an error is about."""

    FILTER = "filter"
    """The provider's moderation rejected this input or response."""
    QUOTA = "quota"
    """The account, key or project may spend nothing more."""
    RATE = "rate"
    AUTH = "auth"
    MODEL = "model"
    """The model is unknown, retired or not loaded: no request for it can succeed."""
    TOO_LONG = "too_long"
    GENERATION = "generation"
    """The model generated something that the provider itself rejected. Once more may help."""
    MODE = "mode"
    """The server can't ask its model for JSON in this way."""
    UNREADABLE = "unreadable"
    """The provider couldn't read the request's body."""
    BUSY = "busy"
    """Overloaded or still loading: later may help."""


def _codes(*names: str) -> frozenset[str]:
    return frozenset(normalized(name) for name in names)


# Codes that decide, whatever the words say.
CODES: tuple[tuple[ErrorKind, frozenset[str]], ...] = (
    (
        ErrorKind.FILTER,
        _codes(
            *("content_filter", "content_filtered", "content_policy_violation", "content_policy"),
            *("ResponsibleAIPolicyViolation", "DataInspectionFailed", "data_inspection_failed"),
            *("invalid_prompt", "moderation_blocked", "flagged_input", "prompt_blocked"),
            *("ContentPolicyViolationError", "content_moderation", "input_moderation"),
            *("sensitive_content", "unsafe_content", "prohibited_content", "guardrail_violation"),
            *("InputTextSensitiveContentDetected", "OutputTextSensitiveContentDetected"),
            *("SensitiveContentDetected", "content_safety_violation", "safety_violation"),
            *("usage_policy_violation", "bio_policy_violation", "cyber_policy_violation"),
            *("sensitive_words_detected", "content_rejected", "content_blocked"),
            *("RiskControl", "1301", "1026", "1027"),
        ),
    ),
    (
        ErrorKind.QUOTA,
        _codes(
            *("insufficient_quota", "billing_hard_limit_reached", "billing_not_active"),
            *("payment_required", "billing_error", "budget_exceeded", "BudgetExceededError"),
            *("insufficient_credits", "insufficient_balance", "insufficient_funds", "no_credits"),
            *("insufficient_user_quota", "credit_balance_too_low", "credits_exhausted"),
            *("Arrearage", "Arrears", "AccountOverdueError", "AccountOverdue", "out_of_credits"),
            *("exceeded_current_quota_error", "PrepaidBillOverdue", "PostpaidBillOverdue"),
            *("FreeTierOnly", "CommodityNotPurchased", "SetLimitExceeded", "key_limit_exceeded"),
            *("spend_limit_exceeded", "spending_limit_reached", "usage_limit_reached"),
            *("pre_consume_token_quota_failed", "token_quota_reached", "monthly_limit"),
            *("subscription_inactive", "subscription_expired", "trial_expired"),
            *("blocked_api_access", "balance_not_enough", "quota_not_enough", "1113", "1008"),
        ),
    ),
    (
        ErrorKind.GENERATION,
        _codes(
            *("json_validate_failed", "tool_use_failed", "output_parse_failed"),
            *("failed_generation", "invalid_tool_output", "invalid_model_output"),
            *("malformed_function_call", "json_generation_failed"),
            "structured_output_validation_failed",
        ),
    ),
    (
        ErrorKind.MODEL,
        _codes(
            *("model_not_found", "model_not_exist", "invalid_model", "DeploymentNotFound"),
            *("model_decommissioned", "model_deprecated", "unknown_model", "no_such_model"),
            *("unavailable_model", "model_archived"),
            *("InvalidEndpointOrModel", "ModelNotOpen", "model_not_available", "invalid_model_id"),
            *("ModelNotFoundError", "model_does_not_exist", "model_retired", "1211"),
        ),
    ),
    (
        ErrorKind.TOO_LONG,
        _codes(
            *("context_length_exceeded", "string_above_max_length", "ContextWindowExceededError"),
            *("exceed_context_size_error", "request_too_large", "prompt_too_long"),
            *("input_too_long", "tokens_limit_reached", "payload_too_large", "context_too_long"),
            *("max_context_length_exceeded", "context_window_exceeded", "1261", "1039"),
        ),
    ),
    (
        ErrorKind.RATE,
        _codes(
            *("rate_limit_exceeded", "rate_limit_reached_error", "rate_limit_reached"),
            *("rate_limited", "ModelAccountTpmRateLimitExceeded", "RateQuota", "BurstRate"),
            *("1302", "1303"),
        ),
    ),
)

# A 429 of OpenAI's flex tier, which isn't a limit of the account.
NO_CAPACITY_CODE = normalized("resource_unavailable")
NO_CAPACITY = re.compile(r"resources?[ _]unavailable")

# Codes that several providers use for more than one thing: words come first.
BROAD_CODES: tuple[tuple[ErrorKind, frozenset[str]], ...] = (
    (
        ErrorKind.RATE,
        _codes(
            *("RESOURCE_EXHAUSTED", "rate_limit_error", "too_many_requests", "Throttling"),
            *("throttling_error", "ThrottlingException", "AllocationQuota", "RateLimitError"),
            *("engine_overloaded_error", "quota_exceeded", "rateLimitExceeded", "requests_limit"),
            "ServiceQuotaExceededException",
        ),
    ),
    (
        ErrorKind.AUTH,
        _codes(
            *("invalid_api_key", "API_KEY_INVALID", "incorrect_api_key", "missing_api_key"),
            *("authentication_error", "AuthenticationError", "invalid_authentication_error"),
            *("unauthorized", "unauthenticated", "InvalidApiKey", "api_key_expired"),
            *("account_deactivated", "access_terminated", "organization_disabled", "auth_error"),
            *("token_expired", "invalid_token", "invalid_credentials", "API_KEY_SERVICE_BLOCKED"),
            *("unsupported_country_region_territory", "expired_api_key", "permission_denied"),
            *("ExpiredTokenException", "UnrecognizedClientException", "AccessDeniedException"),
        ),
    ),
    (
        ErrorKind.BUSY,
        _codes(
            *("overloaded_error", "overloaded", "model_overloaded", "capacity_exceeded"),
            *("ServiceUnavailable", "service_unavailable", "unavailable", "model_loading"),
            *("slow_down", "server_overloaded", "ServerOverloaded", "1234"),
            *("Timeout", "InternalServerError", "APIConnectionError", "ServiceUnavailableError"),
        ),
    ),
)


def _words(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.DOTALL)


_MONEY = r"(?:credits?|balance|funds|allowance)"

ACCOUNT = _words(
    r"\b(?:account|organi[sz]ation|project|consumer|workspace|api key|access)\b"
    r"(?:(?!content|input|prompt).){0,60}"
    r"\b(?:suspended|disabled|terminated|banned|deactivated|not active|locked|restricted)\b",
    r"\baccount (?:has been |was |is )?flagged",
)
FILTER = _words(
    r"\b(?:input|prompt|request|content|output|response|message|text|conversation)s?\b"
    r".{0,40}\bflagged",
    r"flagged (?:as|by|for|due)",
    r"requires moderation|(?:content|input|output|prompt) moderation|"
    r"moderation (?:api|system|policy)",
    r"content[ _-]?(?:management )?(?:polic|filter|guideline|safety)",
    r"(?:usage|safety|acceptable use|responsible ai|community) (?:polic|guideline)",
    r"inappropriate content|content exists? risk|unsafe or sensitive|sensitive (?:content|words?)",
    r"(?:unsafe|harmful|prohibited|offensive|disallowed|sensitive) "
    r"(?:content|input|prompt|material|text|information|words?)",
    r"(?:harmful|illegal|unsafe).{0,20}content|moderation: |content (?:was |is )?blocked",
    r"safety[ _](?:system|filter|check|setting|reason|classifier)",
    r"blocked (?:by|due to|because of|for).{0,60}"
    r"(?:safety|content|moderation|guardrail|filter|sensitiv|toxic|model armor)",
    r"blocked entity detected|\bnew_sensitive\b|guardrail raised|"
    r"(?:failed|(?:did not|didn't) pass) (?:the )?"
    r"(?:moderation|safety|content (?:filter|moderation|safety|polic|security|inspection))",
    r"\b(?:prompt|response|output|candidate)s? (?:was|were|is|has been) blocked",
    r"violat\w+.{0,60}(?:polic(?:y|ies)|guidelines?|terms)",
    r"guardrail\w* (?:intervened|blocked|policy|violat|check)|violated guardrail",
    r"\b(?:prompt|input|response|output|content)s? (?:was |were |is |has been )?"
    r"(?:rejected|blocked|refused|filtered)\b.{0,40}"
    r"(?:polic|moderation|security|firewall|toxic|guardrail|safety|prohibited|hate|violen)",
    r"considered high risk|jailbreak|prompt injection|data inspection|promptfeedback",
    r"敏感|不安全|违规|不当内容",
)
# The checks themselves failed: no word about the input.
FILTER_OUTAGE = _words(
    r"(?:safety|moderation|filter|guardrail)\w*(?: \w+){0,2} "
    r"(?:(?:is |was )?(?:temporarily |currently )?"
    r"(?:unavailable|unreachable|overloaded|offline)|timed out|timeout|failed to respond)",
)
REQUEST_TOO_LARGE = _words(r"request too large|reduce (?:your|the) message size")
LIMIT_REQUESTED = re.compile(r"limit[: ]+([\d,]+)\b.{0,80}?requested[: ]+([\d,]+)", re.DOTALL)
RATE = _words(
    r"rate[\s_-]limit|too many requests|requests? per (?:min|second|hour|day)|"
    r"tokens? per (?:min|day)",
    r"per.minute|\b(?:rpm|tpm|rpd|tpd|qps)\b|concurren(?:t|cy) (?:request|limit|quota)",
    r"(?:try again|retry) in \d|slow down|速率限制|请求过多|频率|并发",
)
QUOTA = _words(
    rf"(?:insufficient|not enough|no (?:more |remaining )?|out of|zero|negative) ?"
    rf"(?:api |account )?(?:{_MONEY}|quota)\b",
    r"quota (?:is )?not enough|\bout of (?:\w+ ){0,3}quota|quota for (?:the|your) plan",
    rf"(?:doesn't|don't|does not|do not) have (?:any |enough |sufficient )?{_MONEY}\b",
    r"balance (?:is )?below|trial (?:period )?(?:has |is )?(?:ended|expired|over)\b",
    r"subscription (?:is |has )?(?:been )?(?:not active|inactive|expired|ended|lapsed|cancel)",
    r"monthly (?:\w+ )?(?:limit|budget).{0,20}(?:reached|exceeded|used up|hit)\b",
    r"(?:plan|monthly|free|subscription) quota\b.{0,20}(?:exhaust|exceed|used up|reach)|"
    r"exceed\w*.{0,20}free \w+ quota|(?:calls|requests) ?(?:/|per) ?month\b",
    r"payment instrument|charge your (?:card|payment)|subscription required|"
    r"requires? a (?:paid )?(?:subscription|plan)\b|plan (?:has expired|does not (?:yet )?include)|"
    r"enter a payment method or|valid credit card|deposit funds|billing failed|"
    r"(?:(?:week|month)ly|usage|credit) limit exhausted",
    rf"{_MONEY}s? (?:balance )?(?:is|are|has been|have been|was|were)? ?(?:too low|exhausted|"
    r"depleted|insufficient|negative|used up|empty|not enough|exceeded|expired)",
    r"(?:exceed|reach)\w* .{0,20}(?:credit|spend(?:ing)?|usage|budget) (?:limit|cap)",
    r"requires? more credits|credit balance|can only afford",
    r"billing (?:hard |soft )?limit|hard limit has been reached|"
    r"billing.{0,40}(?:not active|disabled)",
    r"budget.{0,40}exceed|exceed\w* ?(?:your |the )?budget|over budget|crossed budget",
    r"key limit exceeded|spend(?:ing)?[ _]?(?:limit|cap)|usage limits?\b.{0,40}(?:reach|exceed)",
    r"(?:reached|exceeded).{0,40}usage limit|payment (?:required|overdue)",
    r"account is in good standing|in arrears|arrearage|overdue|unpaid",
    r"free tier of the model has been exhausted|free tier is not available",
    r"余额不足|欠费|额度(?:不足|已用完)",
)
# Advice that comes with an empty account, but with a limit on speed as well.
QUOTA_ADVICE = _words(
    r"exceeded your current quota|current quota|quota (?:exceeded|reached)|exceeded.{0,20}quota",
    r"billing|\bcredits?\b|payment|top up|recharge|充值",
)
NO_FREE_TIER = _words(r"\blimit:? ?['\"]?0\b(?!\.)")
AUTH = _words(
    r"(?:incorrect|invalid|wrong|expired|revoked|missing|unknown|bad|no|unrecogni[sz]ed) "
    r"(?:or (?:missing|expired|invalid) )?(?:api|access|auth\w*|bearer|subscription) ?"
    r"[-_ ]?(?:key|token|credential)",
    r"api[-_ ]?key.{0,40}(?:not valid|invalid|expired|incorrect|missing|not found|revoked|disabled|"
    r"leaked|required|not provided|blocked|deleted|does not exist|malformed|suspended)",
    r"(?:access|bearer|auth\w*|api) token.{0,30}(?:invalid|expired|missing|not valid|required)",
    r"no auth credentials|invalid (?:authentication|credentials|authorization)|"
    r"authentication (?:failed|error|fails|required|is required|credentials)",
    r"didn't provide an api key|not authenticated|unauthori[sz]ed|"
    r"missing (?:the )?authori[sz]ation",
    r"provide (?:a valid|an) api key|reported as leaked|invalid x-api-key|user not found",
    r"invalid token(?! count| id| limit|s)",
    r"\bjwt\b.{0,30}(?:expired|invalid|malformed)|signature (?:has |is )?expired|log ?in fail",
    r"permission \S+ denied on resource|token included in the request is (?:invalid|expired)",
    r"user location is not supported|country, region, or territory not supported",
    r"令牌|身份验证|鉴权",
)
MODEL = _words(
    r"\bmodels?\b(?:(?!does not support|not support|context).){0,160}?"
    r"(?:(?:does not|doesn't|not) exist|not found|(?:was|been|is) (?:decommissioned|deprecated|"
    r"removed|retired|shut down|discontinued)|no longer (?:supported|available|served|offered)|"
    r"is unknown|is not available(?! right now| at the moment)|"
    r"not (?:been )?deployed|isn't (?:available|loaded)|is not loaded|不存在)",
    r"(?:invalid|unknown|no such|unrecogni[sz]ed|unsupported|not a valid|nonexistent) model\b"
    r"(?! (?:output|response|parameter|answer))",
    r"\bmodel\b [`'\"]?(?!parameter|response|output)[\w./:@-]+[`'\"]? is not supported|"
    r"\bmodel (?:is |has been )?disabled",
    r"\bmodel (?:identifier|id|name)\b.{0,60} is invalid|on-demand throughput isn't supported",
    r"\A\s*['`\"]?model['`\"]? is required|must provide a model",
    r"not a valid model|no models? loaded|try pulling it first|not a chat model|模型不存在",
    r"deployment.{0,60}(?:does not exist|not found)|no endpoints found (?:for|matching)\b",
    r"no allowed providers are available|there is no model\b|no model (?:named|called)\b",
    r"must be a member.{0,40}model|(?:does not|don't|do not) have access to (?:the )?model",
    r"not allowed to (?:use|access|sample from) (?:this |the )?model|model access (?:is )?denied|"
    r"unable to access (?:[\w-]+ )?model|not found the model|\bmodel\b.{0,60}is blocked at",
    r"(?:requested|specified|this) model is not supported(?! (?:with|for|by|when) )|"
    r"model\b.{0,40}(?:end of (?:its )?life|not hosted|not currently loaded)|"
    r"\bmodel [`'\"]?[\w./:@-]+[`'\"]? is disabled",
    r"only (?:available|supported) in v1/|llm provider not provided|no available channel|"
    r"无可用渠道",
)
TOO_LONG = _words(
    r"context.?(?:length|window|size|limit|overflow)|maximum context|n_ctx|context the overflow|"
    r"when context",
    r"too many (?:input |prompt )?tokens|(?:prompt|input|inputs?|messages?|text|content|query|"
    r"conversation|sequence|blocks?|body) (?:token )?(?:length )?(?:(?:is|are|was) )?"
    r"too (?:long|large)",
    r"tokens? limit exceeded|exceed\w* max (?:(?:message|input|prompt) tokens|tokens? limit)|"
    r"expected maxlength|payload size exceeds|content size limit|"
    r"string should have at most \d+ char|input token count is [\d,]+ but|"
    r"length of (?:your|the) (?:input|prompt)\b.{0,40}exceed|"
    # What is left for the answer, after an input that fills the context.
    r"max_\w*tokens.{0,40}(?:at least|greater than|positive).{0,20}-\d",
    r"prompt exceeds max|(?:string|prompt|input) too long|decoder prompt \(length|"
    r"longer than the maximum (?:model |sequence )?length",
    r"max_new_tokens`? must be <=|`?inputs`? (?:tokens )?must have less than",
    r"(?:prompt|input|messages?|request|conversation)\b.{0,40}exceeds?.{0,60}\btokens?\b|"
    r"tokens in the (?:prompt|messages|input|request).{0,40}(?:greater|more|exceed|larger)|"
    r"length of prompt_tokens|max_seq_len",
    r"range of input length|exceeded model token limit|"
    r"max(?:imum)? (?:supported )?(?:prompt|input|sequence) length|max input char",
    r"input (?:token )?(?:count|length|tokens?).{0,60}exceed|prompt tokens?.{0,40}exceed|"
    r"exceeds? the (?:maximum|max|limit|model).{0,40}(?:input|context|prompt|length)",
    r"exceeds? the maximum number of tokens allowed|tokens? exceeds? the (?:model|maximum)",
    r"reduce the (?:length|size) of|reduce (?:your|the) (?:prompt|input|messages)",
    r"too large (?:for model|to process)|payload too large|request entity too large|"
    r"prompt contains .{0,60}too large|larger than the (?:max|context|model)",
    r"(?:超过|超出|超长).{0,12}(?:长度|上限|限制|token)|(?:输入|prompt).{0,6}(?:过长|超长)",
)
ANSWER_CAP = _words(
    r"max_(?:completion_|output_|new_)?tokens.{0,80}"
    r"(?:too large|at most|> \d+, which is the maximum|exceed|invalid|must be|supports|range)",
)
# Parts of a request whose length no shorter transcript changes.
_SETTING = r"(?:user|model|metadata|prompt_cache_key|safety_identifier|stop|tools?|response_format)"
SETTING = _words(
    rf"(?:invalid '|body\.){_SETTING}\b",
    # As the parameter of an error, which is a line of its own, or as the path before its message.
    rf"\n{_SETTING}(?:[.\[]\S*)?(?: ?\n|\Z)",
    rf"(?:\A|\n){_SETTING}[.\[]\S*: ",
)
ONLY_THE_CAP = _words(r"the maximum value for `?max_")
UNREADABLE = _words(
    r"could not parse the json body|malformed json|couldn't parse the json|json decode error|"
    r"json_invalid",
    r"(?:failed|unable|error|cannot|could not|couldn't)[^.]{0,20}"
    r"(?:pars|decod|read|deserializ|unmarshal)\w*[^.]{0,20}"
    r"(?:request|body|payload)|invalid json (?:in|body)|request body is not valid json|"
    r"not valid json body",
)
GENERATION = _words(
    r"failed to (?:generate|validate) (?:a )?(?:valid )?json\b(?! schema)|"
    r"failed to call a function|"
    r"json mode (?:couldn't|could not) be met|tool call validation failed|"
    r"(?:failed to parse|error parsing) tool call|failed to parse input at pos|"
    r"but (?:the )?model called a tool",
    r"model (?:output|generated|produced|returned|response)(?: was| an?| is)? "
    r"(?:invalid|malformed|not valid|unparsable)",
    r"(?:generated|model) (?:output|response|answer|json) (?:does not|did not|doesn't|didn't) "
    r"(?:match|conform|validate)",
    r"(?:parse|parsing|validate|validating) (?:the )?(?:model|generated|model's) "
    r"(?:output|response|answer|json)",
)
MODE = _words(
    r"response_format|response[ _-]?schema|schema|\btool|function|json|\bstrict\b|grammar",
    r"structured[ _-]?output|guided|constrained|logits.?processor|xgrammar|outlines|"
    r"\bfsm\b|output[ _]?(?:format|config)|additionalproperties",
)
MODE_ON_A_FAULT = _words(
    r"json[ _-]?schema|response[ _-]?(?:format|schema)|structured[ _-]?output|schema conversion|"
    r"unrecognized schema|grammar|guided[ _]?(?:json|decoding)|tool_choice|json mode",
    r"target type: tool|invalid format: expected|"
    r"tools?(?: use| call\w*)? (?:is |are )?(?:not |un)supported|"
    r"(?:does not|doesn't|not) support (?:tools?|functions?|tool use|json)|requires --jinja",
)
MODE_NOT_FOUND = _words(
    r"no endpoints found that (?:can handle|support)|support(?:s|ed|ing)? (?:the )?(?:tool|json|"
    r"structured|response_format|requested parameters)",
)
BUSY = _words(
    r"overloaded|over capacity|at capacity|temporar\w+ (?:un)?available|temporarily|"
    r"(?:currently|still) (?:loading|unavailable|starting)|is loading|loading model|"
    r"(?:try|retry) again (?:later|shortly|in a)|service unavailable|upstream (?:error|connect)|"
    r"model (?:has |was |is )?(?:been )?(?:crashed|(?:un|re)loaded)|failed to load model|"
    r"not ready (?:for|yet)\b",
    r"server (?:is )?busy|capacity exceeded|enginedead|繁忙|稍后|网络错误",
)
