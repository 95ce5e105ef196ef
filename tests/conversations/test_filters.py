"""The grammar of docs/interfaces.md: every operator on every type, and never everything."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.http import QueryDict
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.agents.models import AgentVersion
from apps.contacts.models import Contact
from apps.conversations.filters import FilterError, matching, parse
from apps.conversations.filters.registry import static_fields
from apps.conversations.models import Conversation, Transfer
from tests.factories import make_draft, make_indexed_conversation, make_version

pytestmark = pytest.mark.django_db

FIELDS = {
    "topic": {"type": "string", "enum": ["billing", "sales"]},
    "score": {"type": "integer"},
    "resolved": {"type": "boolean"},
    "notes": {"type": "string"},
    "rivals": {"type": "array", "items": {"type": "string"}},
    "my__odd. name": {"type": ["string", "null"]},
    "either": {"anyOf": [{"type": "number"}, {"type": "string"}]},
    "shape": {"type": "object"},
}


@pytest.fixture
def version() -> AgentVersion:
    return make_draft(properties=FIELDS)


def names(query: str | dict[str, Any], channel: str | None = "voice") -> set[str]:
    """External ids of what a query string, or a body's filters, match."""
    params = QueryDict(query) if isinstance(query, str) else query
    return set(matching(channel=channel, params=params).values_list("external_id", flat=True))


def refusals(query: str | dict[str, Any], channel: str | None = "voice") -> dict[str, str]:
    params = QueryDict(query) if isinstance(query, str) else query
    with pytest.raises(FilterError) as caught:
        parse(channel, params)
    with pytest.raises(FilterError):
        matching(channel=channel, params=params)
    return caught.value.errors


def at(day: int, hour: int = 12) -> datetime:
    return datetime(2025, 3, day, hour, tzinfo=UTC)


@pytest.fixture
def calls(version: AgentVersion) -> dict[str, Conversation]:
    """Three calls: a full one, another, and one of which nearly nothing is known."""
    full = make_indexed_conversation(
        version,
        external_id="full",
        started_at=at(1),
        ended_at=at(1, 13),
        duration_ms=61_000,
        message_count=12,
        direction="inbound",
        from_number="+15550100",
        to_number="+15550199",
        disconnection_reason="user_hangup",
        language="en",
        source="retell",
        summary="Charged 50% twice_over",
        successful=True,
        outcome="true",
        sentiment="Positive",
        analysis_state="succeeded",
        analysis_trigger="initial",
        analysis_model="gpt-4.1-mini",
        analysis_config=version.config,
        analysis_cost=Decimal("0.00400000"),
        analyzed_at=at(2),
        analysis_data={
            "topic": "billing",
            "score": 70,
            "resolved": True,
            "notes": "Wants 50% off",
            "rivals": ["Acme", "Other"],
            "my__odd. name": "x",
            "either": 5,
            "shape": {"a": 1},
        },
        metadata={"plan": "pro", "tier": 3, "vip": True, "tags": ["a"], 'q"\\': "odd", "7": "7"},
        variables={"name": "Ada"},
    )
    other = make_indexed_conversation(
        version,
        external_id="other",
        status="ongoing",
        started_at=at(2, 0),
        duration_ms=1_000,
        message_count=2,
        direction="outbound",
        from_number="+49301234",
        disconnection_reason="agent_hangup",
        language="de",
        summary="charged 500 twice over",
        successful=False,
        sentiment="negative",
        analysis_data={
            "topic": "sales",
            "score": 30.5,
            "resolved": False,
            "notes": "",
            "rivals": [],
            "either": "5",
        },
        metadata={"plan": "free", "tier": "3", "vip": False, "tags": [], "note": None},
    )
    bare = make_indexed_conversation(version, external_id="bare", status="registered")
    return {"full": full, "other": other, "bare": bare}


ALL = {"full", "other", "bare"}

