"""Values on their way to a CRM: what fits, what is written, and that it reads back the same."""

import unicodedata
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.crm.connectors.base import FieldType, RemoteField
from apps.crm.connectors.hubspot import _field as hubspot_field
from apps.crm.connectors.phones import is_same_number, spellings
from apps.crm.connectors.salesforce import _field as salesforce_field
from apps.crm.connectors.shortening import shortened, utf16_length
from apps.crm.connectors.values import HubSpotDialect, Misfit, SalesforceDialect, mismatch
from tests.fakes import hubspot as hubspot_fake
from tests.fakes import salesforce as salesforce_fake

T = FieldType
HUBSPOT, SALESFORCE = HubSpotDialect(), SalesforceDialect()

TYPES = {
    T.TEXT: ("string", "string"),
    T.NUMBER: ("number", "double"),
    T.BOOLEAN: ("bool", "boolean"),
    T.DATE: ("date", "date"),
    T.DATETIME: ("datetime", "datetime"),
}
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=200)
VALUES: dict[FieldType, st.SearchStrategy[Any]] = {
    T.TEXT: TEXTS,
    T.NUMBER: st.integers(-(10**15), 10**15)
    | st.decimals(-(10**6), 10**6, places=4, allow_nan=False).map(float),
    T.BOOLEAN: st.booleans(),
    T.DATE: st.dates().map(date.isoformat),
    T.DATETIME: st.datetimes(timezones=st.just(UTC)).map(
        lambda at: at.replace(microsecond=0).isoformat().replace("+00:00", "Z")
    ),
}


def read(kind: FieldType, stored: Any) -> Any:
    """Return a stored value as a value of a contact field."""
    if kind is T.NUMBER:
        return Decimal(str(stored))
    if kind is T.BOOLEAN:
        return stored in (True, "true")
    if kind is T.DATETIME:
        return datetime.fromisoformat(stored)
    return stored


def expected(kind: FieldType, value: Any) -> Any:
    if kind is T.NUMBER:
        return Decimal(str(value))
    return datetime.fromisoformat(value) if kind is T.DATETIME else value


@pytest.mark.parametrize("kind", list(TYPES))
@given(data=st.data())
def test_hubspot_value_reads_back_the_same(kind: FieldType, data: st.DataObject) -> None:
    value = data.draw(VALUES[kind])
    definition = hubspot_fake.property_("x", TYPES[kind][0])
    written = HUBSPOT.written(value, kind, hubspot_field(definition))
    assert isinstance(written, str)
    assert hubspot_fake._check_value(definition, written) is None
    assert read(kind, written) == expected(kind, value)


@pytest.mark.parametrize("kind", list(TYPES))
@given(data=st.data())
def test_salesforce_value_reads_back_the_same(kind: FieldType, data: st.DataObject) -> None:
    value = data.draw(VALUES[kind])
    described = salesforce_fake.field("X__c", TYPES[kind][1], length=500)
    written = SALESFORCE.written(value, kind, salesforce_field(described))
    assert salesforce_fake._check_value(described, written) is None
    assert read(kind, written) == expected(kind, value)


OPTIONS = st.lists(
    st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=10),
    min_size=1,
    max_size=5,
    unique_by=str.lower,
)


@given(options=OPTIONS, data=st.data())
def test_choices_are_written_by_their_internal_names(
    options: list[str], data: st.DataObject
) -> None:
    one = hubspot_fake.property_("x", "enumeration", *options)
    for definition, label in zip(one["options"], options, strict=True):
        definition["label"] = f"Label of {label}"
    several = one | {"fieldType": "checkbox"}
    chosen = data.draw(st.lists(st.sampled_from(options), min_size=1, unique=True))
    label = f" label OF {chosen[0]}"
    assert HUBSPOT.written(chosen[0], T.CHOICE, hubspot_field(one)) == chosen[0]
    assert HUBSPOT.written(label, T.CHOICE, hubspot_field(one)) == chosen[0]
    written = HUBSPOT.written("; ".join(chosen), T.TEXT, hubspot_field(several))
    assert written == ";".join(chosen)
    assert hubspot_fake._check_value(several, written) is None


def test_unrestricted_picklist_takes_any_value() -> None:
    described = salesforce_fake.field("X__c", "picklist", "a", restrictedPicklist=False)
    assert SALESFORCE.written("b", T.CHOICE, salesforce_field(described)) == "b"


