"""Charts: coordinates of lines and bars, and the axes around them."""

import pytest

from apps.core.charts import (
    Column,
    Event,
    Part,
    Point,
    bar_chart,
    line_chart,
    scale_of,
    share_scale,
    x_ticks,
)
from apps.core.display import percent


def _point(value: float | None, low: float | None = None, high: float | None = None) -> Point:
    return Point("Oct 1", "Oct 1: 50%", value, low, high, "/calls/?a=1")


@pytest.mark.parametrize(
    ("values", "whole", "steps"),
    [
        ([0, 100], False, (0, 25, 50, 75, 100)),
        ([3], True, (0, 1, 2, 3)),
        ([], True, (0, 1)),
        ([1234], True, (0, 500, 1000, 1500)),
        ([-5, 5], False, (-5, -2.5, 0, 2.5, 5)),
    ],
)
def test_scale_has_round_steps_with_room(
    values: list[float], whole: bool, steps: tuple[float, ...]
) -> None:
    scale = scale_of(values, from_zero=True, whole=whole)
    assert scale.steps == steps
    assert all(0 <= scale.y(value) <= 100 for value in values)


def test_share_scale_zooms_only_where_everything_is_low() -> None:
    assert [share_scale([high]).high for high in (0.04, 0.2, 0.4, 0.51, 1.0)] == [
        0.1, 0.25, 0.5, 1.0, 1.0
    ]  # fmt: skip


def test_line_breaks_at_gaps_and_has_a_mark_per_value() -> None:
    points = [_point(0.5, 0.4, 0.6), _point(1.0, 0.9, 1.0), _point(None), _point(0.0)]
    chart = line_chart(points, share_scale([1.0]), percent, reference=(0.5, "Previous"))
    assert [(mark.x, mark.y) for mark in chart.marks] == [(12.5, 50), (37.5, 0), (87.5, 100)]
    assert chart.lines == ("M125.0 500.0L375.0 0.0", "M875.0 1000.0")
    assert chart.bands == ("M125.0 400.0L375.0 0.0L375.0 100.0L125.0 600.0Z",)
    assert [tick.label for tick in chart.y_ticks] == ["0%", "50%", "100%"]
    assert chart.reference
    assert chart.reference.y == 50


def test_line_of_nothing_has_axes_only() -> None:
    chart = line_chart([_point(None)] * 3, share_scale([]), percent)
    assert (chart.marks, chart.lines, chart.bands) == ((), (), ())
    assert len(chart.x_ticks) == 3


def test_bars_stack_from_the_bottom_and_leave_out_nothing() -> None:
    parts = [Part(0, 3, "a"), Part(1, 0, "b"), Part(2, 1, "c")]
    chart = bar_chart([Column("Oct 1", parts)], scale_of([4], from_zero=True, whole=True), str)
    assert [(bar.series, bar.y, bar.height) for bar in chart.bars] == [(0, 25, 75), (2, 0, 25)]
    assert [bar.is_hatched for bar in chart.bars] == [False, False]


def test_bars_as_shares_fill_each_column() -> None:
    columns = [Column("a", [Part(0, 1, ""), Part(1, 3, "")]), Column("b", [Part(0, 0, "")])]
    chart = bar_chart(columns, share_scale([1.0]), percent, as_shares=True)
    assert [(bar.y, bar.height) for bar in chart.bars] == [(75, 25), (0, 75)]


def test_events_of_a_column_share_a_mark() -> None:
    events = [Event(1, "Draft saved", "/a"), Event(1, "V2 published", "/b"), Event(9, "later")]
    chart = line_chart([_point(0.5)] * 2, share_scale([1.0]), percent, events=events)
    assert [(e.x, e.title, e.url) for e in chart.events] == [
        (75, "Draft saved\nV2 published", "/b")
    ]


@pytest.mark.parametrize("count", [0, 1, 6, 7, 62])
def test_labels_of_time_fit_next_to_each_other(count: int) -> None:
    ticks = x_ticks([str(n) for n in range(count)])
    assert len(ticks) <= 6
    assert count < 7 or [ticks[0].anchor, ticks[-1].anchor] == ["start", "end"]
    assert [tick.label for tick in ticks][:1] == ["0"][:count]
