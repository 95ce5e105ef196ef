"""The API's page for people."""

import json
import re

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from apps.accounts.models import Role, User

from .conftest import Caller

pytestmark = [pytest.mark.django_db]


@pytest.fixture
def page() -> str:
    client = Client(headers={"Host": "localhost:8123"})
    client.force_login(User.objects.create_user("ada", role=Role.VIEWER))
    return client.get("/api/docs").content.decode()


def test_it_shows_every_operation_with_curl_to_this_host(page: str, viewer: Caller) -> None:
    paths = json.loads(viewer.get("/openapi.json").content)["paths"]
    for methods in paths.values():
        for details in methods.values():
            assert f'id="{details["operationId"]}"' in page
    # Quoted: some shells take a bare question mark for a pattern.
    assert 'curl "http://localhost:8123/api/conversations?limit=1"' in page


def test_nothing_in_it_needs_a_looser_content_policy(page: str) -> None:
    assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>", page)
    assert not re.search(r"<style|\sstyle=|\son\w+=", page)
    assert not re.search(r'(src|href)="https?://', page)


def test_a_browser_without_a_session_goes_to_the_login_and_back(client: Client) -> None:
    answer = client.get("/api/docs", headers={"Accept": "text/html,*/*;q=0.8"})
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/login/?next=/api/docs"


def test_a_program_without_a_key_is_refused_in_json(client: Client) -> None:
    for path in ("/api/docs", "/api/openapi.json"):
        answer = client.get(path, headers={"Accept": "application/json"})
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "unauthorized"


def test_it_asks_the_database_for_the_person_only(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client.force_login(User.objects.create_user("ada"))
    client.get("/api/docs")
    with django_assert_num_queries(2):  # the session and the person
        client.get("/api/docs")
