"""Import contacts from CSV files."""

import csv
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.contacts.models import Contact
from apps.core.spreadsheets import safe
from apps.mappings import edits
from apps.mappings.directory import csv_files, imports
from apps.mappings.directory.import_rows import RowReader, guess
from apps.mappings.models import ContactImport, Contribution
from apps.mappings.tasks import fold_contacts, run_import
from tests.factories import client_as, make_contact, make_contact_field

pytestmark = pytest.mark.django_db

BY = Actor.system("tests")
FILE = """\
Phone;E-mail;First name;Plan;Seats;Other
+1 (415) 555-0101;ada@example.com;Ada;pro;12;x
+14155550102;;Grace;gold;3;x
;not-an-email;Edsger;free;1;x
;;Nobody;free;1;x
+14155550101;;Twice;free;1;x
+14155550104;known@example.com;;free;many;x
;known@example.com;;pro;;x
"""


@pytest.fixture
def known() -> Contact:
    make_contact_field("plan", "choice", choices=["free", "pro"])
    make_contact_field("seats", "number")
    return make_contact(phone_number="+14155550199", email="known@example.com")


@pytest.fixture
def editor() -> Client:
    return client_as("editor")


def stored(text: str = FILE) -> ContactImport:
    return imports.upload(filename="people.csv", data=text.encode(), by=BY)


def checked(file: ContactImport) -> ContactImport:
    imports.check(file=file, columns=file.columns)
    run_import(file.pk)
    file.refresh_from_db()
    return file


def imported(file: ContactImport) -> ContactImport:
    imports.start(file=checked(file), by=BY)
    run_import(file.pk)
    fold_contacts()
    file.refresh_from_db()
    return file


@pytest.mark.parametrize(
    ("data", "delimiter", "header"),
    [
        ("\ufeffPhone,Name\n1,Zoë\n".encode(), ",", ("Phone", "Name")),
        ("Téléphone;Nom\n1;Zoë\n".encode("latin-1"), ";", ("Téléphone", "Nom")),
        (b"phone\tname\n1\tAda\n", "\t", ("phone", "name")),
        (b'"a,b";c\n1;2\n', ";", ("a,b", "c")),
        (b"email\nada@example.com\n", ",", ("email",)),
        (b"phone|name\n1|Ada\n", "|", ("phone", "name")),
        (b"sep=;\r\nphone;name\r\n1;Ada\r\n", ";", ("phone", "name")),
        ('\ufeff"sep=,"\nphone,name\n1,Ada\n'.encode(), ",", ("phone", "name")),
        (b"phone,name\r1,Ada\r\r", ",", ("phone", "name")),
    ],
)
def test_files_are_read_as_people_have_them(
    data: bytes, delimiter: str, header: tuple[str, ...]
) -> None:
    file = csv_files.read_file(data)
    assert (file.delimiter, file.header, file.rows) == (delimiter, header, 1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"PK\x00\x01", "isn’t a CSV file"),
        (b"phone\n\n", "header and no rows"),
        (b"phone\n" + b"1\n" * 200_001, "200,001 rows"),
    ],
)
def test_other_files_are_refused_in_one_sentence(data: bytes, message: str) -> None:
    with pytest.raises(csv_files.UnreadableFile) as caught:
        csv_files.read_file(data)
    assert message in caught.value.message


def test_columns_are_guessed_each_field_once(known: Contact) -> None:
    custom = [make_contact_field("vip", "boolean", label="Very important")]
    header = ["Mobile", "Phone", "E-Mail", "Surname", "very_important", "Colour"]
    assert guess(header, custom) == ["phone_number", "", "email", "last_name", "vip", ""]


def test_check_counts_and_writes_nothing(known: Contact) -> None:
    file = checked(stored())
    assert file.state == "checked"
    assert file.counts == {"new": 1, "updated": 1, "rejected": 5}
    assert [(p["line"], p["message"].split(":")[0]) for p in file.problems] == [
        (3, "Plan"),
        (4, "Email"),
        (5, "A contact needs a phone number or an email."),
        (6, "Line 2 already has +14155550101."),
        (7, "Seats"),
    ]
    assert Contact.objects.get() == known
    assert not Contribution.objects.exists()


def test_import_writes_what_was_checked(known: Contact) -> None:
    file = imported(stored())
    assert (file.state, file.text, file.position) == ("done", "", 7)
    ada = Contact.objects.get(phone_number="+14155550101")
    assert (ada.email, ada.first_name, ada.origin) == ("ada@example.com", "Ada", "import")
    assert ada.fields == {"plan": "pro", "seats": 12}
    known.refresh_from_db()
    assert known.fields == {"plan": "pro"}
    assert {row.kind for row in Contribution.objects.all()} == {"import"}
    again = checked(stored())
    assert again.counts == {"unchanged": 2, "rejected": 5}


