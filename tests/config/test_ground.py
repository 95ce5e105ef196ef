"""The two real parts that every test stands on."""

import pytest
from django.core.cache import cache
from django.db import connection


@pytest.mark.django_db
def test_database_sorts_and_folds_unicode() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT lower('ÄÉ'), current_setting('server_version_num')::int >= 150000")
        assert cursor.fetchone() == ("äé", True)


def test_cache_is_a_redis_protocol_server() -> None:
    cache.set("ground", 1, timeout=5)
    assert cache.get("ground") == 1
