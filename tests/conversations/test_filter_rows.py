"""The add-a-row editor: forms to parameters and back, and the fragments that draw it."""

import pytest
from django.http import QueryDict
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.contacts.models import Contact
from apps.conversations.filters import ConversationFields, FilterError, editor, labels, parse
from tests.factories import make_draft, make_indexed_conversation

pytestmark = pytest.mark.django_db


def params_of(text: str) -> dict[str, list[str]]:
    return dict(editor.params_of(QueryDict(text)).lists())


def test_rows_become_parameters() -> None:
    form = (
        "q=refund&row-0-field=status&row-0-was=status&row-0-op=&row-0-value=ended&row-0-value="
        "&row-2-field=started_at&row-2-op=between&row-2-value=2025-03-01&row-2-high=2025-03-31"
        "&row-3-field=&row-3-op=&row-4-field=direction&row-4-op=isset&row-4-value=true"
    )
    assert params_of(form) == {
        "q": ["refund"],
        "status": ["ended"],
        "started_at__between": ["2025-03-01,2025-03-31"],
        "direction__isset": ["true"],
    }


def test_a_row_without_a_value_is_refused() -> None:
    params = params_of("row-0-field=status&row-0-op=")
    assert params == {"status": [""]}
    with pytest.raises(FilterError):
        parse("voice", params)


def test_rows_of_the_same_field_are_any_of_and_a_dropped_one_is_left_out() -> None:
    form = "status=ended&row-0-field=status&row-0-op=&row-0-value=ongoing&row-1-field=id&drop=1"
    assert params_of(form) == {"status": ["ended", "ongoing"]}


def test_durations_are_edited_in_seconds() -> None:
    assert params_of("row-0-field=duration_ms&row-0-op=gte&row-0-value=61.5") == {
        "duration_ms__gte": ["61500"]
    }
    assert params_of("row-0-field=duration_ms&row-0-op=between&row-0-value=1&row-0-high=2") == {
        "duration_ms__between": ["1000,2000"]
    }
    (row,) = editor.rows_of(ConversationFields("voice"), {"duration_ms__between": ["1000,2500"]})
    assert (row.low, row.high, row.unit) == ("1", "2.5", "seconds")
    assert params_of("row-0-field=duration_ms&row-0-op=gt&row-0-value=soon") == {
        "duration_ms__gt": ["soon"]
    }


def test_rows_come_back_with_their_errors() -> None:
    params = {"status": ["gone"], "colour": ["red"], "started_at__gte": ["2025-03-01T10:00"]}
    with pytest.raises(FilterError) as caught:
        parse("voice", params)
    status, colour, started = editor.rows_of(
        ConversationFields("voice"), params, caught.value.errors
    )
    assert "gone" in status.error
    assert status.control == "choices"
    assert any(choice.value == "gone" for choice in status.choices)
    assert colour.field is None
    assert colour.error
    assert (started.control, started.error) == ("text", "")


def test_choices_are_counted() -> None:
    version = make_draft(properties={"topic": {"type": "string", "enum": ["a", "b"]}})
    make_indexed_conversation(version, status="ended", analysis_data={"topic": "a"}, language="en")
    make_indexed_conversation(version, status="ongoing", analysis_data={"topic": "a"})
    fields = {
        "status": {"ended": 1, "ongoing": 1, "registered": 0, "not_connected": 0, "error": 0},
        "agent": {version.agent.public_id: 2},
        "analysis.topic": {"a": 2, "b": 0},
        "language": {"en": 1},
        "call_successful": {"true": 0, "false": 0},
    }
    for name, expected in fields.items():
        (row,) = editor.rows_of(ConversationFields("voice"), {name: [""]})
        assert {choice.value: choice.count for choice in row.choices} == expected


