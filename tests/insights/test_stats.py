"""Statistics of insights: each number against a count made here and the list that it opens."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from statistics import fmean, median
from typing import Any

import pytest

from apps.agents.models import DerivedField
from apps.conversations.models import Conversation
from apps.insights.buckets import Size
from apps.insights.field_stats import ChoiceStats, NumberStats, RateStats
from apps.insights.scope import Scope
from apps.insights.stats import stats_of
from apps.insights.volume import volume_of
from tests.factories import make_agent, make_conversation

from .generated import NOW, SALES, SUPPORT, make_generated, opened_by, scope_of

pytestmark = pytest.mark.django_db
Queries = Callable[[int], Any]


def within(scope: Scope, start: Any = None, end: Any = None) -> list[Conversation]:
    """Return the rows of a period, by Python alone."""
    start, end = start or scope.period.start, end or scope.period.end
    rows = scope.__dict__.get("every_row") or Conversation.objects.all()
    return [c for c in rows if start <= c.sort_at < end]


def key(c: Conversation, name: str) -> Any:
    return (c.analysis_data or {}).get(name)


def rates(rows: Iterable[Conversation], name: str) -> tuple[int, int]:
    values = [key(c, name) for c in rows]
    return values.count(True), sum(isinstance(v, bool) for v in values)


def check_left_out(stats: Any, rows: list[Conversation]) -> None:
    """Everything that was left out is named, and each link opens as many as it says."""
    coverage = stats.coverage
    assert coverage.total == len(rows)
    assert coverage.counted + sum(o.n for o in coverage.left_out) == len(rows)
    assert opened_by(coverage.url) == len(rows)
    for omission in coverage.left_out:
        if omission.url:
            assert opened_by(omission.url) == omission.n, omission


def check_rate(scope: Scope, name: str) -> None:
    stats = stats_of(scope, scope.fields[name])
    assert isinstance(stats, RateStats)
    rows = within(scope)
    yes, n = rates(rows, name)
    assert (stats.rate.yes, stats.rate.n, stats.n) == (yes, n, n)
    assert opened_by(stats.yes_url) == yes
    assert opened_by(stats.no_url) == n - yes
    for point in stats.series:
        bucket = point.bucket
        yes, n = rates(within(scope, bucket.start, bucket.end), name)
        assert (point.rate.yes, point.rate.n) == (yes, n), bucket.title
        assert opened_by(point.url) == yes
        assert opened_by(point.all_url) == n
    assert stats.previous is not None
    assert (stats.previous.yes, stats.previous.n) == rates(within(scope, *scope.previous), name)
    check_left_out(stats, rows)


def check_choice(scope: Scope, name: str) -> None:
    stats = stats_of(scope, scope.fields[name])
    assert isinstance(stats, ChoiceStats)
    rows = within(scope)
    counts = Counter(v for c in rows if isinstance(v := key(c, name), str) and v)
    shown = {share.value: share.rate.yes for share in stats.shares if share.rate.yes}
    assert shown == dict(counts)
    assert stats.n == counts.total()
    assert stats.distinct == len(counts)
    for share in stats.shares:
        if share.url:
            assert opened_by(share.url) == share.rate.yes
    for point in stats.series:
        of_bucket = within(scope, point.bucket.start, point.bucket.end)
        expected = Counter(v for c in of_bucket if isinstance(v := key(c, name), str) and v)
        assert point.n == expected.total()
        for share, count, url in zip(stats.shares, point.counts, point.urls, strict=True):
            assert count == expected[share.value]
            assert not url or opened_by(url) == count
    check_left_out(stats, rows)


def check_list(scope: Scope, name: str) -> None:
    stats = stats_of(scope, scope.fields[name])
    assert isinstance(stats, ChoiceStats)
    rows = within(scope)
    lists = [v for c in rows if isinstance(v := key(c, name), list) and v]
    members = Counter(member for one in lists for member in set(one))
    assert {s.value: s.rate.yes for s in stats.shares} == dict(members)
    assert stats.any is not None
    assert stats.any.yes == len(lists)
    of_field = {c.pk for c in rows if _was_asked(c, name)}
    empty = [c for c in rows if key(c, name) in (None, "", [], {}) and c.pk in of_field]
    assert stats.n == stats.any.n == len(lists) + len(empty)
    for share in stats.shares:
        assert opened_by(share.url) == share.rate.yes
    check_left_out(stats, rows)


def _was_asked(c: Conversation, name: str) -> bool:
    """Whether a result without a list is one with an empty list."""
    if c.analysis_data is None:
        return False
    if name in c.analysis_data and c.analysis_data[name] is not None:
        return True
    if name in c.analysis_data:
        return True
    return c.analysis_config is not None and name in c.analysis_config.parsed().field_names()


def check_number(scope: Scope, name: str) -> None:
    stats = stats_of(scope, scope.fields[name])
    assert isinstance(stats, NumberStats)
    rows = within(scope)

    def numbers(found: Iterable[Conversation]) -> list[float]:
        values = [key(c, name) for c in found]
        return [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]

    values = numbers(rows)
    assert stats.n == stats.average.n == len(values)
    assert stats.average.value == pytest.approx(fmean(values))
    assert stats.median == pytest.approx(median(values))
    assert (stats.lowest, stats.highest) == (min(values), max(values))
    assert sum(b.n for b in stats.bins) == len(values)
    for one in stats.bins:
        assert opened_by(one.url) == one.n, one
    for point in stats.series:
        of_bucket = numbers(within(scope, point.bucket.start, point.bucket.end))
        assert point.average.n == len(of_bucket)
        if of_bucket:
            assert point.average.value == pytest.approx(fmean(of_bucket))
    before = numbers(within(scope, *scope.previous))
    assert stats.previous is not None
    assert stats.previous.n == len(before)
    if before:
        assert stats.previous_median == pytest.approx(median(before))
    check_left_out(stats, rows)


def check_volume(scope: Scope) -> None:
    volume, rows = volume_of(scope), within(scope)
    results = [c for c in rows if c.analysis_state == "succeeded"]
    assert volume.coverage.analyzed == volume.coverage.counted == len(results)
    assert volume.cost == sum((c.analysis_cost or Decimal(0) for c in results), Decimal(0))
    assert volume.unpriced == sum(c.analysis_cost is None for c in results)
    causes = Counter(c.analysis_reason for c in rows if c.analysis_state == "failed")
    assert {f.code: f.n for f in volume.failures} == dict(causes)
    for point in volume.series:
        of_bucket = within(scope, point.bucket.start, point.bucket.end)
        assert point.conversations == len(of_bucket) == opened_by(point.url)
        assert point.failed == opened_by(point.failed_url)
    assert volume.previous == len(within(scope, *scope.previous))
    check_left_out(volume, rows)


def check_everything(scope: Scope) -> None:
    # Read once: a large set is looked through for each bucket.
    scope.__dict__["every_row"] = list(Conversation.objects.select_related("analysis_config"))
    check_volume(scope)
    for name in ("resolved", "hot"):
        check_rate(scope, name)
    for name in ("topic", "next_step"):
        check_choice(scope, name)
    check_list(scope, "tags")
    for name in ("overall_score", "amount"):
        check_number(scope, name)


def test_every_number_equals_a_count_and_opens_its_conversations() -> None:
    make_generated(300)
    check_everything(replace(scope_of("days=30"), size=Size.WEEK))


@pytest.mark.slow
def test_every_number_equals_a_count_over_20000_conversations() -> None:
    # Ten weeks: each bucket opens a dozen lists, and each list counts 20,000 rows.
    make_generated(20_000, days=140)
    check_everything(scope_of("from=2025-04-07&to=2025-06-15"))


def test_outcome_and_sentiment_are_the_columns_that_agents_feed() -> None:
    make_generated(200)
    scope = scope_of("days=30")
    rows = within(scope)
    outcome = stats_of(scope, scope.fields["call_successful"])
    assert isinstance(outcome, RateStats)
    assert outcome.rate.yes == sum(c.successful is True for c in rows) == opened_by(outcome.yes_url)
    assert outcome.n == sum(c.successful is not None for c in rows)
    check_left_out(outcome, rows)
    sentiment = stats_of(scope, scope.fields["user_sentiment"])
    assert isinstance(sentiment, ChoiceStats)
    shares = {share.value: share for share in sentiment.shares}
    assert shares["Positive"].rate.yes == sum(c.sentiment.lower() == "positive" for c in rows)
    assert opened_by(shares["Positive"].url) == shares["Positive"].rate.yes
    check_left_out(sentiment, rows)


def test_durations_have_an_exact_mean_and_a_median_by_the_second() -> None:
    make_generated(200)
    scope = scope_of("days=30")
    stats = stats_of(scope, scope.fields["duration_ms"])
    assert isinstance(stats, NumberStats)
    values = [c.duration_ms for c in within(scope) if c.duration_ms is not None]
    assert stats.average.value == pytest.approx(fmean(values))
    assert stats.median == pytest.approx(median(v // 1000 * 1000 for v in values))
    assert stats.coverage.left_out[0].code == "no_value"
    assert [opened_by(one.url) for one in stats.bins] == [one.n for one in stats.bins]
    check_left_out(stats, within(scope))


def test_breakdown_counts_each_group() -> None:
    support, sales = make_generated(300)
    scope = scope_of("days=30&by=agent")
    rows = within(scope)
    stats = stats_of(scope, scope.fields["topic"])
    assert isinstance(stats, ChoiceStats)
    assert {group.label for group in stats.groups} == {"Support", "Sales"}
    for group in stats.groups:
        own = [c for c in rows if c.agent.public_id == group.value]
        counts = Counter(v for c in own if isinstance(v := key(c, "topic"), str) and v)
        assert group.n == counts.total()
        assert dict(zip((s.value for s in stats.shares), group.counts, strict=True)) == {
            s.value: counts[s.value] for s in stats.shares
        }
        assert opened_by(group.url) == len(own)
    by_topic = scope_of("days=30&by=topic")
    rate = stats_of(by_topic, by_topic.fields["resolved"])
    for group in rate.groups:
        if group.value in SUPPORT["properties"]["topic"]["enum"]:
            assert group.rate is not None
            own = [c for c in rows if key(c, "topic") == group.value]
            assert (group.rate.yes, group.rate.n) == rates(own, "resolved")
    number = stats_of(by_topic, by_topic.fields["overall_score"])
    billing = next(g for g in number.groups if g.value == "billing")
    scores = [
        s
        for c in rows
        if key(c, "topic") == "billing"
        and isinstance(s := key(c, "overall_score"), int)
        and not isinstance(s, bool)
    ]
    assert billing.average is not None
    assert billing.average.value == pytest.approx(fmean(scores))
    volume = volume_of(by_topic)
    assert sum(group.n for group in volume.groups) == len(rows)
    del support, sales


def test_filters_and_agents_narrow_everything() -> None:
    support, _ = make_generated(300)
    scope = scope_of(f"days=30&agent={support.public_id}&analysis.topic=billing")
    assert "hot" not in scope.fields
    stats = stats_of(scope, scope.fields["resolved"])
    rows = [c for c in within(scope) if c.agent_id == support.pk and key(c, "topic") == "billing"]
    assert (stats.rate.yes, stats.rate.n) == rates(rows, "resolved")  # type: ignore[attr-defined]
    check_left_out(stats, rows)


def test_links_keep_filters_on_the_same_field() -> None:
    make_generated(300)
    query = "days=30&analysis.overall_score__gte=45&analysis.tags__contains=vip"
    scope = scope_of(f"{query}&time__between=2025-06-10,2025-06-20&analysis.topic__ne=billing")
    score = stats_of(scope, scope.fields["overall_score"])
    assert isinstance(score, NumberStats)
    assert score.n
    for one in score.bins:
        assert opened_by(one.url) == one.n
    for point in score.series:
        assert opened_by(point.url) == point.average.n
    tags = stats_of(scope, scope.fields["tags"])
    assert isinstance(tags, ChoiceStats)
    for share in tags.shares:
        assert opened_by(share.url) == share.rate.yes
    check_left_out(score, [c for c in within(scope) if c in set(scope.rows())])


def test_clock_counts_by_the_time_of_the_analysis() -> None:
    make_generated(300)
    scope = scope_of("days=7&clock=analyzed")
    volume = volume_of(scope)
    rows = [
        c
        for c in Conversation.objects.exclude(analyzed_at=None)
        if c.analyzed_at and scope.period.start <= c.analyzed_at < scope.period.end
    ]
    assert volume.coverage.total == len(rows) == opened_by(volume.coverage.url)
    assert sum(p.conversations for p in volume.series) <= len(rows)
    for point in volume.series:
        assert opened_by(point.url) == point.conversations


def test_an_empty_period_has_no_numbers() -> None:
    make_agent(schema=SUPPORT)
    scope = scope_of("days=7")
    for field in scope.fields.values():
        stats = stats_of(scope, field)
        assert stats.n == stats.coverage.total == 0
        assert stats.coverage.sentence == "0 of 0"
    volume = volume_of(scope)
    assert (volume.coverage.total, volume.cost_each, len(volume.series)) == (0, None, 7)


def test_one_conversation_is_a_small_sample() -> None:
    agent = make_agent(schema=SUPPORT)
    at = NOW - timedelta(hours=1)
    data = {"resolved": True, "overall_score": 80, "topic": "billing", "tags": ["vip"]}
    make_conversation(
        agent, started_at=at, sort_at=at, analysis_state="succeeded", analysis_data=data
    )
    scope = scope_of("days=7")
    rate = stats_of(scope, scope.fields["resolved"])
    assert isinstance(rate, RateStats)
    assert (rate.rate.value, rate.rate.is_small) == (1.0, True)
    assert rate.rate.low == pytest.approx(0.2065, abs=1e-3)
    assert rate.change is None
    number = stats_of(scope, scope.fields["overall_score"])
    assert isinstance(number, NumberStats)
    assert (number.average.value, number.average.low, number.median) == (80.0, None, 80.0)
    assert [(b.low, b.high, b.n) for b in number.bins] == [(80, 81, 1)]


@pytest.mark.parametrize("name", ["next_step", "tags"])
def test_values_of_the_previous_period_hide_none_of_this_one(name: str) -> None:
    agent = make_agent(schema=SUPPORT)
    common: dict[str, Any] = {"analysis_state": "succeeded"}
    as_value = (lambda text: [text]) if name == "tags" else str
    for number in range(130):
        at = NOW - timedelta(days=10)
        data = {name: as_value(f"earlier {number % 65}")}
        make_conversation(agent, started_at=at, sort_at=at, analysis_data=data, **common)
    at = NOW - timedelta(days=1)
    data = {name: as_value("new")}
    make_conversation(agent, started_at=at, sort_at=at, analysis_data=data, **common)
    scope = scope_of("days=7")
    stats = stats_of(scope, scope.fields[name])
    assert isinstance(stats, ChoiceStats)
    assert [(s.value, s.rate.yes) for s in stats.shares if s.rate.yes] == [("new", 1)]
    assert stats.distinct == 1


def test_values_of_an_earlier_type_are_left_out() -> None:
    agent = make_agent(schema={"type": "object", "properties": {"grade": {"type": "boolean"}}})
    old = agent.versions.get().config
    new = make_agent(
        schema={"type": "object", "properties": {"grade": {"type": "string", "enum": ["a", "b"]}}}
    )
    at = NOW - timedelta(hours=1)
    common: dict[str, Any] = {"started_at": at, "sort_at": at, "analysis_state": "succeeded"}
    for value in (True, False, "a"):
        make_conversation(agent, **common, analysis_config=old, analysis_data={"grade": value})
    make_conversation(new, **common, analysis_data={"grade": "b"})
    scope = scope_of("days=7")
    stats = stats_of(scope, scope.fields["grade"])
    assert isinstance(stats, ChoiceStats)
    assert {s.value: s.rate.yes for s in stats.shares} == {"a": 1, "b": 1}
    assert [(o.code, o.n) for o in stats.coverage.left_out] == [("other_type", 2)]
    assert stats.coverage.sentence == "2 of 4 (2 with a value of another type)"


def test_results_that_lack_the_field_are_told_apart_from_empty_ones() -> None:
    support, sales = make_agent(schema=SUPPORT), make_agent(schema=SALES)
    at = NOW - timedelta(hours=1)
    for agent in (support, sales):
        make_conversation(
            agent, started_at=at, sort_at=at, analysis_state="succeeded", analysis_data={},
            analysis_config=agent.versions.get().config,
        )  # fmt: skip
    scope = scope_of("days=7")
    resolved = stats_of(scope, scope.fields["resolved"]).coverage
    assert {o.code: o.n for o in resolved.left_out} == {"no_value": 1, "not_asked": 1}
    tags = stats_of(scope, scope.fields["tags"])
    assert isinstance(tags, ChoiceStats)
    assert (tags.n, tags.any and tags.any.yes) == (1, 0)


def test_a_number_that_no_double_holds_is_of_another_type() -> None:
    agent = make_agent(schema=SUPPORT)
    at = NOW - timedelta(hours=1)
    conversation = make_conversation(
        agent, started_at=at, sort_at=at, analysis_state="succeeded", analysis_data={}
    )
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE conversations_conversation SET analysis_data ="
            " jsonb_build_object('amount', ('1' || repeat('0', 400))::numeric) WHERE id = %s",
            [conversation.pk],
        )
    scope = scope_of("days=7")
    stats = stats_of(scope, scope.fields["amount"])
    assert (stats.n, stats.coverage.left_out[0].code) == (0, "other_type")


def test_tiles_take_a_fixed_number_of_queries(django_assert_num_queries: Queries) -> None:
    make_generated(100)
    scope = scope_of("days=30")
    fields = scope.fields
    # A savepoint and its end, the planner's settings, the statement, the configs of empty results.
    with django_assert_num_queries(5):
        stats_of(scope, fields["resolved"])
    with django_assert_num_queries(4):
        volume_of(scope)


def test_derived_fields_count_without_being_in_a_config() -> None:
    agent = make_agent(schema=SUPPORT)
    DerivedField.objects.create(
        name="is_long",
        label="Long",
        type="boolean",
        channel="voice",
        definition={},
        properties='{"is_long": {"type": "boolean"}}',
        created_by="tests",
    )
    at = NOW - timedelta(hours=1)
    config = agent.versions.get().config
    for data in ({"is_long": True}, {}):
        make_conversation(
            agent, started_at=at, sort_at=at, analysis_state="succeeded", analysis_data=data,
            analysis_config=config,
        )  # fmt: skip
    scope = scope_of("days=7")
    stats = stats_of(scope, scope.fields["is_long"])
    assert isinstance(stats, RateStats)
    assert (stats.rate.yes, stats.rate.n) == (1, 1)
    assert [(o.code, o.n) for o in stats.coverage.left_out] == [("no_value", 1)]
