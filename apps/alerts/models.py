"""Alert rules, their incidents, and the notifications about them.

A rule watches single results, or one number over a window. A problem that it finds is an
*incident*: at most one is open per rule and agent, which the database enforces. Its history is a
list of events, and notifications are written in the same transaction as the change
(`docs/alerts.md`).
"""

from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Now

from apps.accounts.models import User
from apps.agents.models import Agent, Channel
from apps.conversations.models import Conversation
from apps.core.ids import public_id


def rule_id() -> str:
    """Return a new public ID of a rule."""
    return public_id("al")


def incident_id() -> str:
    """Return a new public ID of an incident."""
    return public_id("inc")


def message_id() -> str:
    """Return a new public ID of a message: the same in each attempt."""
    return public_id("note")


class Kind(models.TextChoices):
    """What a rule watches."""

    RESULT = "result", "Single results"
    RATE = "rate", "Rate"
    AVERAGE = "average", "Average"
    COUNT = "count", "Number of conversations"


class Direction(models.TextChoices):
    """On which side of the threshold a value is bad."""

    BELOW = "below", "Below"
    ABOVE = "above", "Above"


class NoData(models.TextChoices):
    """What happens with fewer conversations than the minimum."""

    KEEP = "keep", "Keep the state"
    ALERT = "alert", "Alert"
    RESOLVE = "resolve", "Resolve"


class RuleState(models.TextChoices):
    NORMAL = "normal", "Normal"
    PENDING = "pending", "Pending"
    ALERTING = "alerting", "Alerting"
    RECOVERING = "recovering", "Recovering"
    NO_DATA = "no_data", "No data"
    PAUSED = "paused", "Paused"


class ChannelKind(models.TextChoices):
    """A chat program that takes messages at an incoming webhook URL."""

    SLACK = "slack", "Slack"
    TEAMS = "teams", "Microsoft Teams"


