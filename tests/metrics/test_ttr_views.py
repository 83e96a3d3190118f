"""The staff's pages on tickets: known answers, two clocks never confused, cohorts apart from workload, files that hold the page."""

import csv
import io
import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from metrics import formulas
from metrics.days import redate
from metrics.display.tables import BOM
from metrics.rollup import roll_up
from surveys.models import InteractionEvent, Invitation, Organisation, Response, Segment, Ticket
from surveys.worktime import WEEKDAYS
from tests.factories import (
    make_customer,
    make_event,
    make_instrument,
    make_invitation,
    make_organisation,
    make_touchpoint,
)
from tests.metrics.raw import answer, noon, ticket
from tests.metrics.test_views import ANSWERS, SCORES, login

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
PAGES = ("ttr", "ttr_workload", "ttr_cohorts", "ttr_experience")
SEES_TICKETS, PEOPLE = "surveys.view_ticket", "surveys.view_customer"
# ORACLES.md: Freireich 1963, weeks in remission taken as hours; + is still open.
RESOLVED = (6, 6, 6, 7, 10, 13, 16, 22, 23)
WAITING = (6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35)


@pytest.fixture
def client_of_scores():
    make_organisation(time_zone="UTC")
    return login(SCORES, ANSWERS, SEES_TICKETS, PEOPLE)


def freireich(touchpoint: Any, now: Any) -> None:
    for hours in RESOLVED:
        ticket(touchpoint, now - 40 * HOUR, seconds=hours * 3600)
    for hours in WAITING:
        ticket(touchpoint, now - hours * HOUR)
    roll_up()


def page(client: Any, name: str = "ttr", **query: str) -> str:
    response = client.get(reverse(name), query)
    assert response.status_code == 200, response.content.decode()[:2000]
    return response.content.decode()


def file_of(client: Any, name: str, table: str, **query: str) -> list[list[str]]:
    response = client.get(reverse(f"{name}_csv", args=[table]), query)
    assert response.status_code == 200
    text = b"".join(response.streaming_content).decode().removeprefix(BOM)
    lines = list(csv.reader(io.StringIO(text)))
    return lines[lines.index([]) + 1 :]


def said(shown: str) -> str:
    """What a reader sees: without tags, spaces folded."""
    content = re.sub(r"(?s)<script\b.*?</script>", " ", shown.split('id="content"', 1)[1])
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", content))


def test_freireichs_tickets_have_the_medians_that_are_published(client_of_scores):
    """Kaplan–Meier 23 where open ones count; the resolved alone would say 10."""
    freireich(make_touchpoint("desk"), timezone.now())
    shown = said(page(client_of_scores))
    cohort, resolved = shown.split("Median of the tickets resolved")
    assert "n = 21, low n" in cohort
    assert re.search(r"(22 h 5\d|23 h \d+) min n = 21", cohort), cohort[-600:]
    assert "Of 21 opened, 12 are still open" in shown
    assert re.search(r"(9 h 5\d|10 h \d+) min n = 9, low n", resolved)
    curve = {float(row[0]): float(row[1]) for row in _numbers(file_of(client_of_scores, "ttr", "curve"))}
    # S after 8, 12 and 24 hours: that of the steps at 7, 10 and 23.
    for after, wanted in ((8 * 3600, 80.7), (12 * 3600, 75.3), (24 * 3600, 44.8)):
        assert curve[after] == pytest.approx(wanted, abs=0.05)


def _numbers(rows: list[list[str]]) -> list[list[str]]:
    """The rows of the curve's file with their first column in seconds."""
    units = {"min": 60, "h": 3600, "d": 86_400}
    found = []
    for row in rows[1:]:
        if match := re.fullmatch(r"(\d+) (min|h|d)", row[0]):
            found.append([str(int(match[1]) * units[match[2]]), *row[1:]])
    return found


