"""Stored secrets can be read with the key they were stored with, and with no other."""

import pytest
from pytest_django import Settings

from apps.core import cipher


def test_a_secret_comes_back_and_its_ciphertext_does_not_show_it() -> None:
    stored = cipher.encrypt("whsec_Grüße")
    assert b"whsec" not in stored
    assert cipher.decrypt(memoryview(stored)) == "whsec_Grüße"


def test_equal_secrets_are_stored_differently() -> None:
    assert cipher.encrypt("same") != cipher.encrypt("same")


def test_another_secret_key_reads_nothing_and_says_the_way_out(settings: Settings) -> None:
    stored = cipher.encrypt("s")
    settings.SECRET_KEY = "another key " * 5
    with pytest.raises(cipher.Unreadable, match="SECRET_KEY_FALLBACKS"):
        cipher.decrypt(stored)


def test_a_replaced_key_still_reads_as_a_fallback(settings: Settings) -> None:
    stored = cipher.encrypt("s")
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another key " * 5
    assert cipher.decrypt(stored) == "s"
