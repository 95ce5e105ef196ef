"""The memory of erased conversations."""

from django.db import models
from django.db.models.functions import Now


class Erased(models.Model):
    """A conversation that was erased recently, known only by a keyed hash of its source and ID."""

    digest = models.BinaryField(max_length=32, primary_key=True)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "erased conversations"
        indexes = [models.Index(fields=["at"], name="intake_erased_age")]

    def __str__(self) -> str:
        return bytes(self.digest).hex()[:12]
