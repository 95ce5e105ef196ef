"""Store the people of conversations. Where their values come from is stored in `mappings`."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Concat, Lower, Now, NullIf, Trim, Upper

from apps.core.ids import public_id

from .values import (
    BUILT_IN_TARGETS,
    NAME_PATTERN,
    RESERVED_NAMES,
    FieldType,
    Value,
    ValueSpec,
)


def contact_id() -> str:
    """Return a new public ID of a contact."""
    return public_id("ct")


class Origin(models.TextChoices):
    """The origin of a contact."""

    CONVERSATION = "conversation", "A conversation"
    MANUAL = "manual", "A person"
    IMPORT = "import", "An import"


class Contact(models.Model):
    """A person, unique by phone number and by email where those are known.

    ``fields`` holds the present values of custom fields by name, as `apps.contacts.values` makes
    them; a field without a value has no key. ``provided`` holds the names and the email that
    arrived with conversations: values of mappings replace them, and they come back without those.
    """

    public_id = models.CharField(max_length=40, unique=True, default=contact_id, editable=False)
    phone_number = models.CharField(max_length=60, null=True, blank=True, unique=True)
    email = models.CharField(max_length=320, null=True, blank=True, unique=True)
    first_name = models.CharField(max_length=200, blank=True)
    last_name = models.CharField(max_length=200, blank=True)
    fields = models.JSONField(default=dict, db_default={}, blank=True)
    provided = models.JSONField(default=dict, db_default={}, blank=True)
    origin = models.CharField(
        max_length=12,
        choices=Origin.choices,
        default=Origin.CONVERSATION,
        db_default=Origin.CONVERSATION.value,
    )
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    edited_at = models.DateTimeField(
        null=True, blank=True, help_text="When a person or an import last set a value."
    )
    name_key = models.GeneratedField(
        expression=NullIf(
            Lower(Trim(Concat(F("first_name"), models.Value(" "), F("last_name")))),
            models.Value("", models.TextField()),
        ),
        output_field=models.TextField(null=True, db_collation="C"),
        db_persist=True,
        null=True,
        help_text="The name to sort and search by, in lower case; null where there is none.",
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(phone_number="") & ~Q(email=""), name="contact_blank_is_null"
            ),
            models.CheckConstraint(
                condition=Q(origin__in=Origin.values), name="contact_origin_known"
            ),
        ]
        # The list reads pages and beginnings of names in the order of an index, at any size.
        indexes = [
            GinIndex(fields=["fields"], name="contact_fields", opclasses=["jsonb_path_ops"]),
            models.Index(fields=["name_key", "id"], name="contact_name"),
            models.Index(
                OpClass(Upper("last_name"), name="text_pattern_ops"), name="contact_last_name"
            ),
            models.Index(fields=["updated_at", "id"], name="contact_updated"),
        ]

    def __str__(self) -> str:
        return self.name or self.phone_number or self.email or self.public_id

    @property
    def values(self) -> dict[str, Value]:
        """Return the values that mappings and people can set, by name. Empty ones are missing."""
        own = {name: value for name in BUILT_IN_TARGETS if (value := getattr(self, name))}
        return {**own, **self.fields}

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()


class ContactAlias(models.Model):
    """An additional phone number or email of a contact, such as after a merge.

    Conversations that arrive with it belong to this contact. No other contact has it, as its own
    or as an alias.
    """

    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="aliases")
    phone_number = models.CharField(max_length=60, null=True, blank=True, unique=True)
    email = models.CharField(max_length=320, null=True, blank=True, unique=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "contact aliases"
        constraints = [
            models.CheckConstraint(
                condition=Q(phone_number__isnull=True) ^ Q(email__isnull=True),
                name="contact_alias_is_one",
            ),
            models.CheckConstraint(
                condition=~Q(phone_number="") & ~Q(email=""), name="contact_alias_not_blank"
            ),
        ]

    def __str__(self) -> str:
        return self.phone_number or self.email or ""


class ContactField(models.Model):
    """A custom field of all contacts. Its name and type never change."""

    name = models.CharField(max_length=60, unique=True)
    label = models.CharField(max_length=100)
    type = models.CharField(max_length=10, choices=FieldType.choices)
    choices = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["label", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(name__regex=NAME_PATTERN) & ~Q(name__in=RESERVED_NAMES),
                name="contact_field_name_is_slug",
            ),
            models.CheckConstraint(
                condition=Q(type__in=FieldType.values), name="contact_field_type_known"
            ),
            models.CheckConstraint(
                condition=Q(type=FieldType.CHOICE, choices__len__gt=0)
                | (~Q(type=FieldType.CHOICE) & Q(choices=[])),
                name="contact_field_choices_of_choice",
            ),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def spec(self) -> ValueSpec:
        """What a value of this field may be."""
        return ValueSpec(FieldType(self.type), tuple(self.choices))
