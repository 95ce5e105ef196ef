"""Where the values of contacts come from, and where they go (product 6.3).

A contact's field is a pure fold of its contributions in the order in which things were said. So
a rerun, a roll-back or an erasure replaces contributions and folds again, and every value can say
where it came from.
"""

from django.core.validators import URLValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.agents.models import Agent
from apps.contacts.models import Contact, ContactField
from apps.conversations.models import Conversation


class BuiltIn(models.TextChoices):
    """The fields that every contact has."""

    PHONE_NUMBER = "phone_number", "Phone number"
    EMAIL = "email", "Email"
    FIRST_NAME = "first_name", "First name"
    LAST_NAME = "last_name", "Last name"


class Mode(models.TextChoices):
    """How a value meets what earlier conversations said."""

    OVERWRITE = "overwrite", "Overwrite"
    FILL_IF_EMPTY = "fill_if_empty", "Fill only if empty"
    ACCUMULATE = "accumulate", "Accumulate and summarize"


class Origin(models.TextChoices):
    """What contributed a value: a conversation's analysis, a person, or an import of contacts."""

    CONVERSATION = "conversation", "Conversation"
    MANUAL = "manual", "Edited by hand"
    IMPORTED = "imported", "Imported"


class Connector(models.TextChoices):
    HUBSPOT = "hubspot", "HubSpot"
    SALESFORCE = "salesforce", "Salesforce"
    HTTP = "http", "HTTP endpoint"


class ForContactField(models.Model):
    """What speaks of one field of contacts: a built-in one by its name, or one of their own.

    ``mode`` stands beside it in both: two agents may fill one field in two ways. Accumulating is
    for text only; the built-in fields name a person and are never summarized. That a field of
    their own is of kind text is for the service to see to: a constraint sees one table.
    """

    built_in = models.CharField(max_length=20, blank=True, choices=BuiltIn.choices)
    custom_field = models.ForeignKey(
        ContactField, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    mode = models.CharField(max_length=15, choices=Mode.choices, default=Mode.OVERWRITE)

    class Meta:
        abstract = True
        constraints = [
            models.CheckConstraint(
                condition=Q(built_in="", custom_field__isnull=False)
                | Q(built_in__in=BuiltIn.values, custom_field=None),
                name="%(class)s_one_contact_field",
            ),
            models.CheckConstraint(condition=Q(mode__in=Mode.values), name="%(class)s_mode_known"),
            models.CheckConstraint(
                condition=~Q(mode=Mode.ACCUMULATE) | Q(built_in=""),
                name="%(class)s_built_in_not_accumulated",
            ),
        ]


class Mapping(ForContactField):
    """An *analysis data mapping*: which field of an agent's analyses goes to which contact field.

    An agent fills a contact field from one analysis field at most, because a conversation
    contributes one value to it. One analysis field may fill several contact fields.
    """

    agent = models.ForeignKey(
        Agent, on_delete=models.CASCADE, related_name="mappings", db_index=False
    )
    analysis_field = models.CharField(max_length=200)
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())

    class Meta(ForContactField.Meta):
        ordering = ["agent", "pk"]
        constraints = [
            *ForContactField.Meta.constraints,
            models.UniqueConstraint(
                fields=["agent", "built_in", "custom_field"],
                nulls_distinct=False,
                name="mapping_contact_field_once",
            ),
            models.CheckConstraint(condition=~Q(analysis_field=""), name="mapping_field_given"),
        ]

    def __str__(self) -> str:
        return f"{self.analysis_field} → {self.built_in or self.custom_field_id}"


class Contribution(ForContactField):
    """What one conversation, or one edit or import, says of one field of a contact.

    A conversation has one per contact field: a rerun replaces the value in place, which is why
    an old call never overwrites what a newer one said. The order of the fold is ``said_at``, then
    the id. ``mode`` is that of the mapping at the time. A value with a ``problem`` (of another
    type, say) is kept to be shown and left out of the fold.
    """

    contact = models.ForeignKey(
        Contact, on_delete=models.CASCADE, related_name="contributions", db_index=False
    )
    origin = models.CharField(max_length=15, choices=Origin.choices)
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    analysis_public_id = models.CharField(
        max_length=40, blank=True, help_text="Analyses belong to a room above this one."
    )
    value = models.JSONField(null=True, blank=True, help_text="Empty: it said nothing of it.")
    problem = models.CharField(max_length=200, blank=True)
    said_at = models.DateTimeField(help_text="When it was said, edited or imported.")
    by = models.CharField(max_length=200)
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta(ForContactField.Meta):
        ordering = ["said_at", "pk"]
        constraints = [
            *ForContactField.Meta.constraints,
            models.UniqueConstraint(
                fields=["contact", "built_in", "custom_field", "conversation"],
                condition=Q(conversation__isnull=False),
                nulls_distinct=False,
                name="contribution_conversation_once",
            ),
            models.CheckConstraint(
                condition=Q(origin=Origin.CONVERSATION, conversation__isnull=False)
                & ~Q(analysis_public_id="")
                | Q(
                    origin__in=[Origin.MANUAL, Origin.IMPORTED],
                    conversation=None,
                    analysis_public_id="",
                ),
                name="contribution_origin_told",
            ),
        ]
        indexes = [models.Index(fields=["contact", "said_at", "id"], name="contribution_fold")]

    def __str__(self) -> str:
        return f"{self.built_in or self.custom_field_id} of contact {self.contact_id}"


class CrmConnection(models.Model):
    """A program that changed contact fields are pushed to.

    ``credentials_encrypted`` is ciphertext: ``apps.core`` will hold the one cipher, with its key,
    when the first room needs it; until then nothing writes this column, and no credential may go
    there plain.
    """

    name = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=15, choices=Connector.choices)
    url = models.CharField(
        max_length=2000,
        blank=True,
        validators=[URLValidator(schemes=["http", "https"])],
        help_text="The endpoint, or the account's own address where the program has one.",
    )
    credentials_encrypted = models.BinaryField()
    enabled = models.BooleanField(default=True)
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["name", "pk"]
        verbose_name = "CRM connection"
        constraints = [
            models.CheckConstraint(condition=~Q(name=""), name="crm_connection_name_given"),
            models.CheckConstraint(
                condition=Q(kind__in=Connector.values), name="crm_connection_kind_known"
            ),
            models.CheckConstraint(
                condition=Q(url="") & ~Q(kind=Connector.HTTP)
                | Q(url__regex=r"^https?://[^[:space:]/]"),
                name="crm_connection_url_http",
            ),
            models.CheckConstraint(
                condition=~Q(credentials_encrypted=b""), name="crm_connection_credentials_given"
            ),
        ]

    def __str__(self) -> str:
        return self.name
