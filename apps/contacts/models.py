"""Who the people of conversations are; nothing of where values come from."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.core.ids import public_id


def contact_id() -> str:
    """A fresh public id of a contact."""
    return public_id("con")


class Contact(models.Model):
    """A person, unique by phone number and by email where those are known."""

    public_id = models.CharField(max_length=40, unique=True, default=contact_id, editable=False)
    phone_number = models.CharField(max_length=60, null=True, blank=True, unique=True)
    email = models.CharField(max_length=320, null=True, blank=True, unique=True)
    first_name = models.CharField(max_length=200, blank=True)
    last_name = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(phone_number="") & ~Q(email=""), name="contact_blank_is_null"
            )
        ]

    def __str__(self) -> str:
        return self.name or self.phone_number or self.email or self.public_id

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()
