"""The two commands tell the truth: `verify_rollups` by its exit code, `rebuild_rollups` by making it 0."""

from datetime import date
from io import StringIO

import pytest
from django.core.management import call_command
from django.db.models import F

from metrics.grains import DURATION_CUTS, SCORE_CUTS
from metrics.models import DurationCell, Grain, ScoreCell
from metrics.rollup import roll_up
from metrics.verify import verify
from surveys.models import Answer, ScoreLedger
from tests.factories import make_organisation, make_touchpoint
from tests.metrics.raw import DAY, answer, noon, score_question, ticket

pytestmark = pytest.mark.django_db(transaction=True)


def run_verify() -> tuple[int, list[str]]:
    """Exit code and printed lines."""
    out = StringIO()
    try:
        call_command("verify_rollups", stdout=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue().splitlines()
    return 0, out.getvalue().splitlines()


def test_agreement_is_0_differences_and_exit_0() -> None:
    assert run_verify() == (0, ["0 differences"])
    answer(make_touchpoint(), 9)
    assert run_verify() == (0, ["0 differences"])
    roll_up()
    assert run_verify() == (0, ["0 differences"])


def test_a_difference_is_named_with_its_cell_and_its_counter_and_exit_is_1() -> None:
    response = answer(make_touchpoint(), 9, segment="gold", location="sh-014")
    roll_up()
    Answer.objects.filter(response=response).update(score=4)
    code, lines = run_verify()
    assert code == 1
    # Days and months: full, total, by mode, segment, location; months by mode and segment, and by mode and location.
    assert lines[-1] == "12 differences"
    assert "scorecell grain=day_full day=2026-11-18" in lines[0]
    assert "mode=email segment=gold location=sh-014: s4 -1, s9 +1" in lines[0]


def test_a_cell_that_nothing_stands_behind_and_one_that_is_missing_are_differences() -> None:
    touchpoint = make_touchpoint()
    answer(touchpoint, 9)
    ticket(touchpoint, noon(DAY), seconds=60)
    roll_up()
    stray = ScoreCell.objects.get(grain=Grain.MONTH_TOTAL)
    ScoreCell.objects.filter(grain=Grain.DAY_TOTAL).delete()
    ScoreCell.objects.create(
        grain=Grain.MONTH_TOTAL, day=stray.day.replace(month=1), touchpoint_id=touchpoint.pk, question_id=stray.question_id,
        mode="", segment="", location="", s0=2,
    )  # fmt: skip
    assert [(one.key["grain"], one.excess) for one in verify()] == [
        ("day_total", {"s9": -1}),
        ("month_total", {"s0": 2}),
    ]


def test_a_cell_of_zeros_is_as_good_as_none() -> None:
    ScoreCell.objects.create(grain=0, day=DAY, touchpoint_id=1, question_id=1, mode="email", segment="", location="")
    assert verify() == []


def test_rebuilding_makes_them_agree_in_the_present_time_zone() -> None:
    make_organisation(time_zone="UTC")
    touchpoint = make_touchpoint()
    answer(touchpoint, 9)
    ticket(touchpoint, noon(DAY), seconds=60)
    roll_up()
    ScoreCell.objects.update(s9=5)
    make_organisation(time_zone="Pacific/Kiritimati")
    out = StringIO()
    call_command("rebuild_rollups", stdout=out)
    assert "2 rows had stored days" in out.getvalue()
    assert run_verify() == (0, ["0 differences"])
    assert ScoreCell.objects.filter(day=DAY, s9__gt=0).count() == 0


def test_a_difference_is_found_in_months_that_only_cells_only_the_ledger_or_only_raw_know() -> None:
    touchpoint = make_touchpoint()
    question = score_question(touchpoint).pk
    days = [date(2019, 3, 4), date(2022, 7, 1), date(2025, 12, 31)]
    ScoreCell.objects.create(grain=Grain.DAY_TOTAL, day=days[0], touchpoint_id=1, question_id=question, s0=1)
    ScoreLedger.objects.create(
        day=days[1], touchpoint_id=1, question_id=question, mode="sms", segment="", location="", score=5, delta=1
    )
    answer(touchpoint, 9, day=days[2])
    ScoreLedger.objects.filter(day=days[2]).delete()
    found = [(one.key["day"], one.excess) for one in verify() if one.key["grain"] == "day_total"]
    assert found == [("2019-03-04", {"s0": 1}), ("2022-07-01", {"s5": 1}), ("2025-12-31", {"s9": -1})]


@pytest.mark.parametrize("model", [ScoreCell, DurationCell])
def test_a_wrong_counter_is_found_in_every_grain(model: type[ScoreCell] | type[DurationCell]) -> None:
    touchpoint = make_touchpoint()
    answer(touchpoint, 9, segment="gold", location="sh-014")
    ticket(touchpoint, noon(DAY), seconds=60, segment="gold", location="sh-014")
    roll_up()
    counter, cuts = ("s9", SCORE_CUTS) if model is ScoreCell else ("histogram", DURATION_CUTS)
    found = (counter, 1) if model is ScoreCell else ("bucket 0", 1)
    held = {Grain(grain) for grain in model._default_manager.values_list("grain", flat=True)}
    assert held == {grain for cut in cuts for grain in (cut.day, cut.month)}
    for grain in held:
        cells = model._default_manager.filter(grain=grain)
        cells.update(**{counter: F(counter) + 1})
        assert {(one.key["grain"], *one.excess.items()) for one in verify()} == {(grain.name.lower(), found)}
        cells.update(**{counter: F(counter) - 1})
    assert verify() == []
