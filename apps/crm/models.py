"""Connections to CRMs, and pushes of contacts to them.

A push holds *contact field → wanted value*, not a request. It is written in the transaction that
changes the contact, and the request is made from the contact's values at the time of sending. So
nothing is lost while a CRM, a worker or the broker is down, and no old value arrives after a
newer one.
"""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Now

from apps.contacts.models import Contact
from apps.conversations.models import Conversation
from apps.core.guarded_client import KEPT_CHARACTERS
from apps.core.ids import public_id


def connection_id() -> str:
    """Return a new public ID of a connection."""
    return public_id("crm")


def push_id() -> str:
    """Return a new public ID of a push."""
    return public_id("push")


class Kind(models.TextChoices):
    """What a connection speaks."""

    HTTP = "http", "HTTP endpoint"
    HUBSPOT = "hubspot", "HubSpot"
    SALESFORCE = "salesforce", "Salesforce"


class DisabledCause(models.TextChoices):
    """Who or what switched a connection off."""

    PERSON = "person", "Disabled by a user"
    REJECTED = "rejected", "Rejected by the CRM"


class PushKind(models.TextChoices):
    """What a push writes."""

    FIELDS = "fields", "Contact fields"
    ACTIVITY = "activity", "Conversation"


class PushState(models.TextChoices):
    """The state of a push.

    *Parked*: the CRM rejected this contact. *Failed*: retried for a day. *Dropped*: not sent,
    because it was rejected by a user or had nothing new to say.
    """

    WAITING = "waiting_for_approval", "Waiting for approval"
    PENDING = "pending", "Pending"
    SENT = "sent", "Sent"
    PARKED = "parked", "Parked"
    FAILED = "failed", "Failed"
    DROPPED = "dropped", "Dropped"


OPEN_STATES = (PushState.WAITING, PushState.PENDING)


def _object() -> Value:
    return Value("{}", models.JSONField())


class CrmConnection(models.Model):
    """A CRM account, or an address, that gets changed contacts.

    ``secret_encrypted`` is a JSON object of the secrets that its kind needs, as ciphertext of
    `apps.core.cipher`. ``field_map`` is *contact field → field of the CRM*. ``remote_fields`` is
    the CRM's field list as it was read at ``fields_read_at``: the mapping is checked against it.

    ``failing_since`` is the first failure after the last success, and ``rest_until`` how long
    nothing is sent because of it. A disabled connection keeps its pending pushes.
    """

    public_id = models.CharField(max_length=40, unique=True, default=connection_id, editable=False)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    name = models.CharField(max_length=100)
    config = models.JSONField(default=dict, db_default=_object())
    secret_encrypted = models.BinaryField()
    field_map = models.JSONField(default=dict, db_default=_object())
    remote_fields = models.JSONField(null=True, blank=True)
    fields_read_at = models.DateTimeField(null=True, blank=True)
    create_missing = models.BooleanField(default=False, db_default=False)
    log_conversations = models.BooleanField(default=False, db_default=False)
    approval = models.BooleanField(default=False, db_default=False)

    consecutive_failures = models.PositiveIntegerField(default=0, db_default=0)
    failing_since = models.DateTimeField(null=True, blank=True)
    rest_until = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True, db_default="", help_text="Why nothing arrives.")
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_cause = models.CharField(
        max_length=10, blank=True, choices=DisabledCause.choices, db_default=""
    )
    disabled_reason = models.TextField(blank=True, db_default="")
    site_url = models.CharField(
        max_length=300,
        blank=True,
        db_default="",
        help_text="The address of Debrief, with which links of logged conversations begin.",
    )
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now(), help_text="When its settings changed.")

    class Meta:
        ordering = ["-pk"]
        verbose_name = "CRM connection"
        constraints = [
            models.UniqueConstraint(fields=["name"], name="connection_name_once"),
            models.CheckConstraint(condition=Q(kind__in=Kind.values), name="connection_kind_known"),
            models.CheckConstraint(condition=~Q(name=""), name="connection_named"),
            models.CheckConstraint(
                condition=~Q(secret_encrypted=b""), name="connection_secret_given"
            ),
            models.CheckConstraint(
                condition=Q(disabled_at=None, disabled_reason="", disabled_cause="")
                | Q(disabled_at__isnull=False, disabled_cause__in=DisabledCause.values)
                & ~Q(disabled_reason=""),
                name="connection_disabled_with_reason",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_enabled(self) -> bool:
        return self.disabled_at is None


class RemoteContact(models.Model):
    """The record of a contact in a CRM, and the values that were written last.

    ``last_sent`` holds a digest of each value, by the CRM's name of the field: enough to see
    whether a value is new, without keeping it a second time.
    """

    connection = models.ForeignKey(
        CrmConnection, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="+")
    remote_id = models.CharField(max_length=300, blank=True, db_default="")
    last_sent = models.JSONField(default=dict, db_default=_object())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["connection", "contact"], name="remote_contact_once")
        ]

    def __str__(self) -> str:
        return self.remote_id or f"contact {self.contact_id}"


