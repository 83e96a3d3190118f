"""Durations on two clocks, and first responses: longer names of bases, and those that came before are counted.

Business time needs nothing here: no ticket has any before its organisation says when it works.
"""

from django.db import migrations, models

FIRST_RESPONSES = """
INSERT INTO surveys_durationledger (basis, day, touchpoint_id, segment, location, seconds, reopened, delta)
SELECT 'answered', day_opened, coalesce(touchpoint_id, 0), segment, location,
    floor(extract(epoch FROM first_response_at - opened_at))::bigint, false, 1
FROM surveys_ticket WHERE in_ttr AND first_response_at >= opened_at
"""
# What the former version does not know must not stay in its cells.
BACK = """
DELETE FROM surveys_durationledger WHERE basis NOT IN ('resolved', 'opened');
DELETE FROM metrics_durationcell WHERE basis NOT IN ('resolved', 'opened');
"""


class Migration(migrations.Migration):
    dependencies = [
        ("metrics", "0002_grains_of_one_dimension"),
        ("surveys", "0020_business_time"),
    ]

    operations = [
        migrations.AlterField(
            model_name="durationcell",
            name="basis",
            field=models.CharField(max_length=20),
        ),
        migrations.RunSQL(FIRST_RESPONSES, BACK),
    ]