def test_workload_and_cohort_are_never_mixed(client_of_scores):
    """Opened within the days and resolved after them, and the other way round."""
    desk = make_touchpoint("desk")
    now = timezone.now()
    for _number in range(6):
        ticket(desk, now - 20 * DAY, seconds=15 * 86_400)  # opened before, resolved within
        ticket(desk, now - 6 * DAY)  # opened within, open
    roll_up()
    shown = said(page(client_of_scores, period="7d"))
    cohort, resolved = shown.split("Median of the tickets resolved")
    assert "Of 6 opened, 6 are still open" in cohort
    assert "not reached yet" in cohort
    assert "15 d n = 6, low n" in resolved
    workload = file_of(client_of_scores, "ttr_workload", "by-touchpoint", period="7d")
    assert workload[1][:2] == ["Desk", "6"]
    cohorts = file_of(client_of_scores, "ttr_cohorts", "by-touchpoint", period="7d")
    assert cohorts[1][:3] == ["Desk", "6", "6"]


def test_each_clock_says_its_name_and_its_own_durations(client_of_scores):
    desk = make_touchpoint("desk")
    make_organisation(time_zone="UTC", working_hours={day: ["09:00-17:00"] for day in WEEKDAYS})
    opened = noon(timezone.now().date() - 4 * DAY)
    for _number in range(6):
        ticket(desk, opened, seconds=2 * 86_400)  # two days on: sixteen working hours
    roll_up()
    assert "2 d" in said(page(client_of_scores))
    business = said(page(client_of_scores, clock="business"))
    assert "16 h" in business
    assert "2 d" not in business.split("Open now")[0]
    assert "(business time)" in business
    assert "(calendar time)" not in business
    assert _head(client_of_scores, "curve", clock="business")["Durations"] == "seconds, business time"
    assert _head(client_of_scores, "curve")["Durations"] == "seconds, calendar time"
    trend = said(page(client_of_scores, "ttr_workload", clock="business"))
    assert "Targets are hours of the calendar" in trend


def _head(client: Any, table: str, **query: str) -> dict[str, str]:
    response = client.get(reverse("ttr_csv", args=[table]), query)
    text = b"".join(response.streaming_content).decode().removeprefix(BOM)
    return {row[0]: row[1] for row in csv.reader(io.StringIO(text)) if len(row) == 2}


def test_tickets_from_before_there_were_hours_are_missed_until_a_rebuild(client_of_scores):
    desk = make_touchpoint("desk")
    for _number in range(6):
        ticket(desk, timezone.now() - 3 * DAY, seconds=3600)
    roll_up()
    make_organisation(time_zone="UTC", working_hours={day: ["00:00-24:00"] for day in WEEKDAYS})
    for name in PAGES:
        assert "6 tickets resolved in these days have no business time yet" in page(
            client_of_scores, name, clock="business"
        )
        assert "have no business time yet" not in page(client_of_scores, name)
    redate()
    roll_up()
    shown = said(page(client_of_scores, clock="business"))
    assert "have no business time yet" not in shown
    assert "n = 6" in shown


def test_without_hours_the_page_says_where_to_set_them(client_of_scores):
    ticket(make_touchpoint("desk"), timezone.now() - HOUR)
    shown = page(client_of_scores, clock="business")
    assert "Business time is told once" in shown
    assert "Business time</a>" not in shown
    assert "Set working hours" not in shown  # who cannot open the settings is not led there
    assert "Set working hours" in page(login(SCORES, "surveys.view_organisation"))


