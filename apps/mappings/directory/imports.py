"""Import contacts from a CSV file: upload, match columns, check without writing, then import.

A check and an import read the file in the same way, a thousand rows at a time; only the import
writes. Each group of rows is one transaction with its progress, so that an interrupted run resumes
where it stopped and imports no row twice.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice

from django.db import transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry, Role
from apps.contacts.identifiers import holders_of
from apps.contacts.models import Contact, ContactField, Origin
from apps.core.errors import Conflict, Example, UserError
from apps.core.spreadsheets import csv_lines
from apps.core.tasks import enqueue
from apps.mappings.edits import import_values
from apps.mappings.models import ContactImport

from .csv_files import cells, read_file
from .import_rows import UPDATED_AT, ImportRow, RowReader, find_contacts, guess, targets

GROUP = 1_000
"""Rows per transaction."""
SHOWN_PROBLEMS = 20
STALLED = timedelta(seconds=30)
"""After this long without a group, a run was interrupted: a group takes about a second."""
KEPT = timedelta(days=1)
TASK = "mappings.run_import"
State = ContactImport.State
WORKING = (State.CHECKING, State.IMPORTING)


class InvalidColumns(UserError):
    """Raised for columns that can't be imported; ``fields`` says which."""

    code = "invalid_columns"
    example = Example("Select a column for the phone number or the email.")


class ImportIsRunning(Conflict):
    """Raised for a step that the import isn't at."""

    code = "import_is_running"
    example = Example("This import has already started.")


def upload(*, filename: str, data: bytes, by: Actor) -> ContactImport:
    """Store an uploaded file with guessed columns. Raise UnreadableFile."""
    file = read_file(data)
    return ContactImport.objects.create(
        filename=filename[:200] or "contacts.csv",
        text=file.text,
        delimiter=file.delimiter,
        header=list(file.header),
        columns=guess(file.header, list(ContactField.objects.all())),
        rows=file.rows,
        created_by=by.label,
    )


def first_rows(file: ContactImport, number: int = 5) -> list[list[str]]:
    """The first rows, each as long as the header."""
    rows = islice(_rows(file), number)
    width = len(file.header)
    return [[*row[:width], *[""] * (width - len(row))] for _, row in rows]


@transaction.atomic
def check(*, file: ContactImport, columns: Sequence[str]) -> None:
    """Start to check all rows, with a contact field per column. Raise InvalidColumns."""
    locked = _at(file, State.COLUMNS, State.CHECKED)
    locked.columns = _checked_columns(locked, columns)
    _begin(locked, State.CHECKING)


@transaction.atomic
def back_to_columns(*, file: ContactImport) -> None:
    """Go back from the checked rows to the columns."""
    locked = _at(file, State.CHECKED, State.COLUMNS)
    locked.state = State.COLUMNS
    locked.save(update_fields=["state"])


@transaction.atomic
def start(*, file: ContactImport, by: Actor) -> None:
    """Start to import the checked rows."""
    locked = _at(file, State.CHECKED)
    audit.record(
        by=by,
        verb="contacts.imported",
        target=locked.public_id,
        detail={"file": locked.filename, "rows": locked.rows},
    )
    _begin(locked, State.IMPORTING)


def _at(file: ContactImport, *states: str) -> ContactImport:
    locked = ContactImport.objects.select_for_update().get(pk=file.pk)
    if locked.state not in states:
        raise ImportIsRunning
    return locked


def _begin(file: ContactImport, state: str) -> None:
    file.state, file.position, file.counts = state, 0, {}
    file.problems, file.rejected, file.touched_at = [], "", timezone.now()
    file.save()
    enqueue(TASK, import_id=file.pk)


def _checked_columns(file: ContactImport, columns: Sequence[str]) -> list[str]:
    known = dict(targets(ContactField.objects.all()))
    if len(columns) != len(file.header) or set(columns) - {"", *known}:
        raise InvalidColumns("The columns don't fit the file. Reload the page.")
    for name, times in Counter(filter(None, columns)).items():
        if times > 1:
            raise InvalidColumns(f"{known[name]} is selected for {times} columns. Select it once.")
    if not {"phone_number", "email"} & set(columns):
        raise InvalidColumns("Select a column for the phone number or the email.")
    return list(columns)