class AlertRule(models.Model):
    """When to alert, and whom.

    ``condition`` is a rule document: of a single result, of the conversations that a rate or a
    count is about. A rate without one is of ``field`` being ``field_value``. ``armed_at`` is when
    it was last set up: results before it are not looked at. ``evaluated_until`` is the end of the
    last window. No column holds the state of the rule: that is in `Standing`, one per agent.
    """

    public_id = models.CharField(max_length=40, unique=True, default=rule_id, editable=False)
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    channel = models.CharField(max_length=10, choices=Channel.choices)
    agent = models.ForeignKey(
        Agent, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    per_agent = models.BooleanField(default=False, db_default=False)

    condition = models.JSONField(null=True, blank=True)
    field = models.CharField(max_length=200, blank=True, db_default="")
    field_value = models.JSONField(null=True, blank=True)
    include_reruns = models.BooleanField(default=False, db_default=False)
    quiet_hours = models.PositiveIntegerField(default=24, db_default=24)

    direction = models.CharField(max_length=5, choices=Direction.choices, blank=True, db_default="")
    threshold = models.FloatField(null=True, blank=True)
    recovery = models.FloatField(null=True, blank=True)
    window_hours = models.PositiveIntegerField(default=24, db_default=24)
    min_conversations = models.PositiveIntegerField(default=20, db_default=20)
    for_minutes = models.PositiveIntegerField(default=0, db_default=0)
    no_data = models.CharField(
        max_length=10, choices=NoData.choices, default=NoData.KEEP, db_default="keep"
    )

    members = models.ManyToManyField(User, blank=True, related_name="+")
    addresses = ArrayField(
        models.EmailField(), default=list, db_default=Value("{}", ArrayField(models.EmailField()))
    )
    remind_hours = models.PositiveIntegerField(default=0, db_default=0, help_text="0: never.")
    notified_at = models.DateTimeField(null=True, blank=True, help_text="The last batch.")

    armed_at = models.DateTimeField(db_default=Now())
    evaluated_until = models.DateTimeField(null=True, blank=True)
    problem = models.TextField(blank=True, db_default="", help_text="Why it can’t be evaluated.")
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_by = models.CharField(max_length=200, blank=True, db_default="")
    site_url = models.CharField(max_length=300, blank=True, db_default="")
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["name"], name="alert_rule_name_once"),
            models.CheckConstraint(condition=~Q(name=""), name="alert_rule_named"),
            models.CheckConstraint(
                condition=Q(kind__in=Kind.values, no_data__in=NoData.values),
                name="alert_rule_kind_known",
            ),
            models.CheckConstraint(
                condition=Q(kind="result", threshold=None, condition__isnull=False)
                | ~Q(kind="result") & Q(threshold__isnull=False, direction__in=Direction.values),
                name="alert_rule_whole",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_paused(self) -> bool:
        return self.paused_at is not None

    @property
    def window(self) -> timedelta:
        return timedelta(hours=self.window_hours)


class NotificationChannel(models.Model):
    """A Slack or Teams channel that a rule posts to. The URL is a secret, and ``host`` is not."""

    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, related_name="channels")
    kind = models.CharField(max_length=10, choices=ChannelKind.choices)
    url_encrypted = models.BinaryField()
    host = models.CharField(max_length=300)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["rule", "kind"], name="alert_channel_once"),
            models.CheckConstraint(
                condition=Q(kind__in=ChannelKind.values) & ~Q(url_encrypted=b""),
                name="alert_channel_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} at {self.host}"


class Standing(models.Model):
    """The state of a rule, of each agent where it watches agents one by one.

    ``bad_since`` is the end of the first bad window in a row. ``needs_recovery``: someone resolved
    the incident while the value was bad, so that nothing opens before it was good once.
    """

    rule = models.ForeignKey(
        AlertRule, on_delete=models.CASCADE, related_name="standings", db_index=False
    )
    agent = models.ForeignKey(
        Agent, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    state = models.CharField(
        max_length=10, choices=RuleState.choices, default=RuleState.NORMAL, db_default="normal"
    )
    since = models.DateTimeField()
    bad_since = models.DateTimeField(null=True, blank=True)
    needs_recovery = models.BooleanField(default=False, db_default=False)
    value = models.FloatField(null=True, blank=True)
    counted = models.PositiveIntegerField(default=0, db_default=0)
    matched = models.PositiveIntegerField(default=0, db_default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "agent"], nulls_distinct=False, name="alert_standing_once"
            ),
            models.CheckConstraint(
                condition=Q(state__in=RuleState.values), name="alert_standing_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rule_id} is {self.state}"


class Evaluation(models.Model):
    """What a rule found in one window. The window is named by its end: it is stored once."""

    rule = models.ForeignKey(
        AlertRule, on_delete=models.CASCADE, related_name="evaluations", db_index=False
    )
    agent = models.ForeignKey(
        Agent, on_delete=models.CASCADE, null=True, blank=True, related_name="+", db_index=False
    )
    window_end = models.DateTimeField()
    state = models.CharField(max_length=10, choices=RuleState.choices)
    value = models.FloatField(null=True, blank=True)
    counted = models.PositiveIntegerField()
    matched = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "window_end", "agent"],
                nulls_distinct=False,
                name="alert_evaluation_once",
            )
        ]
        indexes = [models.Index(fields=["window_end"], name="alert_evaluation_age")]

    def __str__(self) -> str:
        return f"{self.rule_id} at {self.window_end}"


class IncidentState(models.TextChoices):
    OPEN = "open", "Open"
    ACKNOWLEDGED = "acknowledged", "Acknowledged"
    RESOLVED = "resolved", "Resolved"


class Cause(models.TextChoices):
    """Why an incident opened."""

    BREACH = "breach", "Condition met"
    NO_DATA = "no_data", "No data"


class Resolution(models.TextChoices):
    """Why an incident closed."""

    RECOVERED = "recovered", "Recovered"
    NO_DATA = "no_data", "No data"
    NO_LONGER_MATCHES = "no_longer_matches", "Nothing matches any longer"
    QUIET = "quiet", "No new match"
    BY_HAND = "by_hand", "Resolved by a user"
    RULE_CHANGED = "rule_changed", "The rule was changed"
    RULE_DELETED = "rule_deleted", "The rule was deleted"