TEXT = [
    ("call_summary=charged 500 twice over", {"other"}),
    ("call_summary__ne=charged 500 twice over", {"full", "bare"}),
    ("call_summary__contains=50%25", {"full"}),
    ("call_summary__contains=twice_over", {"full"}),
    ("call_summary__contains=TWICE", {"full", "other"}),
    ("call_summary__startswith=charged", {"full", "other"}),
    ("call_summary__endswith=over", {"full", "other"}),
    ("call_summary__isset=true", {"full", "other"}),
    ("call_summary__isset=no", {"bare"}),
    ("from_number__startswith=%2B1555", {"full"}),
    ("disconnection_reason=user_hangup&disconnection_reason=agent_hangup", {"full", "other"}),
    ("disconnection_reason__contains=hangup", {"full", "other"}),
    ("language__ne=en", {"other", "bare"}),
    ("language__ne=en&language__ne=de", {"bare"}),
    ("source=retell", {"full"}),
    ("external_id__endswith=ar", set()),
    ("external_id__endswith=are", {"bare"}),
]
NUMBERS = [
    ("duration_ms=61000", {"full"}),
    ("duration_ms=61000.0", {"full"}),
    ("duration_ms__ne=61000", {"other", "bare"}),
    ("duration_ms__gt=1000", {"full"}),
    ("duration_ms__gte=1000", {"full", "other"}),
    ("duration_ms__lt=61000", {"other"}),
    ("duration_ms__lte=61000", {"full", "other"}),
    ("duration_ms__between=1000,61000", {"full", "other"}),
    ("duration_ms__between=1001,61000", {"full"}),
    ("duration_ms__between=0,1000&duration_ms__between=61000,61000", {"full", "other"}),
    ("duration_ms__isset=true", {"full", "other"}),
    ("duration_ms__isset=false", {"bare"}),
    ("message_count__gte=2", {"full", "other"}),
    ("analysis_cost__gte=0.004", {"full"}),
    ("analysis_cost__gt=0.004", set()),
    ("analysis_cost=0.004", {"full"}),
    ("agent_version=0", ALL),
    ("agent_version=1", set()),
]
TIMES = [
    ("started_at=2025-03-01", {"full"}),
    ("started_at=2025-03-01T12:00:00Z", {"full"}),
    ("started_at=2025-03-01T13:00:00+01:00", {"full"}),
    ("started_at=2025-03-01T13:00:00%2B01:00", {"full"}),
    ("started_at__ne=2025-03-01", {"other", "bare"}),
    ("started_at__gt=2025-03-01", {"other"}),
    ("started_at__gte=2025-03-01", {"full", "other"}),
    ("started_at__lt=2025-03-02", {"full"}),
    ("started_at__lte=2025-03-02", {"full", "other"}),
    ("started_at__between=2025-03-01,2025-03-01", {"full"}),
    ("started_at__between=2025-03-01,2025-03-02", {"full", "other"}),
    ("started_at__between=2025-03-01T12:00Z,2025-03-02T00:00Z", {"full", "other"}),
    ("started_at__isset=false", {"bare"}),
    ("ended_at__isset=true", {"full"}),
    ("analyzed_at__gte=2025-03-02", {"full"}),
]
CHOICES = [
    ("status=ongoing", {"other"}),
    ("status=ongoing&status=registered", {"other", "bare"}),
    ("status__ne=ongoing", {"full", "bare"}),
    ("status__ne=ongoing&status__ne=ended", {"bare"}),
    ("direction__isset=true", {"full", "other"}),
    ("direction__isset=0", {"bare"}),
    ("direction__ne=inbound", {"other", "bare"}),
    ("analysis_state=succeeded", {"full"}),
    ("analysis_trigger__isset=false", {"other", "bare"}),
    ("user_sentiment=Negative", {"other"}),
    ("user_sentiment=positive", {"full"}),
    ("user_sentiment__ne=positive", {"other", "bare"}),
    ("user_sentiment__isset=false", {"bare"}),
    ("call_successful=true", {"full"}),
    ("call_successful=no", {"other"}),
    ("call_successful=true&call_successful=false", {"full", "other"}),
    ("call_successful__isset=false", {"bare"}),
    ("stale=false", ALL),
    ("stale=true", set()),
]
ANALYSIS = [
    ("analysis.topic=billing", {"full"}),
    ("analysis.topic=billing&analysis.topic=sales", {"full", "other"}),
    ("analysis.topic__ne=billing", {"other", "bare"}),
    ("analysis.topic__isset=false", {"bare"}),
    ("analysis.score=70", {"full"}),
    ("analysis.score=70.0", {"full"}),
    ("analysis.score__ne=70", {"other", "bare"}),
    ("analysis.score__gt=30.5", {"full"}),
    ("analysis.score__gte=30.5", {"full", "other"}),
    ("analysis.score__lt=-3", set()),
    ("analysis.score__lte=1e2", {"full", "other"}),
    ("analysis.score__between=30,31", {"other"}),
    ("analysis.resolved=true", {"full"}),
    ("analysis.resolved=no", {"other"}),
    ("analysis.resolved__isset=true", {"full", "other"}),
    ("analysis.notes=Wants 50%25 off", {"full"}),
    ("analysis.notes__contains=50%25", {"full"}),
    ("analysis.notes__contains=wants", {"full"}),
    ("analysis.notes__contains=5.%25", set()),
    ("analysis.notes__startswith=wants", {"full"}),
    ("analysis.notes__startswith=50", set()),
    ("analysis.notes__endswith=OFF", {"full"}),
    ("analysis.notes__isset=true", {"full"}),
    ("analysis.notes__isset=false", {"other", "bare"}),
    ("analysis.rivals__contains=Acme", {"full"}),
    ("analysis.rivals__contains=Acm", set()),
    ("analysis.rivals__isset=true", {"full"}),
    ("analysis.rivals__isset=false", {"other", "bare"}),
    ("analysis.my__odd. name=x", {"full"}),
    ("analysis.my__odd. name__isset=false", {"other", "bare"}),
    ("analysis.either=5", {"full", "other"}),
    ("analysis.either__gt=4", {"full"}),
    ("analysis.either__contains=5", {"other"}),
    ("analysis.shape__isset=true", {"full"}),
]
SIDE = [
    ("metadata.plan=pro", {"full"}),
    ("metadata.plan__ne=pro", {"other", "bare"}),
    ("metadata.plan__contains=R", {"full", "other"}),
    ("metadata.tier=3", {"full", "other"}),
    ("metadata.tier__gte=3", {"full"}),
    ("metadata.tier__between=1,3", {"full"}),
    ("metadata.vip=true", {"full"}),
    ("metadata.vip__isset=true", {"full", "other"}),
    ("metadata.tags__contains=a", {"full"}),
    ("metadata.tags__isset=true", {"full"}),
    ("metadata.note__isset=true", set()),
    ("metadata.note__isset=false", ALL),
    ("metadata.q%22%5C=odd", {"full"}),
    ("metadata.q%22%5C__contains=dd", {"full"}),
    ("metadata.7=7", {"full"}),
    ("metadata.7__isset=true", {"full"}),
    ("metadata.absent=1", set()),
    ("metadata.absent__ne=1", ALL),
    ("var.name=Ada", {"full"}),
    ("var.name__startswith=a", {"full"}),
]


