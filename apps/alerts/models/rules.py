"""Alert rules, whom they notify, and the state that each is in."""

from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Now

from apps.accounts.models import User
from apps.agents.models import Agent, Channel
from apps.core.ids import public_id


def rule_id() -> str:
    """Return a new public ID of a rule."""
    return public_id("al")


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
