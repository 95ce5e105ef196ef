"""The pages of insights before the first conversation."""

import pytest
from django.test import Client

from apps.insights.use_case_pages import USE_CASES

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
VIEWS = {"customer_success": "customer-success", "sales": "sales", "quality": "quality"}


def test_empty_installation_says_what_will_be_here(viewer_client: Client) -> None:
    assert "No conversations yet" in viewer_client.get("/insights/").content.decode()


@pytest.mark.parametrize("view", VIEWS)
def test_view_of_an_empty_installation_names_the_fields_it_needs(
    viewer_client: Client, view: str
) -> None:
    assert viewer_client.get(f"/insights/{VIEWS[view]}/").status_code == 200
    for name in USE_CASES[view].panels:
        response = viewer_client.get(f"/insights/{view}/{name}/", headers=HTMX)
        assert response.status_code == 200
