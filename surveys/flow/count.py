"""Views of the widget into counters. In: a touchpoint, a day, an event. Out: one row per day, touchpoint and event. Nobody's name."""

from datetime import date

from django.db import connection

from surveys.models import WidgetCount

# One statement that commits by itself: whoever counts at the same moment waits for the row, and none is lost.
_COUNT = f"""
INSERT INTO {WidgetCount._meta.db_table} AS held (touchpoint_id, day, event, count) VALUES (%s, %s, %s, 1)
ON CONFLICT (touchpoint_id, day, event) DO UPDATE SET count = held.count + 1
"""


def count_view(touchpoint_id: int, day: date, event: str) -> None:
    """One more of `event` (WidgetCount.Event) on `day`, a day in the organisation's time zone."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [touchpoint_id, day, event])
