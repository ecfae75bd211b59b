"""What the site keeps in PostgreSQL."""

from django.db import models


class Entry(models.Model):
    """One visitor's words in the guest book."""

    name = models.CharField(max_length=80)
    message = models.CharField(max_length=500)
    written_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        ordering = ["-written_at", "-id"]

    def __str__(self):
        return f"{self.name}: {self.message}"
