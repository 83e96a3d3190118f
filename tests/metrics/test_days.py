"""A changed time zone moves stored days by the ledger, so that nothing ever differs."""

from datetime import timedelta

import pytest

from metrics.days import redate
from metrics.models import Grain, ScoreCell
from metrics.rollup import roll_up
from metrics.verify import verify
from surveys.models import Response, Ticket
from tests.factories import make_organisation, make_touchpoint
from tests.metrics.raw import DAY, answer, change, exclude, noon, reopen, ticket

pytestmark = pytest.mark.django_db

TOMORROW = DAY + timedelta(days=1)


def test_answers_and_tickets_count_under_the_day_of_the_new_zone() -> None:
    make_organisation(time_zone="UTC")
    touchpoint = make_touchpoint()
    answer(touchpoint, 9)
    change(answer(touchpoint, 1), 2)
    exclude(answer(touchpoint, 5))
    ticket(touchpoint, noon(DAY), seconds=60)
    ticket(touchpoint, noon(DAY))
    roll_up()
    assert redate() == 0
    make_organisation(time_zone="Pacific/Kiritimati")  # UTC+14: noon is two o'clock of the next day
    assert redate() == 3 + 2
    assert verify() == []
    roll_up()
    assert verify() == []
    held = {
        cell.day: (cell.s2, cell.s9) for cell in ScoreCell.objects.filter(grain=Grain.DAY_TOTAL) if cell.s2 or cell.s9
    }
    assert held == {TOMORROW: (1, 1)}
    assert set(Response.objects.values_list("day", flat=True)) == {TOMORROW}
    assert set(Ticket.objects.values_list("day_opened", "day_resolved")) == {(TOMORROW, TOMORROW), (TOMORROW, None)}
    assert redate() == 0


def test_what_changes_after_the_move_gives_back_what_the_move_added() -> None:
    make_organisation(time_zone="UTC")
    touchpoint = make_touchpoint()
    corrected, reopened = answer(touchpoint, 9), ticket(touchpoint, noon(DAY), seconds=60)
    roll_up()
    make_organisation(time_zone="Pacific/Kiritimati")
    redate()
    change(corrected, 3)
    reopen(reopened)
    roll_up()
    assert verify() == []