@pytest.mark.parametrize(
    ("query", "expected"), [*TEXT, *NUMBERS, *TIMES, *CHOICES, *ANALYSIS, *SIDE]
)
@pytest.mark.usefixtures("_in_utc")
def test_operators(calls: dict[str, Conversation], query: str, expected: set[str]) -> None:
    assert names(query) == expected


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ALL),
        ({"duration_ms__gt": 1000, "status": ["ended", "ongoing"]}, {"full"}),
        ({"analysis.resolved": True}, {"full"}),
        ({"analysis_cost__lte": 0.004, "stale": False}, {"full"}),
    ],
)
def test_a_body_takes_numbers_and_booleans(
    calls: dict[str, Conversation], filters: dict[str, Any], expected: set[str]
) -> None:
    assert names(filters) == expected


def test_rows_combine_with_and(calls: dict[str, Conversation]) -> None:
    assert names("duration_ms__isset=1&analysis.topic=sales&metadata.plan=free") == {"other"}
    assert names("analysis.topic=sales&metadata.plan=pro") == set()


def test_id_agent_contact_config_and_transfer(calls: dict[str, Conversation]) -> None:
    full, other = calls["full"], calls["other"]
    billing = full.agent_version
    techline = make_draft("Technical line")
    Transfer.objects.create(
        conversation=full, position=0, after_message=3, to_version=techline, setting="both_agents"
    )
    ada = Contact.objects.create(
        phone_number="+15550100", email="ada@example.com", first_name="Ada"
    )
    Conversation.objects.filter(pk=full.pk).update(contact=ada)

    assert names(f"id={full.public_id}&id={other.public_id}") == {"full", "other"}
    assert names(f"id__ne={full.public_id}") == {"other", "bare"}
    assert names("id=conv_none") == set()
    assert names(f"agent={billing.agent.public_id}") == ALL
    assert names(f"agent={techline.agent.public_id}") == set()
    assert names(f"agent__ne={techline.agent.public_id}") == ALL
    assert names(f"transferred_to={techline.agent.public_id}") == {"full"}
    assert names(f"transferred_to__ne={techline.agent.public_id}") == {"other", "bare"}
    assert names("transferred_to__isset=true") == {"full"}
    for value in (ada.public_id, "%2B15550100", "Ada@Example.com"):
        assert names(f"contact={value}") == {"full"}
    assert names("contact__ne=ada@example.com") == {"other", "bare"}
    assert names("contact__contains=ada") == {"full"}
    assert names("contact__isset=false") == {"other", "bare"}
    config = billing.config
    assert names(f"analysis_config={config.name}") == {"full"}
    assert names(f"analysis_config={config.short}") == {"full"}
    assert names(f"analysis_config__ne={config.short}") == {"other", "bare"}


