import re

import pytest

from apps.core.ids import public_id, random_base62


@pytest.mark.parametrize("prefix", ["conv", "conv_"])
def test_prefix_and_22_characters(prefix: str) -> None:
    assert re.fullmatch(r"conv_[0-9A-Za-z]{22}", public_id(prefix))


def test_no_two_are_equal() -> None:
    assert len({public_id("an") for _ in range(1000)}) == 1000


def test_every_character_of_the_alphabet_is_used() -> None:
    assert len(set(random_base62(10_000))) == 62