def test_inactive_option_is_none() -> None:
    described = salesforce_fake.field("X__c", "picklist", "a", "b")
    described["picklistValues"][1]["active"] = False
    with pytest.raises(Misfit, match="Options: a"):
        SALESFORCE.written("b", T.CHOICE, salesforce_field(described))


@pytest.mark.parametrize("value", [3.5, 1e-7])
def test_whole_number_field_takes_no_fraction(value: float) -> None:
    described = salesforce_fake.field("X__c", "int")
    with pytest.raises(Misfit, match="whole numbers only"):
        SALESFORCE.written(value, T.NUMBER, salesforce_field(described))


@pytest.mark.parametrize(
    ("value", "written"), [(1e22, "1" + "0" * 22), (1e-7, "0.0000001"), (100, "100"), (5.0, "5")]
)
def test_number_has_no_exponent(value: float, written: str) -> None:
    definition = hubspot_fake.property_("x", "number")
    assert HUBSPOT.written(value, T.NUMBER, hubspot_field(definition)) == written


def test_empty_value_clears_the_field() -> None:
    assert HUBSPOT.written(None, T.NUMBER, hubspot_field(hubspot_fake.property_("x"))) == ""
    text = salesforce_field(salesforce_fake.field("X__c"))
    box = salesforce_field(salesforce_fake.field("X__c", "boolean"))
    assert SALESFORCE.written(None, T.TEXT, text) is None
    assert SALESFORCE.written(None, T.BOOLEAN, box) is False


FITS = {
    (T.TEXT, T.TEXT),
    *((T.NUMBER, to) for to in (T.NUMBER, T.TEXT)),
    *((T.BOOLEAN, to) for to in (T.BOOLEAN, T.TEXT)),
    *((T.DATE, to) for to in (T.DATE, T.TEXT)),
    *((T.DATETIME, to) for to in (T.DATETIME, T.TEXT)),
    *((T.CHOICE, to) for to in (T.CHOICE, T.TEXT)),
}


@pytest.mark.parametrize("remote", list(T))
@pytest.mark.parametrize("contact", [kind for kind in T if kind is not T.OTHER])
def test_types_fit_by_the_table(contact: FieldType, remote: FieldType) -> None:
    problem = mismatch(contact, RemoteField("x", "Plan", remote))
    assert (problem is None) is ((contact, remote) in FITS)
    assert problem is None or problem.startswith("Plan is ")


def test_choices_that_the_crm_lacks_are_named() -> None:
    remote = RemoteField("x", "Plan", T.CHOICE, choices=("free", "pro"), labels=("Free!", "Pro"))
    assert mismatch(T.CHOICE, remote, ["Free!", "PRO"]) is None
    problem = mismatch(T.CHOICE, remote, ["free", "platinum"])
    assert problem == "Plan has no option “platinum”. Options: free, pro."


def test_read_only_field_fits_nothing() -> None:
    remote = RemoteField("x", "Created", T.TEXT, writable=False)
    assert mismatch(T.TEXT, remote) == "Created can’t be changed through the API."


@given(text=st.text(max_size=60), limit=st.integers(0, 40))
def test_shortened_text_fits_and_ends_between_characters(text: str, limit: int) -> None:
    short = shortened(text, limit)
    assert utf16_length(short) <= limit
    if short != text:
        start = short.removesuffix("…")
        assert text.startswith(start)
        following = text[len(start) :].lstrip()[:1]
        left_space = text[len(start) :][:1].isspace()
        assert left_space or not following or not unicodedata.combining(following)


@pytest.mark.parametrize(
    ("text", "limit", "short"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("👍👍", 3, "👍…"),
        ("👍👍", 2, "…"),
        ("e\u0301e\u0301", 3, "e\u0301…"),
        ("🇩🇪🇫🇷", 7, "🇩🇪…"),
        ("👍🏽!", 4, "…"),
        ("a 👩‍💻 works", 7, "a…"),
        ("one two", 5, "one…"),
        ("x", 0, ""),
    ],
)
def test_text_is_shortened_by_characters(text: str, limit: int, short: str) -> None:
    assert shortened(text, limit) == short


@pytest.mark.parametrize("number", ["+15550134000", "+493012345678", "+390612345678"])
def test_every_spelling_is_the_same_number(number: str) -> None:
    for spelling in spellings(number):
        assert is_same_number(spelling, number)


@pytest.mark.parametrize(
    "other", ["+4915550134000", "555 013 4001", "", "ext", "+1", "0015550134001"]
)
def test_other_number_is_not_the_same(other: str) -> None:
    assert not is_same_number(other, "+15550134000")
