"""Months of scores by mode and segment, and by mode and location, so that modes of one of them are compared over years.

Made from the full months. No roll-up may run meanwhile with the code of before: it would not know the new grains.
`verify_rollups` says whether one did.
"""

from django.db import migrations, models

GRAINS = [
    (0, "Day Full"), (1, "Day Total"), (2, "Month Full"), (3, "Month Total"), (4, "Day Mode"), (5, "Day Segment"),
    (6, "Day Location"), (7, "Month Mode"), (8, "Month Segment"), (9, "Month Location"), (10, "Day All"),
    (11, "Day All Segment"), (12, "Day All Part"), (13, "Month All"), (14, "Month All Segment"), (15, "Month All Part"),
    (16, "Month Mode Segment"), (17, "Month Mode Location"),
]  # fmt: skip
COUNTERS = [f"s{score}" for score in range(11)]
DRAINER_LOCK = 0x6378_726F_6C6C  # as metrics.rollup takes it
_NEW = "grain, day, touchpoint_id, question_id, mode, segment, location"
_SUMS = ", ".join(f"sum({one})" for one in COUNTERS)
FILL = f"""
SELECT pg_advisory_xact_lock({DRAINER_LOCK});
INSERT INTO metrics_scorecell ({_NEW}, {", ".join(COUNTERS)})
SELECT 16, day, touchpoint_id, question_id, mode, segment, '', {_SUMS} FROM metrics_scorecell WHERE grain = 2 GROUP BY 2, 3, 4, 5, 6;
INSERT INTO metrics_scorecell ({_NEW}, {", ".join(COUNTERS)})
SELECT 17, day, touchpoint_id, question_id, mode, '', location, {_SUMS} FROM metrics_scorecell WHERE grain = 2 GROUP BY 2, 3, 4, 5, 7;
"""
CLEAR = f"SELECT pg_advisory_xact_lock({DRAINER_LOCK}); DELETE FROM metrics_scorecell WHERE grain IN (16, 17);"


class Migration(migrations.Migration):
    dependencies = [("metrics", "0005_decisions")]

    operations = [
        migrations.AlterField("durationcell", "grain", models.SmallIntegerField(choices=GRAINS)),
        migrations.AlterField("scorecell", "grain", models.SmallIntegerField(choices=GRAINS)),
        migrations.RunSQL(FILL, CLEAR),
    ]