def test_open_tickets_stand_by_age_and_the_oldest_first(client_of_scores):
    desk = make_touchpoint("desk")
    make_organisation(time_zone="UTC", working_hours={day: ["00:00-24:00"] for day in WEEKDAYS})
    now = timezone.now()
    for hours in (0.5, 2, 3, 20, 50, 100, 300, 400):
        ticket(desk, now - hours * HOUR)
    answered = ticket(desk, now - 200 * HOUR, reopened=2)
    Ticket.objects.filter(pk=answered.pk).update(first_response_at=now - 199 * HOUR)
    for clock, counts in (("", ["1", "2", "1", "1", "1", "3"]), ("business", ["1", "2", "0", "1", "0", "5"])):
        ages = file_of(client_of_scores, "ttr", "ages", clock=clock)
        assert [row[1] for row in ages[1:7]] == counts, clock
    oldest = file_of(client_of_scores, "ttr", "oldest")
    assert oldest[0] == [
        "Ticket",
        "Touchpoint",
        "Opened at",
        "Age, calendar time",
        "Age, business time",
        "First response",
    ]
    assert len(oldest) == 10
    assert [float(row[3]) // 3600 for row in oldest[1:4]] == [400, 300, 200]
    assert oldest[3][5] == "responded"
    assert "reopened 2 ×" in oldest[3][0]
    shown = page(client_of_scores)
    assert reverse("admin:surveys_ticket_change", args=[answered.pk]) in shown
    assert "Of the 9 tickets open now, 8 wait for their first response" in said(shown)


def test_whoever_may_not_see_tickets_sees_no_list_of_them():
    make_organisation(time_zone="UTC")
    ticket(make_touchpoint("desk"), timezone.now() - HOUR)
    client = login(SCORES)
    assert "Open for longest" not in page(client)
    assert client.get(reverse("ttr_csv", args=["oldest"])).status_code == 404
    assert login(ANSWERS).get(reverse("ttr")).status_code == 403


def test_tickets_have_no_mode_and_the_page_says_so(client_of_scores):
    desk = make_touchpoint("desk")
    for _number in range(5):
        ticket(desk, timezone.now() - DAY, seconds=60)
    roll_up()
    shown = page(client_of_scores, mode="email")
    assert "Does not apply on this page: Collected by" in shown
    assert "n = 5" in said(shown)


def test_a_target_is_held_against_each_touchpoints_own_tickets(client_of_scores):
    quick, slow, none = (
        make_touchpoint("quick", targets={"ttr_hours": 4}),
        make_touchpoint("slow", targets={"ttr_hours": 48}),
        make_touchpoint("none"),
    )
    opened = timezone.now() - 10 * DAY
    for place in (quick, slow, none):
        for hours in (1, 2, 3, 8, 24, 72):
            ticket(place, opened, seconds=hours * 3600)
    roll_up()
    rows = file_of(client_of_scores, "ttr_workload", "targets")
    assert [(row[0], float(row[1])) for row in rows[1:3]] == [("Quick", 4 * 3600), ("Slow", 48 * 3600)]
    assert [float(row[2]) for row in rows[1:3]] == [50, pytest.approx(83.33, abs=0.01)]
    shown = said(page(client_of_scores, "ttr_workload"))
    assert "Within target 66.7%" in shown
    low, high = formulas.wilson(8, 12)
    assert f"95% interval: {100 * low:.1f}% to {100 * high:.1f}%" in shown


def test_parts_add_up_to_the_whole(client_of_scores):
    shop, desk = make_touchpoint("shop", channel="on_site"), make_touchpoint("desk", channel="call_center")
    Segment.objects.create(name="gold")
    opened = timezone.now() - 3 * DAY
    for number in range(12):
        place = (shop, desk, None)[number % 3]
        ticket(place, opened, seconds=3600 * (number + 1), segment=("gold", "")[number % 2], reopened=number % 4 == 0)
        ticket(place, opened, segment=("gold", "")[number % 2])
    roll_up()
    for table in ("by-touchpoint", "by-channel", "by-segment", "periods"):
        rows = file_of(client_of_scores, "ttr_workload", table)
        assert sum(int(row[1]) for row in rows[1:] if len(row) > 2 and row[1].isdigit()) == 12, table
    for table in ("by-touchpoint", "by-channel", "by-segment", "cohorts"):
        rows = [row for row in file_of(client_of_scores, "ttr_cohorts", table)[1:] if len(row) > 2 and row[1].isdigit()]
        assert (sum(int(row[1]) for row in rows), sum(int(row[2]) for row in rows)) == (24, 12), table
    narrowed = file_of(client_of_scores, "ttr_cohorts", "by-touchpoint", segment="gold", channel="on_site")
    assert narrowed[1][:3] == ["Shop", "4", "2"]
    assert [row[0] for row in narrowed[2:] if len(row) > 2] == []


# --- Experience against operational data ------------------------------------------------------------------------------


def about(touchpoint: Any, score: int, seconds: int, **facts: Any) -> Response:
    """An answer that was asked for about a ticket that took so long, given an hour after it was resolved."""
    now = timezone.now()
    customer = make_customer()
    made = ticket(touchpoint, now - 9 * DAY, seconds=seconds)
    Ticket.objects.filter(pk=made.pk).update(customer=customer)
    event = make_event(customer, ticket=made, ticket_event="ticket.resolved", touchpoint=touchpoint, facts=facts)
    given = answer(touchpoint, score, day=now.date())
    Response.objects.filter(pk=given.pk).update(
        invitation=make_invitation(
            customer=customer, event=event, touchpoint=touchpoint, status=Invitation.Status.ANSWERED
        ),
        customer=customer,
        responded_at=now - HOUR,
    )
    return given


def test_scores_stand_by_how_long_the_ticket_took(client_of_scores):
    desk = make_touchpoint("desk")
    for score in (10, 10, 9, 9, 8, 10):
        about(desk, score, seconds=1800)
    for score in (0, 3, 6, 9, 5, 2):
        about(desk, score, seconds=5 * 86_400)
    about(desk, 10, seconds=7200)
    rows = file_of(client_of_scores, "ttr_experience", "scores-by-ttr")
    held = {row[0]: row[1] for row in rows[1:7]}
    assert float(held["under 1 h"]) == pytest.approx(100 * 5 / 6)
    assert float(held["3 d to 7 d"]) == pytest.approx(100 * (1 - 5) / 6)
    assert held["1 h to 4 h"] == ""  # one answer says nothing
    shown = said(page(client_of_scores, "ttr_experience"))
    assert "n = 1, too few" in shown
    assert "n = 6, low n" in shown


def test_an_answer_on_a_form_finds_its_ticket_by_customer_and_reference(client_of_scores):
    desk = make_touchpoint("desk", make_instrument("easy", "ces", 7))
    now = timezone.now()
    customer, other = make_customer(), make_customer()
    for number, owner in enumerate((customer, customer, customer, customer, customer, other)):
        made = ticket(desk, now - 3 * DAY, seconds=600)
        Ticket.objects.filter(pk=made.pk).update(customer=customer, reference=f"R-{number}", source="/other")
        given = answer(desk, 7, day=now.date())
        Response.objects.filter(pk=given.pk).update(customer=owner, reference=f"R-{number}", responded_at=now)
    # Given before its ticket was resolved: it says nothing of how long that took.
    late = ticket(desk, now - 3 * DAY, seconds=3 * 86_400 - 60)
    Ticket.objects.filter(pk=late.pk).update(customer=customer, reference="R-9", source="/other")
    given = answer(desk, 1, day=now.date())
    Response.objects.filter(pk=given.pk).update(customer=customer, reference="R-9", responded_at=now - HOUR)
    rows = file_of(client_of_scores, "ttr_experience", "scores-by-ttr")
    assert rows[0][1] == "CES"
    assert float(rows[1][1]) == 7
    assert "n = 5" in said(page(client_of_scores, "ttr_experience"))


def test_scores_stand_by_quarters_of_a_fact_that_the_manager_chooses(client_of_scores):
    desk = make_touchpoint("desk")
    for number in range(24):
        about(desk, 10 - number // 3, seconds=600, wait_seconds=60 * (number + 1), bags=number % 2)
    rows = file_of(client_of_scores, "ttr_experience", "scores-by-fact")
    assert [row[0] for row in rows[1:5]] == [
        "least (1 min to 6 min)", "below the middle (7 min to 12 min)", "above the middle (13 min to 18 min)",
        "most (19 min to 24 min)",
    ]  # fmt: skip
    assert [float(row[1]) for row in rows[1:5]] == [100, 0, -100, -100]
    shown = page(client_of_scores, "ttr_experience", fact="bags")
    assert "Scores by “bags”" in shown
    assert "least (0)" in shown
    assert "There is nothing of this" in page(client_of_scores, "ttr_experience", fact="no'such\"fact")
    assert client_of_scores.get(reverse("ttr_experience"), {"fact": "a\0b"}).status_code == 200


def test_tickets_stand_by_a_fact_of_their_opening_and_rare_values_are_not_listed(client_of_scores):
    desk = make_touchpoint("desk")
    now = timezone.now()
    for number in range(13):
        made = ticket(desk, now - 2 * DAY, seconds=3600 if number < 6 else 7200)
        priority = "high" if number < 6 else "low" if number < 12 else "li.na@example.com"
        opening = {"ticket": made, "ticket_event": "ticket.opened", "facts": {"priority": priority}}
        make_event(make_customer(), time=now - 2 * DAY, **opening)
        make_event(make_customer(), time=now - DAY, **{**opening, "facts": {"priority": "later"}})
    shown = page(client_of_scores, "ttr_experience", attribute="priority")
    rows = file_of(client_of_scores, "ttr_experience", "facts", attribute="priority")
    assert sorted(row[:2] for row in rows[1:3]) == [["high", "6"], ["low", "6"]]
    assert "li.na" not in shown
    assert "1 further tickets have values that are too rare" in shown


# --- What it costs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("clock", ["", "business"])
def test_a_page_stays_within_fifteen_queries(client_of_scores, name, clock):
    make_organisation(time_zone="UTC", working_hours={day: ["09:00-17:00"] for day in WEEKDAYS})
    about(make_touchpoint("desk"), 9, seconds=600, wait_seconds=3)
    roll_up()
    page(client_of_scores, name)  # what a process learns once
    with CaptureQueriesContext(connection) as context:
        page(client_of_scores, name, clock=clock)
    own = [query["sql"] for query in context if not re.match(r"SAVEPOINT|RELEASE|SELECT set_config", query["sql"])]
    session = [sql for sql in own if "django_session" in sql or "auth_" in sql]
    assert len(own) - len(session) <= 15, "\n".join(sql[:200] for sql in own)


@pytest.mark.parametrize("name", PAGES)
def test_an_empty_organisation_is_told_what_to_do(client_of_scores, name):
    shown = said(page(client_of_scores, name))
    assert "Tickets come from your helpdesk" in shown or name == "ttr_experience"


def test_the_pages_carry_filters_and_clock_to_each_other(client_of_scores):
    make_organisation(time_zone="UTC", working_hours={"mon": ["09:00-17:00"]})
    ticket(make_touchpoint("desk"), timezone.now() - HOUR)
    shown = page(client_of_scores, period="90d", clock="business", touchpoint="desk")
    found = re.findall(r'href="([^"]*/ttr/opened/[^"]*)"', shown)
    assert any("period=90d" in link and "clock=business" in link and "touchpoint=desk" in link for link in found)
    assert '<input type="hidden" name="clock" value="business">' in shown


def test_two_languages_say_the_same(client_of_scores):
    freireich(make_touchpoint("desk"), timezone.now())
    for name in PAGES:
        response = client_of_scores.get(reverse(name), headers={"accept-language": "zh-hans"})
        assert response.status_code == 200
        assert "解决时长" in response.content.decode()
    assert Organisation.objects.count() == 1
    assert InteractionEvent.objects.count() == 0
