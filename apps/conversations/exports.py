"""Large CSV exports, written in the background, a part at a time.

Each part is one transaction with the place where the next one begins, so that an interrupted
export resumes where it stopped and holds no row twice. An erasure deletes finished files, and lets
running exports begin again.
"""

import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.http import QueryDict
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.accounts.models import User
from apps.agents.models import Channel
from apps.core.pagination import CursorError, page
from apps.core.tasks import enqueue

from .csv_lines import columns_named, lines_of, names_of, with_every_column
from .filters import FilterError, FilterSpec, parse
from .history_list import columns_of, keys_of
from .models import Conversation, Export, ExportPart

DIRECT_ROWS: Final = 5_000
"""Up to this many rows are streamed at once; more are exported in the background."""
EVERYTHING: Final = "everything"
"""The value of ``content`` that asks for all fields instead of the visible columns."""
PART: Final = 2_000
"""Rows of a part, which takes about a second."""
PARTS_PER_TASK: Final = 10
STALLED: Final = timedelta(seconds=30)
"""After this long without a part, a worker was interrupted."""
KEPT: Final = timedelta(days=3)
MAX_ATTEMPTS: Final = 5
TASK = "conversations.write_export"
_NOT_FILTERS = ("channel", "cursor", "content", "all_matching", "csrfmiddlewaretoken")
State = Export.State


def filters_of(params: QueryDict) -> QueryDict:
    """Return the filters, columns, and sort among the parameters of an export's URL."""
    kept = params.copy()
    for name in _NOT_FILTERS:
        kept.pop(name, None)
    return kept


@transaction.atomic
def start(*, channel: str, params: QueryDict, everything: bool, owner: User, by: Actor) -> Export:
    """Start an export, or return the same one that its owner has running. Raises FilterError."""
    kept = filters_of(params)
    spec = parse(channel, kept)
    User.objects.select_for_update().get(pk=owner.pk)  # two clicks are one export
    asked = {"channel": channel, "query": kept.urlencode(), "everything": everything}
    running = Export.objects.filter(owner=owner, state=State.RUNNING, **asked).first()
    if running is not None:
        return running
    export = Export.objects.create(
        **asked,
        owner=owner,
        as_of=timezone.now(),
        columns=names_of(spec, None if everything else columns_of(spec)),
        rows_total=spec.queryset().count(),
    )
    detail = {"channel": channel, "rows": export.rows_total}
    audit.record(by=by, verb="export.started", target=export.public_id, detail=detail)
    enqueue(TASK, pk=export.pk)
    return export


@transaction.atomic
def cancel(*, export: Export, by: Actor) -> bool:
    """Stop an export and delete its rows. Return False where it had ended."""
    locked = Export.objects.select_for_update().filter(pk=export.pk, state=State.RUNNING)
    if not locked.update(state=State.CANCELED, touched_at=Now()):
        return False
    ExportPart.objects.filter(export=export).delete()
    audit.record(by=by, verb="export.canceled", target=export.public_id)
    return True


def write(pk: int) -> None:
    """Write some parts of an export, and ask for the next ones."""
    for _ in range(PARTS_PER_TASK):
        try:
            written = _write_part(pk)
        except (FilterError, CursorError) as error:
            _fail(pk, str(error))
            return
        if not written:
            return
    enqueue(TASK, pk=pk)


@transaction.atomic
def _write_part(pk: int) -> bool:
    """Write the next part. Return False where there is none, or another worker writes it."""
    found = Export.objects.select_for_update(skip_locked=True).filter(pk=pk, state=State.RUNNING)
    export = found.first()
    if export is None:
        return False
    spec = parse(export.channel, QueryDict(export.query))
    keys = page(
        keys_of(spec).filter(created_at__lte=export.as_of),
        order=spec.sort.order,
        cursor=export.cursor or None,
        limit=PART,
    )
    lines = _lines(export, spec, [row.pk for row in keys.items])
    ExportPart.objects.create(
        export=export, number=export.parts_done, data=zlib.compress("".join(lines).encode())
    )
    export.parts_done += 1
    export.rows_done += len(keys.items)
    export.cursor = keys.next_cursor or ""
    export.attempts = 0
    export.touched_at = timezone.now()
    if not keys.next_cursor:
        export.state = State.DONE
    export.save()
    return export.state == State.RUNNING


def _lines(export: Export, spec: FilterSpec, wanted: list[int]) -> Iterator[str]:
    """Yield the lines of a part; the head is in the first one."""
    rows = with_every_column(Conversation.objects.filter(pk__in=wanted), spec.channel).in_bulk()
    lines = lines_of(
        columns_named(export.channel, export.columns), (rows[pk] for pk in wanted if pk in rows)
    )
    return islice(lines, 1 if export.parts_done else 0, None)


def _fail(pk: int, message: str) -> None:
    with transaction.atomic():
        failed = Export.objects.filter(pk=pk, state=State.RUNNING)
        if failed.update(state=State.FAILED, message=message, touched_at=Now()):
            ExportPart.objects.filter(export=pk).delete()


def forget_files() -> None:
    """Delete the files of all exports, which may hold erased data.

    Called in the transaction of an erasure. A part that is being written is waited for; running
    exports begin again.
    """
    held = Export.objects.select_for_update().filter(state__in=(State.RUNNING, State.DONE))
    pks = [pk for pk, _ in held.order_by("pk").values_list("pk", "state")]
    if not pks:
        return
    ExportPart.objects.filter(export__in=pks).delete()
    done = Export.objects.filter(pk__in=pks, state=State.DONE)
    done.update(state=State.ERASED, query="", touched_at=Now())
    Export.objects.filter(pk__in=pks, state=State.RUNNING).update(
        cursor="", parts_done=0, rows_done=0
    )


def sweep() -> None:
    """Resume interrupted exports, fail those that stop each time, and delete old ones.

    Attempts are counted here, not in the task, which may come several times for one attempt.
    """
    now = timezone.now()
    stalled = Export.objects.filter(state=State.RUNNING, touched_at__lt=now - STALLED)
    for pk, attempts in stalled.values_list("pk", "attempts"):
        if attempts >= MAX_ATTEMPTS:
            _fail(pk, "The export stopped several times. Start it again.")
        elif stalled.filter(pk=pk).update(attempts=F("attempts") + 1, touched_at=now):
            enqueue(TASK, pk=pk)
    Export.objects.filter(created_at__lt=now - KEPT).delete()


def chunks_of(export: Export) -> Iterator[bytes]:
    """Yield the file of a finished export, part by part."""
    parts = ExportPart.objects.filter(export=export).order_by("number")
    for data in parts.values_list("data", flat=True).iterator(chunk_size=1):
        yield zlib.decompress(data)


def file_name(channel: str, at: datetime, *, everything: bool) -> str:
    """Return the name under which an export is downloaded."""
    held = "all-fields" if everything else "visible-columns"
    return f"{Channel(channel).noun()}-{held}-{timezone.localtime(at):%Y-%m-%d-%H%M}.csv"
