"""Store mappings, and the contributions of conversations and people to contact fields."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from apps.agents.models import Agent
from apps.contacts.models import Contact
from apps.conversations.models import Conversation
from apps.core.ids import public_id


def mapping_id() -> str:
    """Return a new public ID of a mapping."""
    return public_id("map")


class Mode(models.TextChoices):
    """How a value combines with earlier ones, in order of time."""

    OVERWRITE = "overwrite", "Overwrite"
    FILL_IF_EMPTY = "fill_if_empty", "Fill only if empty"
    ACCUMULATE = "accumulate", "Accumulate and summarize"


class Mapping(models.Model):
    """Copies an analysis field to a contact field.

    ``agent`` is empty for all agents; an agent's own mapping of a contact field takes the place of
    the general one. ``contact_field`` is the name of a custom field or a built-in one.
    """

    public_id = models.CharField(max_length=40, unique=True, default=mapping_id, editable=False)
    agent = models.ForeignKey(
        Agent, on_delete=models.CASCADE, null=True, blank=True, related_name="mappings"
    )
    analysis_field = models.CharField(max_length=200)
    contact_field = models.CharField(max_length=60)
    mode = models.CharField(max_length=15, choices=Mode.choices, default=Mode.OVERWRITE)
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = [F("agent").asc(nulls_first=True), "contact_field"]
        constraints = [
            models.UniqueConstraint(
                fields=["agent", "contact_field"],
                nulls_distinct=False,
                name="mapping_once_per_agent_and_field",
            ),
            models.CheckConstraint(condition=Q(mode__in=Mode.values), name="mapping_mode_known"),
        ]

    def __str__(self) -> str:
        return f"{self.analysis_field} → {self.contact_field}"


class ContributionKind(models.TextChoices):
    CONVERSATION = "conversation", "Conversation"
    MANUAL = "manual", "Edited by hand"
    IMPORT = "import", "Imported"


class ContributionQuerySet(models.QuerySet["Contribution"]):
    def of_contact(self, contact: Contact) -> "ContributionQuerySet":
        """Return the contributions of conversations and people to a contact."""
        of_conversations = contact.conversations.order_by().values("pk")
        return self.filter(Q(contact=contact) | Q(conversation__in=of_conversations))


class Contribution(models.Model):
    """A value for one contact field, by a conversation, an edit, or an import.

    A conversation's contribution comes from its current result and belongs to the conversation's
    contact. Edits and imports name their contact. ``at`` is the time of the conversation, edit, or
    import. A value of None empties the field. A value with a ``problem`` doesn't fit and is
    skipped.
    """

    kind = models.CharField(max_length=12, choices=ContributionKind.choices)
    conversation = models.ForeignKey(
        Conversation,
        on_delete=models.CASCADE,
        null=True,
        related_name="contributions",
        db_index=False,
    )
    contact = models.ForeignKey(
        Contact, on_delete=models.CASCADE, null=True, related_name="contributions"
    )
    analysis_public_id = models.CharField(max_length=40, blank=True)
    field = models.CharField(max_length=60)
    mode = models.CharField(max_length=15, choices=Mode.choices, default=Mode.OVERWRITE)
    value = models.JSONField(null=True)
    problem = models.TextField(blank=True)
    at = models.DateTimeField()
    by = models.CharField(max_length=200)

    objects = ContributionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["conversation", "field"],
                condition=Q(conversation__isnull=False),
                name="contribution_once_per_conversation_and_field",
            ),
            models.CheckConstraint(
                condition=Q(
                    kind=ContributionKind.CONVERSATION,
                    conversation__isnull=False,
                    contact__isnull=True,
                )
                | Q(
                    kind__in=[ContributionKind.MANUAL, ContributionKind.IMPORT],
                    conversation__isnull=True,
                    contact__isnull=False,
                ),
                name="contribution_of_conversation_or_person",
            ),
            models.CheckConstraint(
                condition=Q(mode__in=Mode.values), name="contribution_mode_known"
            ),
        ]
        indexes = [
            # Finds values that another contact's email kept out, once that is free again.
            models.Index(fields=["field"], condition=~Q(problem=""), name="contribution_problem")
        ]

    def __str__(self) -> str:
        return f"{self.field} of {self.conversation_id or self.contact_id}"


class PendingFold(models.Model):
    """A mark of a contact whose values must be computed again.

    Marks are only added and deleted. A fold deletes the marks that it saw before it read the
    contributions, so a mark that is set during a fold stays.
    """

    contact = models.ForeignKey(
        Contact, on_delete=models.CASCADE, related_name="+", db_constraint=False
    )
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"fold of {self.contact_id}"


class Summary(models.Model):
    """A model's summary of the texts that accumulated in a contact's field.

    Leased work until it is done (docs/architecture.md). ``digest`` identifies the texts. With
    other texts, the row starts again, without its ``text``.
    """

    class State(models.TextChoices):
        PENDING = "pending", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="+")
    field = models.CharField(max_length=60)
    digest = models.CharField(max_length=64)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    text = models.TextField(blank=True)
    model = models.CharField(max_length=200, blank=True)
    error_code = models.CharField(max_length=30, blank=True)
    error_message = models.TextField(blank=True)
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0, db_default=0)
    tries = models.PositiveIntegerField(
        default=0, db_default=0, help_text="How often the model couldn’t be asked."
    )
    not_before = models.DateTimeField(db_default=Now())
    reserved = models.DecimalField(
        max_digits=18,
        decimal_places=9,
        null=True,
        blank=True,
        help_text="What its request may cost at most, in US dollars.",
    )
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["contact", "field"], name="summary_once_per_field"),
            models.CheckConstraint(
                condition=Q(reserved=None) | Q(state__in=["pending", "running"]),
                name="summary_reserved_is_open",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["pending", "running", "done", "failed"]),
                name="summary_state_known",
            ),
        ]
        indexes = [
            models.Index(
                fields=["not_before"],
                condition=Q(state__in=["pending", "running"]),
                name="summary_work",
            )
        ]

    def __str__(self) -> str:
        return f"summary of {self.field} of {self.contact_id}"


def import_id() -> str:
    """Return a new public ID of an import."""
    return public_id("imp")


class ContactImport(models.Model):
    """An uploaded CSV file of contacts, from its columns to its last row.

    The work is this row: a run that is interrupted resumes at ``position``. The file goes when the
    import has ended, the row and the rejected lines a day later.
    """

    class State(models.TextChoices):
        COLUMNS = "columns", "Columns to be matched"
        CHECKING = "checking", "Checking"
        CHECKED = "checked", "Checked"
        IMPORTING = "importing", "Importing"
        DONE = "done", "Imported"

    public_id = models.CharField(max_length=40, unique=True, default=import_id, editable=False)
    filename = models.CharField(max_length=200)
    text = models.TextField(blank=True)
    delimiter = models.CharField(max_length=1)
    header = models.JSONField(default=list)
    columns = models.JSONField(default=list, help_text="The contact field of each column.")
    rows = models.PositiveIntegerField(help_text="Rows below the header.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.COLUMNS)
    position = models.PositiveIntegerField(default=0, help_text="Rows that are done.")
    counts = models.JSONField(default=dict, help_text="Rows by their outcome.")
    rejected = models.TextField(blank=True, help_text="Rejected rows with their problem, as CSV.")
    problems = models.JSONField(default=list, help_text="The first problems: line and message.")
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())
    touched_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.filename