class IncidentQuerySet(models.QuerySet["Incident"]):
    def open(self) -> "IncidentQuerySet":
        """Return incidents that aren't resolved, acknowledged ones included."""
        return self.exclude(state=IncidentState.RESOLVED)


class Incident(models.Model):
    """Something is wrong: from the moment a rule fires until it closes.

    ``condition_text`` says what the rule asked for when it opened. ``value``, ``counted`` and
    ``matched`` are of the window that opened it, which ``window_start`` and ``window_end`` name;
    ``latest`` is the value since. For single results ``matched`` is the number of conversations.
    """

    public_id = models.CharField(max_length=40, unique=True, default=incident_id, editable=False)
    rule = models.ForeignKey(
        AlertRule, on_delete=models.CASCADE, related_name="incidents", db_index=False
    )
    agent = models.ForeignKey(
        Agent, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    state = models.CharField(
        max_length=12,
        choices=IncidentState.choices,
        default=IncidentState.OPEN,
        db_default="open",
    )
    cause = models.CharField(
        max_length=10, choices=Cause.choices, default=Cause.BREACH, db_default="breach"
    )
    condition_text = models.TextField()
    value = models.FloatField(null=True, blank=True)
    latest = models.FloatField(null=True, blank=True)
    counted = models.PositiveIntegerField(default=0, db_default=0)
    matched = models.PositiveIntegerField(default=0, db_default=0)
    window_start = models.DateTimeField(null=True, blank=True)
    window_end = models.DateTimeField(null=True, blank=True)

    owner = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    note = models.TextField(blank=True, db_default="")
    opened_at = models.DateTimeField()
    matched_at = models.DateTimeField(help_text="The last match, or the last bad window.")
    reminded_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=200, blank=True, db_default="")
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolution = models.CharField(
        max_length=20, choices=Resolution.choices, blank=True, db_default=""
    )
    resolved_by = models.CharField(max_length=200, blank=True, db_default="")

    objects = IncidentQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "agent"],
                condition=~Q(state="resolved"),
                nulls_distinct=False,
                name="alert_incident_one_open",
            ),
            models.CheckConstraint(
                condition=Q(state__in=IncidentState.values), name="alert_incident_state_known"
            ),
            models.CheckConstraint(
                condition=Q(state="resolved", resolved_at__isnull=False)
                & Q(resolution__in=Resolution.values)
                | ~Q(state="resolved") & Q(resolved_at=None, resolution=""),
                name="alert_incident_resolved_whole",
            ),
        ]
        indexes = [
            models.Index(F("rule"), F("id").desc(), name="alert_incident_recent"),
            models.Index(
                fields=["state", "-id"],
                condition=~Q(state="resolved"),
                name="alert_incident_open",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def is_open(self) -> bool:
        return self.state != IncidentState.RESOLVED


class Match(models.Model):
    """A conversation behind an incident of single results.

    ``matches`` becomes false where a later result of the conversation does not match any longer.
    """

    incident = models.ForeignKey(
        Incident, on_delete=models.CASCADE, related_name="matches", db_index=False
    )
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField()
    matches = models.BooleanField(default=True, db_default=True)

    class Meta:
        verbose_name_plural = "matches"
        constraints = [
            models.UniqueConstraint(fields=["incident", "conversation"], name="alert_match_once")
        ]

    def __str__(self) -> str:
        return f"{self.conversation_id} in {self.incident_id}"


class Check(models.Model):
    """A conversation with a new result that the rules of single results have yet to look at.

    It is written with the result, and deleted by the transaction that looks.
    """

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="+")
    is_first = models.BooleanField()
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"check of {self.conversation_id}"


class EventKind(models.TextChoices):
    """What happened to an incident."""

    OPENED = "opened", "Opened"
    MATCHED = "matched", "More matches"
    REMINDED = "reminded", "Reminder"
    ACKNOWLEDGED = "acknowledged", "Acknowledged"
    ASSIGNED = "assigned", "Assigned"
    NOTED = "noted", "Note changed"
    RESOLVED = "resolved", "Resolved"


class IncidentEvent(models.Model):
    """One line of an incident's history. ``to_notify``: no message includes it yet."""

    incident = models.ForeignKey(
        Incident, on_delete=models.CASCADE, related_name="events", db_index=False
    )
    kind = models.CharField(max_length=12, choices=EventKind.choices)
    at = models.DateTimeField()
    by = models.CharField(max_length=200, blank=True, db_default="")
    count = models.PositiveIntegerField(default=0, db_default=0)
    detail = models.CharField(max_length=200, blank=True, db_default="")
    to_notify = models.BooleanField(default=False, db_default=False)

    class Meta:
        ordering = ["pk"]
        indexes = [
            models.Index(fields=["incident", "id"], name="alert_event_order"),
            models.Index(
                fields=["incident"], condition=Q(to_notify=True), name="alert_event_to_notify"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.incident_id}"


class MessageKind(models.TextChoices):
    EMAIL = "email", "Email"
    SLACK = "slack", "Slack"
    TEAMS = "teams", "Microsoft Teams"


class MessageState(models.TextChoices):
    PENDING = "pending", "Queued"
    SENT = "sent", "Sent"
    FAILED = "failed", "Failed"


class Message(models.Model):
    """A mail to one person, or a post to one channel: the outbox.

    A pending row is the queue, leased as a webhook's delivery is. Texts name rules, numbers and
    links, and never the content of a conversation.
    """

    public_id = models.CharField(max_length=40, unique=True, default=message_id, editable=False)
    rule = models.ForeignKey(
        AlertRule,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="messages",
        db_index=False,
        help_text="Empty: about a spending cap.",
    )
    kind = models.CharField(max_length=10, choices=MessageKind.choices)
    address = models.EmailField(blank=True, db_default="")
    channel = models.ForeignKey(
        NotificationChannel, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    subject = models.CharField(max_length=300)
    body = models.TextField()
    state = models.CharField(
        max_length=10, choices=MessageState.choices, default=MessageState.PENDING
    )
    not_before = models.DateTimeField(db_default=Now())
    attempts = models.PositiveIntegerField(default=0, db_default=0)
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True, db_default="")
    created_at = models.DateTimeField(db_default=Now())
    first_attempt_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=MessageState.values), name="alert_message_state_known"
            ),
            models.CheckConstraint(
                condition=Q(kind="email", channel=None) & ~Q(address="")
                | Q(kind__in=ChannelKind.values, channel__isnull=False, address=""),
                name="alert_message_addressed",
            ),
            models.CheckConstraint(
                condition=Q(lease_token=None, lease_until=None)
                | Q(lease_token__isnull=False, lease_until__isnull=False, state="pending"),
                name="alert_message_lease_whole",
            ),
            models.CheckConstraint(
                condition=Q(state="pending", finished_at=None)
                | ~Q(state="pending") & Q(finished_at__isnull=False),
                name="alert_message_final_has_end",
            ),
        ]
        indexes = [
            models.Index(
                fields=["not_before", "id"], condition=Q(state="pending"), name="alert_message_due"
            ),
            models.Index(F("rule"), F("id").desc(), name="alert_message_recent"),
        ]

    def __str__(self) -> str:
        return self.public_id


class CapNotice(models.Model):
    """A spending cap that was announced in a period: once at 80%, once where it is reached.

    The row is written in the transaction of its event and its mails. A changed limit is another
    cap, which is announced anew.
    """

    agent_id = models.CharField(
        max_length=40, blank=True, help_text="Public ID. Empty: the installation."
    )
    period = models.CharField(max_length=10)
    first_day = models.DateField(help_text="Of the period, in TIME_ZONE.")
    limit = models.DecimalField(max_digits=12, decimal_places=4)
    level = models.PositiveSmallIntegerField(help_text="In percent: 80, or 100 where reached.")
    spent = models.DecimalField(max_digits=18, decimal_places=9)
    mails = models.PositiveIntegerField(default=0, help_text="Admins who were mailed.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["agent_id", "period", "first_day", "limit", "level"],
                name="cap_notice_once",
            ),
            models.CheckConstraint(condition=Q(level__in=[80, 100]), name="cap_notice_level_known"),
        ]

    def __str__(self) -> str:
        return f"{self.agent_id or 'installation'}: {self.level}% of {self.limit}"
