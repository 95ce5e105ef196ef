"""Bins of a histogram: round, without gaps, and each value in exactly one."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.histogram import bin_edges, counts_in

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


@pytest.mark.parametrize(
    ("low", "high", "whole", "edges"),
    [
        (1, 5, True, [1, 2, 3, 4, 5, 6]),
        (0, 100, True, [float(x) for x in range(0, 101, 10)]),
        (31, 97, True, [float(x) for x in range(30, 101, 10)]),
        (0.0, 1.0, False, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        (0.5, 0.5, False, [0.5, 0.55]),
        (-5, 5, True, [-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5]),
    ],
)
def test_edges_are_round(low: float, high: float, whole: bool, edges: list[float]) -> None:
    assert bin_edges(low, high, whole=whole) == pytest.approx(edges)


@given(st.lists(NUMBERS, min_size=1), st.booleans())
def test_every_value_is_in_one_bin(values: list[float], whole: bool) -> None:
    numbers = sorted(float(int(value)) if whole else value for value in values)
    edges = bin_edges(numbers[0], numbers[-1], whole=whole)
    assert all(low < high for low, high in pairwise(edges))
    assert len(edges) <= 14
    assert edges[0] <= numbers[0] + 1e-6 * abs(numbers[0])
    assert numbers[-1] <= edges[-1] + 1e-6 * abs(numbers[-1])
    assert sum(counts_in(edges, [(value, 1) for value in numbers])) == len(numbers)