def test_calls_and_chats_are_apart(calls: dict[str, Conversation]) -> None:
    chat = make_draft("Chat", "chat", {"resolved": {"type": "string"}})
    make_indexed_conversation(
        chat, external_id="chat", summary="hello", analysis_data={"resolved": "so"}
    )
    assert names("chat_summary=hello", "chat") == {"chat"}
    assert "calls" in refusals("chat_summary=hello")["chat_summary"]
    assert names("analysis.resolved=so", "chat") == {"chat"}
    # of both channels, a name has the operators of both types
    assert names("analysis.resolved=so", None) == {"chat"}
    assert names("analysis.resolved=true", None) == {"full"}
    assert names("", None) == {*ALL, "chat"}


def test_columns_of_an_agent_by_schema_alone() -> None:
    """`user_sentiment` is the column, whichever field feeds it."""
    version = make_draft(
        properties={"sentiment": {"type": "string", "enum": ["happy", "sad"]}},
        built_ins={"user_sentiment": {"enabled": False}},
    )
    make_indexed_conversation(version, external_id="one", sentiment="happy")
    assert names("user_sentiment=Happy") == {"one"}
    assert "one of Negative" in refusals("user_sentiment=cheerful")["user_sentiment"]


def test_a_field_of_an_earlier_save_or_version_is_known(version: AgentVersion) -> None:
    AgentVersion.objects.filter(pk=version.pk).update(published_at=timezone.now())
    make_version(version.agent, 1, {"fresh": {"type": "number"}})
    assert names("analysis.fresh__gt=1") == set()
    assert names("analysis.topic=billing") == set()


