"""Cells: what the ledger has been drained into. Any slice of them is a SUM; no metric is ever stored."""

from typing import Any

from django.db import models


class Grain(models.IntegerChoices):
    """At which grain a cell is kept. The same answers stand in each: a query reads one for any day. `metrics.grains` chooses."""

    DAY_FULL = 0  # day x touchpoint x question x mode x segment x location
    DAY_TOTAL = 1  # day x touchpoint x question; mode, segment and location are ""
    MONTH_FULL = 2  # as DAY_FULL, by the first day of the month
    MONTH_TOTAL = 3
    # A touchpoint's totals by one further dimension.
    DAY_MODE = 4  # of scores alone
    DAY_SEGMENT = 5
    DAY_LOCATION = 6
    MONTH_MODE = 7  # of scores alone
    MONTH_SEGMENT = 8
    MONTH_LOCATION = 9
    # Of durations alone: all touchpoints together (touchpoint_id is 0), and these by segment, and by segment and location.
    DAY_ALL = 10
    DAY_ALL_SEGMENT = 11
    DAY_ALL_PART = 12
    MONTH_ALL = 13
    MONTH_ALL_SEGMENT = 14
    MONTH_ALL_PART = 15
    # Of scores alone, and by month alone: a touchpoint's totals by mode and one further dimension.
    MONTH_MODE_SEGMENT = 16
    MONTH_MODE_LOCATION = 17


SCORES = range(11)  # counters s0…s10; scales that start at 1 leave s0 at 0


class ScoreCell(models.Model):
    """One row per (grain, day, touchpoint, question, mode, segment, location), with one counter per score.

    No CHECK on the counters: an upsert of −1 is checked before it meets its row.
    """

    pk = models.CompositePrimaryKey("grain", "day", "touchpoint_id", "question_id", "mode", "segment", "location")
    grain = models.SmallIntegerField(choices=Grain.choices)
    day = models.DateField()
    touchpoint_id = models.BigIntegerField()
    question_id = models.BigIntegerField()
    mode = models.CharField(max_length=10)
    segment = models.CharField(max_length=100)
    location = models.CharField(max_length=100)
    s0 = models.IntegerField(default=0)
    s1 = models.IntegerField(default=0)
    s2 = models.IntegerField(default=0)
    s3 = models.IntegerField(default=0)
    s4 = models.IntegerField(default=0)
    s5 = models.IntegerField(default=0)
    s6 = models.IntegerField(default=0)
    s7 = models.IntegerField(default=0)
    s8 = models.IntegerField(default=0)
    s9 = models.IntegerField(default=0)
    s10 = models.IntegerField(default=0)

    class Meta:
        indexes = [
            models.Index(fields=["grain", "touchpoint_id", "question_id", "day"], name="cell_of_touchpoint"),
            # For all touchpoints of one segment, mode or location: what a grain does not keep is "", so a prefix serves each.
            models.Index(fields=["grain", "location", "segment", "mode", "day"], name="cell_of_part"),
        ]

    def __str__(self) -> str:
        return f"{self.grain} {self.day} {self.touchpoint_id} {self.question_id}"


class PackedHistogram(models.Field):  # type: ignore[type-arg]
    """A numeric of any length."""

    def db_type(self, connection: Any) -> str:
        return "numeric"


class DurationCell(models.Model):
    """One row per (basis, grain, day, touchpoint, segment, location, bucket) of tickets' durations.

    Only the full grains have a row per bucket; in all others `bucket` is −1, and `histogram` holds the count of each.
    """

    pk = models.CompositePrimaryKey("basis", "grain", "day", "touchpoint_id", "segment", "location", "bucket")
    basis = models.CharField(max_length=20)  # DurationLedger.Basis: which duration, by which day, on which clock
    grain = models.SmallIntegerField(choices=Grain.choices)
    day = models.DateField()
    touchpoint_id = models.BigIntegerField()  # 0: tickets that name none
    segment = models.CharField(max_length=100)
    location = models.CharField(max_length=100)
    bucket = models.SmallIntegerField()  # formulas.bucket_of(seconds); 0 is exactly 0 s
    n = models.IntegerField(default=0)
    # Counts per bucket in one number, so that a sum of numbers is a sum of histograms: metrics.buckets packs and unpacks it.
    histogram = PackedHistogram(default=0)
    sum_s = models.BigIntegerField(default=0)
    reopened = models.IntegerField(default=0)

    class Meta:
        indexes = [
            models.Index(fields=["basis", "grain", "touchpoint_id", "day"], name="duration_of_touchpoint"),
            models.Index(fields=["basis", "grain", "location", "segment", "day"], name="duration_of_part"),
        ]

    def __str__(self) -> str:
        return f"{self.basis} {self.grain} {self.day} {self.bucket}"
