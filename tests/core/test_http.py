"""Page or fragment, and the answers that htmx understands."""

import json

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from apps.core import http


@pytest.fixture
def requests() -> RequestFactory:
    return RequestFactory()


class TestWantsFragment:
    def test_plain_request_wants_the_page(self, requests: RequestFactory) -> None:
        assert not http.wants_fragment(requests.get("/"))

    def test_htmx_wants_the_fragment(self, requests: RequestFactory) -> None:
        assert http.wants_fragment(requests.get("/", headers={"HX-Request": "true"}))

    @pytest.mark.parametrize("also", ["HX-Boosted", "HX-History-Restore-Request"])
    def test_boosted_links_and_history_want_the_page(
        self, requests: RequestFactory, also: str
    ) -> None:
        request = requests.get("/", headers={"HX-Request": "true", also: "true"})
        assert not http.wants_fragment(request)


class TestRenderEither:
    def answer(self, request: HttpRequest) -> HttpResponse:
        context = {"title": "Nothing yet", "shown": "1-2 of 2"}
        return http.render_either(
            request,
            page="components/_empty.html",
            fragment="components/_pagination.html",
            context=context,
        )

    def test_page(self, requests: RequestFactory) -> None:
        assert b"Nothing yet" in self.answer(requests.get("/")).content

    def test_fragment(self, requests: RequestFactory) -> None:
        response = self.answer(requests.get("/", headers={"HX-Request": "true"}))
        assert b"1-2 of 2" in response.content

    def test_both_say_what_they_depend_on(self, requests: RequestFactory) -> None:
        for headers in ({}, {"HX-Request": "true"}):
            vary = self.answer(requests.get("/", headers=headers))["Vary"]
            assert "HX-Request" in vary
            assert "HX-History-Restore-Request" in vary


def test_decorator_sets_vary_and_keeps_the_answer(requests: RequestFactory) -> None:
    @http.varies_by_htmx
    def view(request: HttpRequest, number: int) -> HttpResponse:
        return HttpResponse(str(number), headers={"Vary": "Cookie"})

    response = view(requests.get("/"), 7)
    assert response.content == b"7"
    assert response["Vary"].startswith("Cookie, HX-Request")


class TestTriggers:
    def test_events_with_and_without_detail(self) -> None:
        response = http.hx_trigger(
            HttpResponse(), saved=None, moved={"to": 3}, **{"dialog:close": None}
        )
        assert json.loads(response["HX-Trigger"]) == {
            "saved": {},
            "moved": {"to": 3},
            "dialog:close": {},
        }

    def test_a_plain_detail_is_wrapped_for_htmx(self) -> None:
        response = http.hx_trigger(HttpResponse(), counted=12)
        assert json.loads(response["HX-Trigger"]) == {"counted": {"value": 12}}

    def test_earlier_events_are_kept(self) -> None:
        response = http.add_toast(http.hx_trigger(HttpResponse(), saved=None), "Saved")
        assert set(json.loads(response["HX-Trigger"])) == {"saved", "toast"}

    def test_toast_of_any_script_fits_a_header(self) -> None:
        response = http.add_toast(HttpResponse(), "تم الحفظ\n", kind="warn", href="/x/", action="→")
        assert response["HX-Trigger"].isascii()
        assert json.loads(response["HX-Trigger"])["toast"]["text"] == "تم الحفظ\n"

    def test_dialog_done_closes_says_and_tells(self) -> None:
        response = http.dialog_done("Started", "runs:changed")
        assert response.status_code == 204
        assert list(json.loads(response["HX-Trigger"])) == ["dialog:close", "runs:changed", "toast"]

    def test_dialog_done_without_words_shows_no_toast(self) -> None:
        assert "toast" not in http.dialog_done()["HX-Trigger"]


class TestRedirect:
    def test_for_htmx_by_header(self, requests: RequestFactory) -> None:
        response = http.hx_redirect(requests.post("/", headers={"HX-Request": "true"}), "/calls/")
        assert response["HX-Redirect"] == "/calls/"
        assert response.status_code == 200

    def test_without_script(self, requests: RequestFactory) -> None:
        response = http.hx_redirect(requests.post("/"), "/calls/")
        assert (response.status_code, response["Location"]) == (302, "/calls/")


def test_last_answer_of_a_poll_is_286() -> None:
    assert http.stop_polling(HttpResponse("done")).status_code == 286
