"""Cells by one dimension, so that a filtered page over years reads as few as an unfiltered one; made here from the full ones.

No roll-up may run meanwhile with the code of before: it would not know the new grains. `verify_rollups` says whether one did.
"""

from django.db import migrations, models

GRAINS = [
    (0, "Day Full"), (1, "Day Total"), (2, "Month Full"), (3, "Month Total"), (4, "Day Mode"), (5, "Day Segment"),
    (6, "Day Location"), (7, "Month Mode"), (8, "Month Segment"), (9, "Month Location"), (10, "Day All"),
    (11, "Day All Segment"), (12, "Day All Location"), (13, "Month All"), (14, "Month All Segment"),
    (15, "Month All Location"),
]  # fmt: skip
# New grain: the full grain of its days or months, and what of the key it keeps.
SCORE_GRAINS = {
    4: (0, "mode"), 5: (0, "segment"), 6: (0, "location"), 7: (2, "mode"), 8: (2, "segment"), 9: (2, "location"),
}  # fmt: skip
DURATION_GRAINS = {
    10: (0, ""), 11: (0, "segment"), 12: (0, "location"), 13: (2, ""), 14: (2, "segment"), 15: (2, "location"),
}  # fmt: skip
DRAINER_LOCK = 0x6378_726F_6C6C  # as metrics.rollup takes it


def _keys(kept: str, *columns: str) -> str:
    return ", ".join(column if column == kept else "''" for column in columns)


def fill(apps, schema_editor):
    counters = [f"s{score}" for score in range(11)]
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [DRAINER_LOCK])
        for grain, (full, kept) in SCORE_GRAINS.items():
            cursor.execute(
                "INSERT INTO metrics_scorecell (grain, day, touchpoint_id, question_id, mode, segment, location, "
                f"{', '.join(counters)}) SELECT {grain}, day, touchpoint_id, question_id, "
                f"{_keys(kept, 'mode', 'segment', 'location')}, {', '.join(f'sum({one})' for one in counters)} "
                f"FROM metrics_scorecell WHERE grain = {full} GROUP BY 2, 3, 4, 5, 6, 7"
            )
        for grain, (full, kept) in DURATION_GRAINS.items():
            cursor.execute(
                "INSERT INTO metrics_durationcell (basis, grain, day, touchpoint_id, segment, location, bucket, n, "
                f"sum_s, reopened) SELECT basis, {grain}, day, 0, {_keys(kept, 'segment', 'location')}, bucket, sum(n), "
                f"sum(sum_s), sum(reopened) FROM metrics_durationcell WHERE grain = {full} GROUP BY 1, 3, 5, 6, 7"
            )


def clear(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [DRAINER_LOCK])
        cursor.execute("DELETE FROM metrics_scorecell WHERE grain > 3")
        cursor.execute("DELETE FROM metrics_durationcell WHERE grain > 3")


class Migration(migrations.Migration):
    dependencies = [("metrics", "0001_initial")]

    operations = [
        migrations.AlterField("durationcell", "grain", models.SmallIntegerField(choices=GRAINS)),
        migrations.AlterField("scorecell", "grain", models.SmallIntegerField(choices=GRAINS)),
        migrations.RunPython(fill, clear),
        migrations.AddIndex(
            "durationcell",
            models.Index(fields=["basis", "grain", "location", "segment", "day"], name="duration_of_part"),
        ),
        migrations.AddIndex(
            "scorecell", models.Index(fields=["grain", "location", "segment", "mode", "day"], name="cell_of_part")
        ),
    ]