class Push(models.Model):
    """One contact, or one logged conversation, on its way to one CRM.

    A pending row is the queue. A contact has at most one pending push per connection, and at most
    one that waits for approval: further changes are added to it, and ``revision`` counts them. One
    that is being sent while a change comes in becomes pending again when it is recorded.

    ``wanted`` and ``before`` are values by contact field. ``sent`` are the values of the last
    attempt, by the CRM's name of the field. ``message`` is the CRM's response in
    words. ``conversation`` is the one that an activity logs, ``activity_id`` the ID of the activity
    in the CRM.
    """

    public_id = models.CharField(max_length=40, unique=True, default=push_id, editable=False)
    connection = models.ForeignKey(
        CrmConnection, on_delete=models.CASCADE, related_name="pushes", db_index=False
    )
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(
        max_length=10, choices=PushKind.choices, default=PushKind.FIELDS, db_default="fields"
    )
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    activity_id = models.CharField(max_length=300, blank=True, db_default="")
    wanted = models.JSONField(default=dict, db_default=_object())
    before = models.JSONField(default=dict, db_default=_object())
    conversation_ids = ArrayField(
        models.BigIntegerField(),
        default=list,
        db_default=Value("{}", ArrayField(models.BigIntegerField())),
    )
    revision = models.PositiveIntegerField(default=1, db_default=1)

    state = models.CharField(max_length=20, choices=PushState.choices, default=PushState.PENDING)
    decided_by = models.CharField(max_length=200, blank=True, db_default="")
    decided_at = models.DateTimeField(null=True, blank=True)
    not_before = models.DateTimeField(db_default=Now(), help_text="The next attempt.")
    attempts = models.PositiveIntegerField(default=0, db_default=0)
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)

    sent = models.JSONField(default=dict, db_default=_object())
    last_status = models.PositiveSmallIntegerField(null=True, blank=True)
    message = models.TextField(blank=True, db_default="")
    request = models.CharField(max_length=KEPT_CHARACTERS, blank=True, db_default="")
    response = models.CharField(max_length=KEPT_CHARACTERS, blank=True, db_default="")
    created_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(
        db_default=Now(), help_text="When a change was last added to it."
    )
    first_attempt_at = models.DateTimeField(null=True, blank=True)
    last_attempt_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "pushes"
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "contact"],
                condition=Q(kind="fields", state="pending"),
                name="push_pending_once",
            ),
            models.UniqueConstraint(
                fields=["connection", "contact"],
                condition=Q(kind="fields", state="waiting_for_approval"),
                name="push_waiting_once",
            ),
            models.UniqueConstraint(
                fields=["connection", "conversation"],
                condition=Q(kind="activity"),
                name="push_activity_once",
            ),
            models.CheckConstraint(
                condition=Q(kind="fields", conversation=None)
                | Q(kind="activity", conversation__isnull=False),
                name="push_kind_whole",
            ),
            models.CheckConstraint(
                condition=Q(state__in=PushState.values), name="push_state_known"
            ),
            models.CheckConstraint(
                condition=Q(lease_token=None, lease_until=None)
                | Q(lease_token__isnull=False, lease_until__isnull=False, state="pending"),
                name="push_lease_whole_and_open",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["pending", "waiting_for_approval"], finished_at=None)
                | ~Q(state__in=["pending", "waiting_for_approval"]) & Q(finished_at__isnull=False),
                name="push_final_has_end",
            ),
        ]
        indexes = [
            models.Index(F("connection"), F("id").desc(), name="push_connection_recent"),
            models.Index(
                fields=["connection", "not_before", "id"],
                condition=Q(state="pending"),
                name="push_due",
            ),
            models.Index(
                fields=["connection", "state", "-id"],
                condition=Q(state__in=["waiting_for_approval", "parked", "failed"]),
                name="push_needs_person",
            ),
            models.Index(fields=["finished_at"], name="push_finished"),
            GinIndex(fields=["conversation_ids"], name="push_conversations"),
        ]

    def __str__(self) -> str:
        return self.public_id