REFUSED = [
    ("colour=red", "colour"),
    ("status__regex=a", "status__regex"),
    ("status__in=ended", "status__in"),
    ("status__is=ended", "status__is"),
    ("analysis.unheard=1", "analysis.unheard"),
    ("analysis.=1", "analysis."),
    ("metadata.=1", "metadata."),
    ("metadata=1", "metadata"),
    ("var=1", "var"),
    ("agent__name=x", "agent__name"),
    ("agent__id=1", "agent__id"),
    ("pk=1", "pk"),
    ("status__contains=end", "status__contains"),
    ("status__gt=a", "status__gt"),
    ("call_successful__ne=true", "call_successful__ne"),
    ("call_summary__gt=a", "call_summary__gt"),
    ("duration_ms__contains=1", "duration_ms__contains"),
    ("analysis.rivals=Acme", "analysis.rivals"),
    ("analysis.score__contains=7", "analysis.score__contains"),
    ("analysis.shape=1", "analysis.shape"),
    ("status=gone", "status"),
    ("status=", "status"),
    ("status", "status"),
    ("status=ended&status=", "status"),
    ("call_summary=+", "call_summary"),
    ("call_summary__contains=", "call_summary__contains"),
    ("call_summary=a%00b", "call_summary"),
    ("metadata.a%00b=1", "metadata.a\x00b"),
    ("metadata.plan=a%00", "metadata.plan"),
    ("duration_ms=soon", "duration_ms"),
    ("duration_ms=1.5", "duration_ms"),
    ("duration_ms=99999999999999999999999", "duration_ms"),
    ("duration_ms=1e99", "duration_ms"),
    ("duration_ms=nan", "duration_ms"),
    ("analysis_cost=Infinity", "analysis_cost"),
    ("analysis_cost=1e999999999", "analysis_cost"),
    ("analysis.score=many", "analysis.score"),
    ("analysis.score__gt=many", "analysis.score__gt"),
    ("metadata.tier__gt=many", "metadata.tier__gt"),
    ("duration_ms__between=1", "duration_ms__between"),
    ("duration_ms__between=1,", "duration_ms__between"),
    ("duration_ms__between=2,1", "duration_ms__between"),
    ("duration_ms__between=1,2,3", "duration_ms__between"),
    ("started_at=yesterday", "started_at"),
    ("started_at=2025-02-30", "started_at"),
    ("started_at=9999-12-31", "started_at"),
    ("started_at=0001-01-01T00:00%2B14:00", "started_at"),
    ("started_at__between=2025-03-02,2025-03-01", "started_at__between"),
    ("call_successful=perhaps", "call_successful"),
    ("analysis.resolved=perhaps", "analysis.resolved"),
    ("analysis.topic=weather", "analysis.topic"),
    ("status__isset=perhaps", "status__isset"),
    ("direction__isset=true&direction__isset=false", "direction__isset"),
    ("agent=agt_nobody", "agent"),
    ("agent__ne=agt_nobody", "agent__ne"),
    ("transferred_to=agt_nobody", "transferred_to"),
    ("analysis_config=zzzz", "analysis_config"),
    ("analysis_config__ne=0123456", "analysis_config__ne"),
    ("q=", "q"),
    ("q=%3F%21", "q"),
    ("q=a&q=b", "q"),
    ("q__contains=a", "q__contains"),
    ("sort=colour", "sort"),
    ("sort=call_summary", "sort"),
    ("columns=status,colour", "columns"),
]


@pytest.mark.parametrize(("query", "parameter"), REFUSED)
def test_never_everything(version: AgentVersion, query: str, parameter: str) -> None:
    errors = refusals(query)
    assert list(errors) == [parameter]
    assert errors[parameter].endswith(".")
    with_more = refusals(f"{query}&status__isset=true")
    assert parameter in with_more


@pytest.mark.parametrize(
    "filters",
    [
        {"status": []},
        {"status": None},
        {"status": {"not": "ended"}},
        {"metadata.plan": "\ud800"},
        {"language": ["x"] * 10_000},
        {"language": [str(n) for n in range(10_000)]},
        {"call_summary": "x" * 1_001},
        {"channel": "voice"},
        {"limit": 3},
    ],
)
def test_never_everything_from_a_body(version: AgentVersion, filters: dict[str, Any]) -> None:
    if filters.get("language") == ["x"] * 10_000:
        assert names(filters) == set()  # ten thousand times the same is one value
    else:
        refusals(filters)


PARAMETERS = {
    f"{field.name}__{operator}" if operator else field.name
    for field in static_fields(None).values()
    for operator in field.operators
}
KNOWN = PARAMETERS | {"q", "sort", "columns"}


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=30), st.text(max_size=10))
def test_unknown_parameters_always_refuse(name: str, value: str) -> None:
    if name in KNOWN or name.startswith(("metadata.", "var.")):
        return
    refusals({name: value})
    refusals({name: value, "status": "ended"})
    refusals({f"analysis.{name}": value})


@settings(max_examples=150, deadline=None)
@given(
    st.text(min_size=1, max_size=20),
    st.text(max_size=20),
    st.sampled_from(["", "__ne", "__contains", "__startswith", "__endswith", "__gt", "__isset"]),
)
def test_any_key_and_value_is_found_or_refused(key: str, value: str, operator: str) -> None:
    """No key and no value reaches SQL as text: the query runs, or a sentence says why not."""
    try:
        rows = matching(channel=None, params={f"metadata.{key}{operator}": value})
    except FilterError:
        return
    list(rows)


