"""What people keep of a history page: saved views and exports."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now

from apps.accounts.models import User
from apps.agents.models import Channel
from apps.core.ids import public_id


def view_id() -> str:
    """Return a fresh public id of a saved view."""
    return public_id("view")


class SavedView(models.Model):
    """A history page as its owner wants to see it again: its filters, columns, and sort.

    ``query`` is that of the page's URL. It is read when the view is opened, so that a filter whose
    field is gone gets its message there and stays.
    """

    public_id = models.CharField(max_length=40, unique=True, default=view_id, editable=False)
    name = models.CharField(max_length=60)
    channel = models.CharField(max_length=5, choices=Channel.choices)
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="saved_views")
    shared = models.BooleanField(default=False)
    query = models.TextField(blank=True)
    revision = models.PositiveIntegerField(default=1, help_text="Counts the changes.")
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("name"), "owner", "channel", name="saved_view_name_once_per_owner"
            ),
            models.CheckConstraint(condition=~Q(name=""), name="saved_view_name_given"),
        ]

    def __str__(self) -> str:
        return self.name


def export_id() -> str:
    """Return a fresh public id of an export."""
    return public_id("exp")


class Export(models.Model):
    """A large CSV export, written in the background, from its first row to its deletion.

    The work is this row: an interrupted one resumes at ``cursor``, after its last part.
    """

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        CANCELED = "canceled", "Canceled"
        ERASED = "erased", "Deleted by an erasure"

    public_id = models.CharField(max_length=40, unique=True, default=export_id, editable=False)
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    channel = models.CharField(max_length=5, choices=Channel.choices)
    query = models.TextField(blank=True, help_text="Filters, columns, and sort of the page.")
    everything = models.BooleanField(help_text="All fields instead of the visible columns.")
    as_of = models.DateTimeField(help_text="Conversations that arrived later are left out.")
    columns = models.JSONField(default=list, help_text="Names of the columns, in order.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    message = models.TextField(blank=True, help_text="Why it failed.")
    cursor = models.TextField(blank=True, help_text="Where the next part begins.")
    parts_done = models.PositiveIntegerField(default=0)
    rows_done = models.PositiveIntegerField(default=0)
    rows_total = models.PositiveIntegerField(help_text="Matching rows when it was started.")
    attempts = models.PositiveIntegerField(default=0, help_text="Starts since the last part.")
    created_at = models.DateTimeField(db_default=Now())
    touched_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.public_id


class ExportPart(models.Model):
    """Some lines of an export, compressed with zlib."""

    export = models.ForeignKey(Export, on_delete=models.CASCADE, related_name="parts")
    number = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["export", "number"], name="export_part_once")
        ]

    def __str__(self) -> str:
        return f"part {self.number} of {self.export_id}"
