"""Months of scores by mode and segment at once, so that modes of one segment are compared over years; made from the full months.

No roll-up may run meanwhile with the code of before: it would not know the new grain. `verify_rollups` says whether one did.
"""

from django.db import migrations, models

GRAINS = [
    (0, "Day Full"), (1, "Day Total"), (2, "Month Full"), (3, "Month Total"), (4, "Day Mode"), (5, "Day Segment"),
    (6, "Day Location"), (7, "Month Mode"), (8, "Month Segment"), (9, "Month Location"), (10, "Day All"),
    (11, "Day All Segment"), (12, "Day All Part"), (13, "Month All"), (14, "Month All Segment"), (15, "Month All Part"),
    (16, "Month Mode Segment"),
]  # fmt: skip
COUNTERS = [f"s{score}" for score in range(11)]
DRAINER_LOCK = 0x6378_726F_6C6C  # as metrics.rollup takes it
FILL = f"""
SELECT pg_advisory_xact_lock({DRAINER_LOCK});
INSERT INTO metrics_scorecell (grain, day, touchpoint_id, question_id, mode, segment, location, {', '.join(COUNTERS)})
SELECT 16, day, touchpoint_id, question_id, mode, segment, '', {', '.join(f'sum({one})' for one in COUNTERS)}
FROM metrics_scorecell WHERE grain = 2 GROUP BY 2, 3, 4, 5, 6;
"""
CLEAR = f"SELECT pg_advisory_xact_lock({DRAINER_LOCK}); DELETE FROM metrics_scorecell WHERE grain = 16;"


class Migration(migrations.Migration):
    dependencies = [("metrics", "0005_decisions")]

    operations = [
        migrations.AlterField("durationcell", "grain", models.SmallIntegerField(choices=GRAINS)),
        migrations.AlterField("scorecell", "grain", models.SmallIntegerField(choices=GRAINS)),
        migrations.RunSQL(FILL, CLEAR),
    ]
