"""The widget's response rate: answered by shown, with its n, and nothing where nothing was counted."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone
from statsmodels.stats.proportion import proportion_confint

from metrics.display.bars import reach_row
from metrics.formulas import web_response_rate
from metrics.raw.reach import Reach, measure_reach
from surveys.models import Segment, WidgetCount
from tests.factories import make_organisation, make_touchpoint
from tests.metrics.raw import answer, exclude
from tests.metrics.test_views import SCORES, login, text_of

MONDAY = date(2026, 11, 16)


def count(touchpoint, day: date, **events: int) -> None:
    for event, many in events.items():
        WidgetCount.objects.create(touchpoint=touchpoint, day=day, event=event, count=many)


def measured(touchpoint, first: date, last: date):
    begin = datetime(first.year, first.month, first.day, tzinfo=UTC)
    return measure_reach(touchpoint.pk, first, last, begin, begin + (last - first) + timedelta(days=1))


def test_the_rate_is_a_share_of_views_with_wilsons_interval():
    rate = web_response_rate(8, 40)
    assert (rate.value, rate.n) == (20, 40)
    assert (rate.low / 100, rate.high / 100) == pytest.approx(proportion_confint(8, 40, method="wilson"), abs=1e-9)
    assert web_response_rate(0, 0).value is None
    assert web_response_rate(0, 7).value == 0
    assert web_response_rate(7, 7).value == 100
    assert (web_response_rate(8, 7).value, web_response_rate(8, 7).n) == (None, 7)
    with pytest.raises(ValueError, match="below 0"):
        web_response_rate(-1, 7)


@pytest.mark.django_db
def test_weeks_begin_on_monday_and_hold_the_webs_own_answers():
    make_organisation()
    touchpoint, other = make_touchpoint(), make_touchpoint()
    count(touchpoint, MONDAY - timedelta(days=1), shown=10, started=2)
    count(touchpoint, MONDAY, shown=30, started=9, dismissed=12)
    count(touchpoint, MONDAY + timedelta(days=6), shown=10)
    count(other, MONDAY, shown=500)
    for mode in ("web", "web", "email", "link"):
        answer(touchpoint, 9, day=MONDAY + timedelta(days=2), mode=mode)
    exclude(answer(touchpoint, 9, day=MONDAY, mode="web"))
    answer(touchpoint, 9, day=MONDAY - timedelta(days=1), mode="web")
    total, periods = measured(touchpoint, MONDAY - timedelta(days=10), MONDAY + timedelta(days=6))
    assert [start.isoformat() for start, _reach in periods] == ["2026-11-16", "2026-11-09", "2026-11-02"]
    assert [(part.views, part.answered) for _start, part in periods] == [
        ({"shown": 40, "started": 9, "dismissed": 12}, 2),
        ({"shown": 10, "started": 2}, 1),
        (None, 0),
    ]
    assert (total.shown, total.of("started"), total.answered, total.rate.n) == (50, 11, 3, 50)


@pytest.mark.django_db
def test_a_long_period_is_told_by_months():
    touchpoint = make_touchpoint()
    count(touchpoint, date(2026, 1, 31), shown=10)
    count(touchpoint, date(2026, 11, 1), shown=20)
    _total, periods = measured(touchpoint, date(2026, 1, 15), date(2026, 11, 20))
    assert [start.month for start, _reach in periods] == [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert {start.month: part.shown for start, part in periods if part.views} == {1: 10, 11: 20}


def test_what_was_not_counted_is_a_dash_and_too_few_are_words():
    nothing = reach_row("", Reach(None, 3))
    assert {nothing.shown, nothing.started, nothing.answered, nothing.dismissed, nothing.rate} == {"–"}
    few = reach_row("", Reach({"shown": 4}, 2))
    assert (few.shown, few.started, few.rate, few.n_text) == ("4", "0", "n = 4, too few", "")
    enough = reach_row("", Reach({"shown": 5}, 2))
    assert (enough.rate, enough.n_text) == ("40%", "n = 5, low n")
    assert "12% to 77%" in enough.whisker.text
    assert reach_row("", Reach({"shown": 5}, 6)).rate == "–"


@pytest.mark.django_db
def test_a_touchpoints_page_shows_the_widgets_rate_with_its_n():
    organisation = make_organisation()
    touchpoint = make_touchpoint("checkout")
    client = login(SCORES)
    assert "The widget" not in text_of(client.get("/admin/touchpoints/checkout/"))
    today = organisation.day_of(timezone.now())
    count(touchpoint, today, shown=1234, started=99, dismissed=321)
    page = text_of(client.get("/admin/touchpoints/checkout/"))
    assert "The widget 0% n = 1,234 Of those who were shown it, this share answered." in page
    assert "1,234 99 0 321 0% n = 1,234" in page
    assert "– – – – –" in page  # weeks before it was there
    Segment.objects.create(name="gold")
    for narrowed in ("?segment=gold", "?mode=email"):
        assert "Of those who were shown it" not in text_of(client.get(f"/admin/touchpoints/checkout/{narrowed}"))
    assert "Of those who were shown it" in text_of(client.get("/admin/touchpoints/checkout/?mode=web"))
