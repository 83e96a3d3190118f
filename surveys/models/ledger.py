"""The signed ledger: what is not yet in the cells. Written by `flow/` in the transaction of the answer; drained by `metrics`.

No foreign keys: rows live for seconds, and a key check per row would cost more than the row.
"""

from django.db import models


class ScoreLedger(models.Model):
    """One row per +1 or −1 to a score's counter."""

    id = models.BigAutoField(primary_key=True)
    day = models.DateField()
    touchpoint_id = models.BigIntegerField()
    question_id = models.BigIntegerField()
    mode = models.CharField(max_length=10)
    segment = models.CharField(max_length=100)
    location = models.CharField(max_length=100)
    score = models.SmallIntegerField()
    delta = models.SmallIntegerField()

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(delta__in=[-1, 1]), name="score_ledger_delta_is_one")]

    def __str__(self) -> str:
        return f"{self.delta:+d} {self.day} {self.score}"


class DurationLedger(models.Model):
    """One row per +1 or −1 of one duration of a ticket, once for each basis that it counts under."""

    class Basis(models.TextChoices):
        """Which duration, by which day, on which clock. Those in business time are there where the organisation has hours."""

        RESOLVED = "resolved"  # opening to resolution, by the day resolved
        OPENED = "opened"  # the same, by the day opened
        ANSWERED = "answered"  # opening to first response, by the day opened
        RESOLVED_BUSINESS = "resolved-business"
        OPENED_BUSINESS = "opened-business"
        ANSWERED_BUSINESS = "answered-business"

    id = models.BigAutoField(primary_key=True)
    basis = models.CharField(max_length=20, choices=Basis.choices)
    day = models.DateField()
    touchpoint_id = models.BigIntegerField()  # 0: the ticket names none
    segment = models.CharField(max_length=100)
    location = models.CharField(max_length=100)
    seconds = models.BigIntegerField()
    reopened = models.BooleanField()
    delta = models.SmallIntegerField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(delta__in=[-1, 1]), name="duration_ledger_delta_is_one"),
            models.CheckConstraint(
                condition=models.Q(
                    basis__in=[
                        "resolved",
                        "opened",
                        "answered",
                        "resolved-business",
                        "opened-business",
                        "answered-business",
                    ]
                ),
                name="duration_ledger_basis",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.delta:+d} {self.basis} {self.day} {self.seconds}"
