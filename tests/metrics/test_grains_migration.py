"""Cells of a database that was there before become what the roll-up makes: the migrations' own SQL, back and forth."""

from datetime import timedelta
from importlib import import_module

import pytest
from django.db import connection

from metrics.models import DurationCell, ScoreCell
from metrics.rollup import roll_up
from metrics.verify import verify
from tests.factories import make_touchpoint
from tests.metrics.raw import DAY, answer, noon, ticket

migration = import_module("metrics.migrations.0002_grains_of_one_dimension")
pairs = import_module("metrics.migrations.0006_months_of_modes")


@pytest.mark.django_db
def test_cells_of_before_are_filled_up_and_taken_back() -> None:
    touchpoint = make_touchpoint()
    for days, score in ((0, 9), (1, 3), (40, 10)):
        answer(touchpoint, score, day=DAY - timedelta(days=days), mode="sms", segment="gold", location=f"sh-{days}")
        ticket(touchpoint, noon(DAY - timedelta(days=days)), seconds=60 * days, segment="gold")
        ticket(None, noon(DAY - timedelta(days=days)), seconds=3600)
    roll_up()
    with connection.schema_editor() as editor:
        editor.execute(pairs.CLEAR)
        migration.clear(None, editor)
    assert set(ScoreCell.objects.values_list("grain", flat=True)) == {0, 1, 2, 3}
    assert set(DurationCell.objects.values_list("grain", flat=True)) == {0, 1, 2, 3}
    assert not DurationCell.objects.filter(bucket=-1).exists()  # as before: a row per bucket everywhere
    assert verify() != []
    with connection.schema_editor() as editor:
        migration.fill(None, editor)
        editor.execute(pairs.FILL)
    assert verify() == []