def test_chips_are_words() -> None:
    version = make_draft("Billing line")
    ada = Contact.objects.create(phone_number="+15550134", first_name="Ada")
    spec = parse(
        "voice",
        {
            "agent": version.agent.public_id,
            "contact": [ada.public_id, "+15550199"],
            "duration_ms__gte": 221_000,
            "started_at__between": "2025-03-01,2025-03-31",
            "call_successful": False,
            "direction__isset": "false",
            "status": ["ended", "error", "ongoing", "registered"],
        },
    )
    chips = labels.chips(spec)
    assert [chip.text for chip in chips] == [
        "Agent is Billing line",
        "Contact is any of Ada, +15550199",
        "Duration ≥ 3:41",
        "Started between 2025-03-01 – 2025-03-31",
        "Call successful is No",
        "Direction is not set",
        "Status is any of Ended, Error and 2 more",
    ]
    assert "agent" not in QueryDict(chips[0].without)


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(User.objects.create_user("vera", password="x", role="viewer"))
    return client


def row(client: Client, query: str) -> str:
    response = client.get(f"{reverse('conversations:filter_row')}?{query}")
    assert response.status_code == 200
    return response.content.decode()


def test_a_row_redraws_for_its_field(viewer: Client) -> None:
    assert 'name="row-0-field"' in row(viewer, "channel=voice")
    assert 'name="row-8-field"' in row(viewer, "channel=voice&row-7-field=status")
    changed = "channel=voice&n=2&row-2-field=status&row-2-was=language&row-2-value=en"
    html = row(viewer, changed)
    assert 'value="not_connected"' in html
    assert "checked" not in html
    same = row(viewer, "channel=voice&n=2&row-2-field=status&row-2-op=isset&row-2-was=status")
    assert '<option value="false"' in same
    assert row(viewer, "channel=voice&n=2&remove=1") == ""
    assert "&lt;b&gt;" in row(viewer, "channel=voice&n=0&row-0-field=metadata.%3Cb%3E")


def test_the_form_of_a_chip_keeps_the_other_filters(viewer: Client) -> None:
    query = "channel=voice&edit=status&status=ended&language=de&sort=duration_ms&cursor=x"
    url = f"{reverse('conversations:filter_edit')}?{query}"
    page = viewer.get(url).content.decode()
    fragment = viewer.get(url, headers={"HX-Request": "true"}).content.decode()
    assert "<html" in page
    assert "<html" not in fragment
    for html in (page, fragment):
        assert '<input type="hidden" name="language" value="de">' in html
        assert 'name="cursor"' not in html
        assert 'value="ended" checked' in html


def test_who_and_how(client: Client, viewer: Client) -> None:
    for name in ("filter_row", "filter_edit"):
        url = reverse(f"conversations:{name}")
        assert viewer.get(url).status_code == 404
        assert viewer.get(f"{url}?channel=fax").status_code == 404
        assert viewer.post(f"{url}?channel=voice").status_code == 405
        assert Client().get(f"{url}?channel=voice").status_code == 302


def test_a_group_is_added_and_dropped_as_a_whole(viewer: Client) -> None:
    taken = "row-0-field=status&row-0-any=any1"
    html = row(viewer, f"channel=voice&add=any&{taken}")
    assert 'name="row-1-any"' in html
    assert 'value="any2"' in html
    assert "Any of these" in html
    inside = row(viewer, f"channel=voice&add=any1&{taken}")
    assert 'value="any1"' in inside
    assert "Any of these" not in inside
    assert params_of(f"{taken}&row-0-value=ended&row-1-field=language&drop=any1") == {
        "language": [""]
    }


def test_a_filter_gets_an_alternative_from_its_chip(viewer: Client) -> None:
    edit_url = reverse("conversations:filter_edit")
    edit = viewer.get(f"{edit_url}?channel=voice&edit=status&status=ended&any1.language=en")
    query = edit.context["chip"].alternative
    form = viewer.get(f"{edit_url}?channel=voice&{query}").context["chip"]
    assert form.row.group == "any2"
    assert form.others == [("any1.language", "en"), ("any2.status", "ended")]
    again = viewer.get(f"{edit_url}?channel=voice&alternative=any2.status&any2.status=ended")
    assert again.context["chip"].row.group == "any2"
    assert again.context["chip"].others == [("any2.status", "ended")]


def test_a_row_of_a_group_is_chosen_without_script(viewer: Client) -> None:
    page = viewer.get(
        f"{reverse('conversations:calls')}?row-0-field=status&row-0-was=&row-0-any=any1"
    )
    assert "edit=any1.status" in page["Location"]
