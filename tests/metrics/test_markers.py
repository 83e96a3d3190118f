"""Decisions on trends: which ones, and where along the axis."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from metrics.decisions import markers
from metrics.display.trends import Marker, place_markers
from metrics.frame import Frame
from metrics.models import Decision
from metrics.rollup import roll_up
from metrics.slices import Interval, Slice
from surveys.models import Journey, Touchpoint
from tests.factories import make_organisation, make_touchpoint
from tests.metrics.test_views import ANSWERS, SCORES, answers, login, text_of

DAY = date(2026, 11, 18)  # a Wednesday


def decide(title: str, *touchpoints: Touchpoint, day: date = DAY, **fields: Any) -> Decision:
    decision = Decision.objects.create(title=title, day=day, **fields)
    decision.touchpoints.set(touchpoints)
    return decision


def marker(day: date) -> Marker:
    return Marker(day, "x", [], "")


# --- Which ones -------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_markers_are_the_decisions_of_the_slice_and_cost_no_query(rf, django_assert_num_queries):
    make_organisation()
    buying = Journey.objects.create(slug="buying", name={"en": "Buying"})
    delivery, shop = make_touchpoint("delivery", journey=buying), make_touchpoint("shop", channel="on_site")
    decide("first", delivery, shop, day=DAY - timedelta(days=1))
    decide("second", shop)
    decide("taken back", delivery, withdrawn=True)
    request = rf.get("/")
    request.user = AnonymousUser()
    frame = Frame.load(request, timezone.now())

    def titles(**narrowed: Any) -> list[str]:
        with django_assert_num_queries(0):
            return [one.title for one in markers(frame, Slice(**narrowed))]

    assert titles() == ["first", "second"]
    assert titles(touchpoints=frozenset(["delivery"])) == ["first"]
    assert titles(journeys=frozenset(["buying"])) == ["first"]
    assert titles(channels=frozenset(["on_site"])) == ["first", "second"]
    assert titles(channels=frozenset(["on_site"]), segments=frozenset(["gold"])) == ["first", "second"]
    assert titles(channels=frozenset(["app"])) == []
    assert titles(day_from=DAY) == ["second"]
    assert titles(day_from=DAY - timedelta(days=1), day_to=DAY - timedelta(days=1)) == ["first"]
    assert titles(day_from=DAY + timedelta(days=1)) == []
    assert markers(frame, Slice())[0].where == "Delivery, Shop"


# --- Where ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "held", "day", "expected"),
    [
        # What is right of a line came after it: the line of a period's first day stands before that period.
        ("day", [DAY, DAY + timedelta(days=1)], DAY + timedelta(days=1), (1, 0.5)),
        ("day", [DAY, DAY + timedelta(days=1)], DAY, (0, 0.0)),  # nothing is drawn before the axis begins
        ("week", [date(2026, 11, 9), date(2026, 11, 16), date(2026, 11, 23)], date(2026, 11, 16), (1, 0.5)),
        ("week", [date(2026, 11, 9), date(2026, 11, 16), date(2026, 11, 23)], date(2026, 11, 22), (1, 1.357)),
        ("week", [date(2026, 11, 9), date(2026, 11, 16)], date(2026, 11, 22), (1, 1.0)),
        ("month", [date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)], date(2026, 2, 15), (1, 1.0)),
        ("quarter", [date(2026, 7, 1), date(2026, 10, 1)], date(2026, 9, 30), (0, 0.489)),
    ],
)
def test_a_marker_stands_within_the_period_that_holds_its_day(
    interval: Interval, held: list[date], day: date, expected: tuple[int, float]
):
    ((index, at, mark),) = place_markers([marker(day)], held, interval)
    assert (index, at, mark.number) == (*expected, 1)


@pytest.mark.parametrize("day", [date(2026, 11, 15), date(2026, 11, 30)])
def test_a_marker_outside_the_periods_is_not_drawn(day):
    assert place_markers([marker(day)], [date(2026, 11, 16), date(2026, 11, 23)], "week") == []


def test_a_trend_without_periods_has_no_markers():
    assert place_markers([marker(DAY)], [], "day") == []


@pytest.fixture
def measured() -> Decision:
    """Answers at one touchpoint twelve and two days ago, and a decision between them."""
    make_organisation()
    delivery = make_touchpoint("delivery")
    answers(delivery, [10] * 8, days_ago=12)
    answers(delivery, [9] * 8, days_ago=2)
    roll_up()
    return decide("Parcels <b>by noon</b>", delivery, day=timezone.now().date() - timedelta(days=6))


# --- On pages ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_trend_shows_decisions_in_chart_list_and_table(measured):
    response = login(SCORES, ANSWERS).get("/admin/touchpoints/delivery/")
    assert text_of(response).count("Parcels &lt;b&gt;by noon&lt;/b&gt;") == 2  # the list, and the row of its period
    assert f'<a href="/admin/decisions/{measured.pk}/">' in response.content.decode()
    (mark,) = response.context_data["trend"].chart["marks"]
    assert (mark["number"], mark["text"].split(": ")[1]) == (1, "Parcels <b>by noon</b>")


@pytest.mark.django_db
def test_the_overviews_small_lines_show_decisions_with_a_list_below(measured):
    response = login(SCORES, ANSWERS).get("/admin/")
    assert text_of(response).count("Parcels &lt;b&gt;by noon&lt;/b&gt;") == 1
    assert f'<a href="/admin/decisions/{measured.pk}/">' in response.content.decode()
    (card,) = response.context_data["cards"]
    assert len(card.spark.marks) == 1
    assert "<path d=" in response.content.decode()
