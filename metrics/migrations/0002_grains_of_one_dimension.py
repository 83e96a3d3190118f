"""Cells by one dimension, and durations as one number per cell, so that pages over years read few rows; made from the full ones.

No roll-up may run meanwhile with the code of before: it would not know the new grains. `verify_rollups` says whether one did.
"""

from django.db import migrations, models

import metrics.models

GRAINS = [
    (0, "Day Full"), (1, "Day Total"), (2, "Month Full"), (3, "Month Total"), (4, "Day Mode"), (5, "Day Segment"),
    (6, "Day Location"), (7, "Month Mode"), (8, "Month Segment"), (9, "Month Location"), (10, "Day All"),
    (11, "Day All Segment"), (12, "Day All Part"), (13, "Month All"), (14, "Month All Segment"), (15, "Month All Part"),
]  # fmt: skip
# New grain: the full grain of its days or months, and what of the key it keeps.
SCORE_GRAINS = {
    4: (0, "mode"), 5: (0, "segment"), 6: (0, "location"), 7: (2, "mode"), 8: (2, "segment"), 9: (2, "location"),
}  # fmt: skip
DURATION_GRAINS = {
    1: (0, "touchpoint_id"), 3: (2, "touchpoint_id"),
    5: (0, "touchpoint_id", "segment"), 6: (0, "touchpoint_id", "location"),
    8: (2, "touchpoint_id", "segment"), 9: (2, "touchpoint_id", "location"),
    10: (0,), 11: (0, "segment"), 12: (0, "segment", "location"),
    13: (2,), 14: (2, "segment"), 15: (2, "segment", "location"),
}  # fmt: skip
EMPTY = "''"
DRAINER_LOCK = 0x6378_726F_6C6C  # as metrics.rollup takes it


def _keys(kept, **columns):
    """Of each column itself where it is kept, else what stands in its place."""
    return ", ".join(column if column in kept else nothing for column, nothing in columns.items())


def fill(apps, schema_editor):
    counters = [f"s{score}" for score in range(11)]
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [DRAINER_LOCK])
        for grain, (full, *kept) in SCORE_GRAINS.items():
            cursor.execute(
                "INSERT INTO metrics_scorecell (grain, day, touchpoint_id, question_id, mode, segment, location, "
                f"{', '.join(counters)}) SELECT {grain}, day, touchpoint_id, question_id, "
                f"{_keys(kept, mode=EMPTY, segment=EMPTY, location=EMPTY)}, {', '.join(f'sum({one})' for one in counters)} "
                f"FROM metrics_scorecell WHERE grain = {full} GROUP BY 2, 3, 4, 5, 6, 7"
            )
        cursor.execute("SET LOCAL enable_hashagg = off")  # hashing long numbers takes 16 kB a group
        # Totals had a row per bucket.
        cursor.execute("DELETE FROM metrics_durationcell WHERE grain IN (1, 3)")
        cursor.execute("UPDATE metrics_durationcell SET histogram = n * ('1e' || 8 * bucket)::numeric")
        for grain, (full, *kept) in DURATION_GRAINS.items():
            cursor.execute(
                "INSERT INTO metrics_durationcell (basis, grain, day, touchpoint_id, segment, location, bucket, n, sum_s, "
                f"reopened, histogram) SELECT basis, {grain}, day, "
                f"{_keys(kept, touchpoint_id='0', segment=EMPTY, location=EMPTY)}, -1, "
                "sum(n), sum(sum_s), sum(reopened), sum(histogram) "
                f"FROM metrics_durationcell WHERE grain = {full} GROUP BY 1, 3, 4, 5, 6"
            )


def clear(apps, schema_editor):
    """Without what 0001 does not know, and with its totals."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [DRAINER_LOCK])
        cursor.execute("DELETE FROM metrics_scorecell WHERE grain > 3")
        cursor.execute("DELETE FROM metrics_durationcell WHERE grain NOT IN (0, 2)")
        for grain, full in ((1, 0), (3, 2)):
            cursor.execute(
                "INSERT INTO metrics_durationcell (basis, grain, day, touchpoint_id, segment, location, bucket, n, sum_s, "
                f"reopened, histogram) SELECT basis, {grain}, day, touchpoint_id, '', '', bucket, sum(n), sum(sum_s), "
                f"sum(reopened), 0 FROM metrics_durationcell WHERE grain = {full} GROUP BY 1, 3, 4, 7"
            )


class Migration(migrations.Migration):
    dependencies = [("metrics", "0001_initial")]

    operations = [
        migrations.AlterField("durationcell", "grain", models.SmallIntegerField(choices=GRAINS)),
        migrations.AlterField("scorecell", "grain", models.SmallIntegerField(choices=GRAINS)),
        migrations.AddField("durationcell", "histogram", metrics.models.PackedHistogram(default=0)),
        migrations.RunPython(fill, clear),
        migrations.AddIndex(
            "durationcell",
            models.Index(fields=["basis", "grain", "location", "segment", "day"], name="duration_of_part"),
        ),
        migrations.AddIndex(
            "scorecell", models.Index(fields=["grain", "location", "segment", "mode", "day"], name="cell_of_part")
        ),
    ]
