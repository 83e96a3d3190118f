"""Decisions on trends and beside changes: which ones, where along the axis, and on which pages."""

import csv
import io
from datetime import date, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from metrics.decision_pages import MOST_NEAR
from metrics.decisions import decided_near, markers
from metrics.display.trends import Marker, place_markers
from metrics.frame import Frame
from metrics.models import Decision
from metrics.rollup import roll_up
from metrics.slices import Interval, Slice
from surveys.models import Journey, Touchpoint
from tests.factories import make_organisation, make_rule, make_touchpoint
from tests.metrics.invited import send
from tests.metrics.raw import ticket
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


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("ago", "previous", "year", "alone"),
    [
        (-1, None, None, None),  # after the last day
        (0, "shown", "shown", "shown"),
        (9, "shown", "shown", "shown"),  # the first day
        (10, "before", "between", None),
        (19, "before", "between", None),
        (20, None, "between", None),
        (364, None, "between", None),
        (365, None, "before", None),
        (374, None, "before", None),
        (375, None, None, None),
    ],
)
def test_what_may_stand_behind_a_change_lies_in_both_periods_or_between(
    rf, django_assert_num_queries, ago, previous, year, alone
):
    make_organisation()
    decide("made", make_touchpoint("delivery"), day=DAY - timedelta(days=ago))
    decide("elsewhere", make_touchpoint("shop"), day=DAY)
    frame = Frame.load(None, timezone.now())
    slice_ = Slice(touchpoints=frozenset(["delivery"]), day_from=DAY - timedelta(days=9), day_to=DAY)

    def when(before: tuple[date, date] | None) -> str | None:
        with django_assert_num_queries(0):
            near = decided_near(frame, slice_, before)
        assert {row.title for row, _when in near} <= {"made"}
        return near[0][1] if near else None

    assert when((DAY - timedelta(days=19), DAY - timedelta(days=10))) == previous
    assert when((DAY - timedelta(days=374), DAY - timedelta(days=365))) == year
    assert when(None) == alone


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


@pytest.mark.parametrize(("first", "at"), [(DAY, -0.5), (DAY - timedelta(days=1), 0.5)])
def test_bars_reach_half_a_period_further_than_a_line(first, at):
    held = [first, first + timedelta(days=1)]
    ((_index, found, _mark),) = place_markers([marker(DAY)], held, "day", margin=0.5)
    assert found == at


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


@pytest.mark.django_db
def test_bands_over_time_bear_the_numbers_of_the_trend(measured):
    context = login(SCORES, ANSWERS).get("/admin/touchpoints/delivery/").context_data
    (line,), (bars,) = context["trend"].chart["marks"], context["bands"]["marks"]
    assert (bars["number"], bars["text"], bars["period"]) == (line["number"], line["text"], line["period"])


@pytest.fixture
def worked() -> Decision:
    """Tickets and invitations at a desk twelve and two days ago, a decision there between them, and one at another place."""
    make_organisation()
    desk, now = (
        make_touchpoint("desk", journey=Journey.objects.create(slug="help", name={"en": "Help"})),
        timezone.now(),
    )
    rule = make_rule(desk)
    for number in range(12):
        at = now - timedelta(days=12 if number % 2 else 2)
        ticket(desk, at, seconds=3600)
        send(desk, at=at, rule=rule)
    roll_up()
    decide("Elsewhere", make_touchpoint("shop"), day=now.date() - timedelta(days=3))
    return decide("A shorter menu", desk, day=now.date() - timedelta(days=4))


def rows_of(client: Any, name: str, table: str, *args: str, **query: str) -> list[list[str]]:
    """Of a file: the heads and what is below them."""
    response = client.get(reverse(f"{name}_csv", args=[*args, table]), query)
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    lines = list(csv.reader(io.StringIO(text)))
    return lines[lines.index([]) + 1 :]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("ttr_workload", "periods"), ("ttr_cohorts", "cohorts"), ("response_rates", "rates"), ("response_load", "objections"),
    ],
)  # fmt: skip
def test_trends_of_tickets_and_invitations_show_decisions_too(worked, name, table):
    client = login(SCORES, ANSWERS)
    query = {} if name == "response_load" else {"touchpoint": "desk"}  # which no filter narrows
    response = client.get(reverse(name), query)
    marks = response.context_data["chart"]["marks"]
    assert [mark["text"].split(": ")[1] for mark in marks] == ["A shorter menu"] + ["Elsewhere"] * (not query)
    assert [mark["number"] for mark in marks] == [1, 2][: len(marks)]
    assert text_of(response).count("A shorter menu") == 2  # the list, and the row of its period
    assert f'<a href="/admin/decisions/{worked.pk}/">' in response.content.decode()
    assert not any("menu" in cell for row in rows_of(client, name, table) for cell in row)  # a file's periods stay bare


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "args"), [("journey", ["help"]), ("channels", []), ("ttr", [])])
def test_pages_on_changes_list_what_was_decided(worked, name, args):
    client, today = login(SCORES), timezone.now().date()
    place = worked.touchpoints.get()
    decide("Long before", place, day=today - timedelta(days=40))
    decide("In the days before", place, day=today - timedelta(days=10))
    query = {"period": "7d", "channel": place.channel, "touchpoint": "desk"}
    heads, first, second = rows_of(client, name, "decisions", *args, **query)
    assert heads == ["Decision", "Holds since", "Where", "Channel", "Days"]
    assert (first[0], first[2:]) == ("A shorter menu", ["Desk", "Website", "in these days"])
    assert (second[0], second[-1]) == ("In the days before", "in the days compared with")
    page = client.get(reverse(name, args=args), query)
    shown = text_of(page)
    assert "Decisions in these days" in shown
    assert f'href="/admin/decisions/{worked.pk}/?' in page.content.decode()
    assert shown.index("A shorter menu") < shown.index("In the days before")
    assert "Long before" not in shown
    alone = rows_of(client, name, "decisions", *args, **query, compare="none")
    assert [row[0] for row in alone] == ["Decision", "A shorter menu"]
    assert len(alone[0]) == 4
    assert "Record a decision" not in shown
    assert "Record a decision" in text_of(login(SCORES, "metrics.add_decision").get(reverse(name, args=args), query))


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "args"), [("journey", ["help"]), ("channels", []), ("ttr", [])])
def test_decisions_beside_a_change_cost_no_query_and_do_not_flood_the_page(worked, name, args):
    client = login(SCORES, ANSWERS)

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(reverse(name, args=args)).status_code == 200
        return len([one for one in queries if not one["sql"].startswith(("SAVEPOINT", "RELEASE"))])

    before = cost()
    day = timezone.now().date()
    for number in range(MOST_NEAR + 2):
        decide(f"Number {number}", worked.touchpoints.get(), day=day)
    assert cost() == before <= 15
    rows = rows_of(client, name, "decisions", *args, touchpoint="desk")
    assert len(rows) == 1 + MOST_NEAR + 1
    assert rows[-1] == ["3 older decisions are not listed."]


@pytest.mark.django_db
def test_where_nothing_was_decided_the_page_says_so(worked):
    worked.delete()
    shown = text_of(login(SCORES).get("/admin/journeys/help/"))
    assert "Decisions in these days None took effect at these touchpoints" in shown