def test_bare_dates_are_days_of_the_time_zone(
    calls: dict[str, Conversation], settings: Any
) -> None:
    settings.TIME_ZONE = "America/New_York"
    timezone.activate("America/New_York")
    try:
        assert names("started_at=2025-03-01") == {"full", "other"}
        assert names("started_at__gte=2025-03-02") == set()
    finally:
        timezone.deactivate()


def test_search(version: AgentVersion) -> None:
    def said(text: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": text}]

    make_indexed_conversation(
        version, external_id="crm-17:b", messages=said("I'd like a refund, please")
    )
    make_indexed_conversation(version, external_id="zh", messages=said("你好 请问北京亚太花园酒店"))
    phone = make_indexed_conversation(version, external_id="phone", from_number="+1 555-0134 22")
    make_indexed_conversation(version, external_id="sum", summary="Asked about Überweisung")

    assert names({"q": "refund"}) == {"crm-17:b"}
    assert names({"q": "REFU pleas"}) == {"crm-17:b"}
    assert names({"q": "refund missing"}) == set()
    assert names({"q": "crm-17"}) == {"crm-17:b"}
    assert names({"q": "北京"}) == {"zh"}
    assert names({"q": "花园酒店"}) == {"zh"}
    assert names({"q": "店"}) == {"zh"}
    assert names({"q": "北店"}) == set()
    assert names({"q": "+1 (555) 0134"}) == {"phone"}
    assert names({"q": phone.public_id[:12]}) == {"phone"}
    assert names({"q": "überweisung"}) == {"sum"}
    assert names({"q": "'; drop & | ! ( refund:*"}) == set()
    assert names({"q": "refund", "status": "ongoing"}) == set()


def test_a_spec_tells_what_a_page_draws(calls: dict[str, Conversation]) -> None:
    spec = parse("voice", QueryDict("status=ongoing&status=ended&q=x&sort=duration_ms&columns=id"))
    (condition,) = spec.conditions
    assert (condition.field.name, condition.operator, condition.values) == (
        "status",
        "",
        ("ongoing", "ended"),
    )
    assert spec.as_params() == {"q": ["x"], "status": ["ended", "ongoing"]}
    assert spec.sort.order == ["duration_ms"]
    assert [field.name for field in spec.columns] == ["id"]


def test_a_normal_form_is_its_own_normal_form(calls: dict[str, Conversation]) -> None:
    spec = parse("voice", {"duration_ms__gt": 5, "metadata.b": ["y", "x"], "q": " a  b "})
    again = parse("voice", spec.as_params())
    assert (
        again.as_params()
        == spec.as_params()
        == {
            "duration_ms__gt": ["5"],
            "metadata.b": ["x", "y"],
            "q": ["a b"],
        }
    )


def test_every_column_of_the_model_has_a_filter_or_a_reason() -> None:
    exempt = {
        "id": "the public id is the one that people see",
        "public_id": "filter `id`",
        "channel": "which page or command it is",
        "recording_url": "nobody looks for an address",
        "created_at": "arrival; `started_at` is what is asked for",
        "sort_at": "serves the order",
        "last_message_at": "what `idle_at` counts from",
        "idle_at": "serves the sweep; open ones are `analysis_reason=not_ended`",
        "analyze_at": "serves the sweep; empty again within seconds",
        "has_speech": "`analysis_reason=no_speech`",
        "prompt_tokens_est": "serves the estimate",
        "route": "`transferred_to`",
        "outcome": "`call_successful`",
        "analysis_data": "`analysis.NAME`",
        "summary": "`call_summary`",
        "successful": "`call_successful`",
        "sentiment": "`user_sentiment`",
    }
    columns = {field.name for field in Conversation._meta.concrete_fields}
    assert columns - set(exempt) <= PARAMETERS


def test_an_operator_that_a_field_forgot_is_an_error_instead_of_another_operator() -> None:
    for name, value in {"status": "ended", "language": "en", "stale": "true"}.items():
        with pytest.raises(NotImplementedError, match="operator matches"):
            static_fields("voice")[name].target.condition("matches", [value])