def run(import_id: int) -> None:
    """Check or import all rows that are left. One run at a time works on a file."""
    file = ContactImport.objects.filter(pk=import_id, state__in=WORKING).first()
    if file is None:
        return
    reader = RowReader(file.columns, ContactField.objects.all())
    rows = (reader.read(line, row) for line, row in _rows(file))
    for _ in islice(rows, file.position):  # done before: read again for whom they name
        pass
    position, state = file.position, file.state
    while group := list(islice(rows, GROUP)):
        if not _take(file.pk, state, position, group):
            return
        position += len(group)
    _finish(file.pk, state, position)


@transaction.atomic
def _take(pk: int, state: str, position: int, group: Sequence[ImportRow]) -> bool:
    """Check or import a group of rows. Return False where another run has done so."""
    locked = ContactImport.objects.select_for_update(skip_locked=True).filter(
        pk=pk, state=state, position=position
    )
    file = locked.defer("text").first()
    if file is None:
        return False
    find_contacts(group)
    counts = Counter(file.counts) + Counter(row.outcome for row in group)
    rejected = [row for row in group if row.problem]
    if state == State.IMPORTING:
        _import(group, file.created_by)
    known = [*file.problems, *({"line": r.line, "message": r.problem} for r in rejected)]
    ContactImport.objects.filter(pk=pk).update(
        position=position + len(group),
        counts=dict(counts),
        problems=known[:SHOWN_PROBLEMS],
        rejected=file.rejected + "".join(_rejected_lines(rejected)),
        touched_at=timezone.now(),
    )
    return True


def _import(group: Sequence[ImportRow], by: str) -> None:
    """Write a group of rows in a few statements."""
    valid = [row for row in group if not row.problem]
    new = [row for row in valid if row.contact is None]
    Contact.objects.bulk_create(
        (
            Contact(phone_number=row.phone_number or None, email=row.email or None,
                    origin=Origin.IMPORT)
            for row in new
        ),
        ignore_conflicts=True,
    )  # fmt: skip
    held = holders_of(phones=[r.phone_number for r in new], emails=[r.email for r in new])
    made = Contact.objects.in_bulk({*held.by_phone.values(), *held.by_email.values()})
    for row in new:
        key = held.by_phone.get(row.phone_number) or held.by_email.get(row.email)
        row.contact = made.get(key) if key else None
    numbered = [
        row.contact
        for row in valid
        if row.contact and row.phone_number and not row.contact.phone_number
    ]
    for row in valid:
        if row.contact in numbered:
            row.contact.phone_number = row.phone_number
    Contact.objects.bulk_update(numbered, ["phone_number"])
    with_values = [row for row in valid if row.contact and row.values]
    import_values(
        rows={row.contact.pk: row.values for row in with_values if row.contact},
        at={row.contact.pk: row.at for row in with_values if row.contact and row.at},
        by=Actor(by, Role.EDITOR, via=AuditEntry.Via.SYSTEM),
    )


@transaction.atomic
def _finish(pk: int, state: str, position: int) -> None:
    """Note that all rows are done. The file of an import that ended isn't needed any longer."""
    ended: dict[str, object] = {"state": State.CHECKED}
    if state == State.IMPORTING:
        ended = {"state": State.DONE, "text": "", "finished_at": timezone.now()}
    ContactImport.objects.filter(pk=pk, state=state, position=position).update(**ended)


def sweep() -> None:
    """Resume interrupted runs, and delete imports of more than a day ago."""
    now = timezone.now()
    for pk in ContactImport.objects.filter(
        state__in=WORKING, touched_at__lt=now - STALLED
    ).values_list("pk", flat=True):
        enqueue(TASK, import_id=pk)
    ContactImport.objects.filter(touched_at__lt=now - KEPT).delete()


def rejected_csv(file: ContactImport) -> Iterator[str]:
    """Yield the rejected rows as a file to be fixed and imported again."""
    yield from csv_lines(["problem", *file.header], [])
    yield file.rejected


def _rejected_lines(rows: Sequence[ImportRow]) -> Iterator[str]:
    lines = csv_lines([], ([row.problem, *row.cells] for row in rows))
    next(lines)  # the head
    yield from lines


def _rows(file: ContactImport) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows below the header, with their line numbers."""
    yield from islice(cells(file.text, file.delimiter), 1, None)


def moment_is_mapped(file: ContactImport) -> bool:
    """Whether a column says when the values were true."""
    return UPDATED_AT in file.columns