def test_interrupted_import_resumes_and_imports_no_row_twice(
    known: Contact, monkeypatch: Any
) -> None:
    monkeypatch.setattr(imports, "GROUP", 2)
    text = "phone,seats\n" + "".join(f"+1415555{n:04},{n}\n" for n in range(1, 8))
    file = checked(stored(text))
    imports.start(file=file, by=BY)
    real, calls = edits.import_values, []

    def dying(**values: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(**values)

    monkeypatch.setattr(imports, "import_values", dying)
    with pytest.raises(KeyboardInterrupt):
        run_import(file.pk)
    file.refresh_from_db()
    assert (file.state, file.position) == ("importing", 4)
    run_import(file.pk)
    run_import(file.pk)
    file.refresh_from_db()
    assert (file.state, file.counts) == ("done", {"new": 7})
    assert Contribution.objects.filter(field="seats").count() == 7


def test_time_column_dates_the_values(known: Contact) -> None:
    text = "phone,plan,updated_at\n+14155550199,pro,2020-01-31\n"
    Contribution.objects.create(
        kind="manual", contact=known, field="plan", value="free", by="Ada", at=timezone.now()
    )
    file = imported(stored(text))
    known.refresh_from_db()
    assert known.fields == {"plan": "free"}
    row = Contribution.objects.get(kind="import")
    assert row.at.year == 2020
    assert row.by == file.created_by


def test_group_costs_the_same_whatever_its_size(known: Contact) -> None:
    costs = set()
    for size in (3, 30):
        numbers = range(size * 100, size * 100 + size)
        text = "phone,first name,seats\n" + "".join(f"+1415666{n:04},A,1\n" for n in numbers)
        file = checked(stored(text))
        imports.start(file=file, by=BY)
        with CaptureQueriesContext(connection) as captured:
            run_import(file.pk)
        costs.add(len(captured))
    assert len(costs) == 1


def test_pages_lead_from_the_file_to_the_figures(known: Contact, editor: Client) -> None:
    sent = SimpleUploadedFile("people.csv", FILE.encode(), content_type="text/csv")
    there = editor.post("/contacts/import/", {"file": sent}).headers["Location"]
    page = editor.get(there).text
    assert "ada@example.com" in page
    file = ContactImport.objects.get()
    wrong = editor.post(there, {"step": "check", "column": ["", "", "", "", "", ""]})
    assert "Select a column for the phone number or the email." in wrong.text
    editor.post(there, {"step": "check", "column": file.columns})
    assert "Nothing is imported yet" in editor.get(there).text
    assert editor.get(there, headers={"HX-Request": "true"}).status_code == 200
    run_import(file.pk)
    polled = editor.get(there, headers={"HX-Request": "true"})
    assert polled.status_code == 286
    assert "Import 2 contacts" in " ".join(polled.text.split())
    rejected = b"".join(editor.get(f"{there}rejected/").streaming_content)  # type: ignore[attr-defined]
    rows = list(csv.reader(StringIO(rejected.decode().removeprefix("\ufeff"))))
    assert rows[0] == ["problem", *file.header]
    assert len(rows) == 6
    editor.post(there, {"step": "import"})
    run_import(file.pk)
    assert "Imported 2 contacts" in " ".join(editor.get(there).text.split())
    assert "already started" in editor.post(there, {"step": "import"}).text


def test_first_values_leave_out_empty_cells(editor: Client) -> None:
    file = stored("phone,name\n+14155550101,Ada\n+14155550102,\n+14155550103,Bo\n")
    page = editor.get(f"/contacts/import/{file.public_id}/").text
    assert "Ada · Bo" in page


def test_bad_file_stands_at_its_input(editor: Client) -> None:
    sent = SimpleUploadedFile("people.xlsx", b"PK\x00\x01")
    page = editor.post("/contacts/import/", {"file": sent})
    assert page.text.count("isn’t a CSV file") == 1
    assert "Select a CSV file." in editor.post("/contacts/import/", {}).text


def test_sweep_deletes_old_imports(known: Contact) -> None:
    file = checked(stored())
    imports.sweep()
    assert ContactImport.objects.exists()
    ContactImport.objects.filter(pk=file.pk).update(touched_at=timezone.now() - timedelta(days=2))
    imports.sweep()
    assert not ContactImport.objects.exists()


def test_a_row_may_end_in_empty_cells() -> None:
    reader = RowReader(["phone_number", "first_name"], [])
    row = reader.read(2, ["+14155550101", "Ada", "", " "])
    assert (row.problem, row.values) == ("", {"first_name": "Ada"})
    assert "3 cells" in reader.read(3, ["+14155550102", "Ada", "x"]).problem


@pytest.mark.parametrize("text", ["=1", "＝1", "+14155550101", "0012", "it's", "'x'", ""])
def test_a_cell_loses_the_apostrophe_of_an_export(text: str) -> None:
    assert csv_files.plain(safe(text)) == text


def test_a_long_cell_is_no_phone_number() -> None:
    row = RowReader(["phone_number"], []).read(2, ["not a number " * 7_000])
    assert "is not a phone number" in row.problem
