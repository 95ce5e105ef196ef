"""Intervals of rates and averages, against published values."""

from statistics import stdev

import pytest

from apps.insights.rates import Average, Rate, sum_of


@pytest.mark.parametrize(
    ("yes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_rates_have_wilsons_interval(yes: int, n: int, low: float, high: float) -> None:
    # Newcombe, Two-sided confidence intervals for the single proportion (1998), table I.
    rate = Rate(yes, n)
    assert [rate.low, rate.high] == pytest.approx([low, high], abs=1e-4)


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_differences_have_newcombes_interval(
    one: tuple[int, int], other: tuple[int, int], low: float, high: float
) -> None:
    # Newcombe, Interval estimation for the difference between proportions (1998), method 10.
    change = Rate(*one).since(Rate(*other))
    assert change is not None
    assert [change.low, change.high] == pytest.approx([low, high], abs=1e-4)


def test_differences_of_few_are_never_clear() -> None:
    few = Rate(10, 10).since(Rate(0, 10))
    many = Rate(100, 100).since(Rate(0, 100))
    assert few is not None
    assert many is not None
    assert (few.is_small, few.is_clear) == (True, False)
    assert (many.is_small, many.is_clear) == (False, True)


def test_rates_of_nothing_have_no_value() -> None:
    nothing = Rate(0, 0)
    assert (nothing.value, nothing.low, nothing.high, nothing.is_small) == (None, None, None, True)
    assert nothing.since(Rate(1, 2)) is None
    assert Rate(1, 2).since(nothing) is None


def of(*numbers: float) -> Average:
    return Average(len(numbers), sum(numbers), sum(x * x for x in numbers))


def test_averages_have_the_interval_of_their_mean() -> None:
    numbers = [float(x % 7) for x in range(50)]
    average = of(*numbers)
    half = 1.959964 * stdev(numbers) / 50**0.5
    assert average.value == pytest.approx(sum(numbers) / 50)
    assert average.high == pytest.approx(sum(numbers) / 50 + half)
    assert average.low == pytest.approx(sum(numbers) / 50 - half)
    assert sum_of([of(*numbers[:10]), of(*numbers[10:])]) == average
    change = average.since(of(*(x + 3 for x in numbers)))
    assert change is not None
    assert change.value == pytest.approx(-3)
    assert change.is_clear


def test_averages_of_less_than_two_have_no_interval() -> None:
    assert (of().value, of(3).value, of(3).low) == (None, 3, None)
    assert of(3).since(of(1, 2)) is None
