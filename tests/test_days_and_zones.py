"""A day is the organisation's: it begins and ends at its midnight, has 23 or 25 hours where clocks change, and lasts what it lasts."""

import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metrics.days import redate
from metrics.rollup import roll_up
from metrics.verify import verify
from surveys.models import Organisation, Response, Ticket
from tests.factories import make_instrument, make_organisation, make_touchpoint
from tests.rest import Api

pytestmark = pytest.mark.django_db

ZONES = ("Asia/Shanghai", "Europe/Berlin", "America/New_York")
# (zone, a day, when it begins and when the next one does, in UTC): ordinary days, and those on which clocks change.
DAYS = [
    ("Asia/Shanghai", "2026-11-20", "2026-11-19T16:00:00", "2026-11-20T16:00:00"),
    ("Asia/Shanghai", "1991-04-14", "1991-04-13T16:00:00", "1991-04-14T15:00:00"),  # China's last spring forward
    ("Europe/Berlin", "2026-11-20", "2026-11-19T23:00:00", "2026-11-20T23:00:00"),
    ("Europe/Berlin", "2026-07-01", "2026-06-30T22:00:00", "2026-07-01T22:00:00"),
    ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00", "2026-03-29T22:00:00"),  # 23 hours
    ("Europe/Berlin", "2025-10-26", "2025-10-25T22:00:00", "2025-10-26T23:00:00"),  # 25 hours
    ("America/New_York", "2026-03-08", "2026-03-08T05:00:00", "2026-03-09T04:00:00"),
    ("America/New_York", "2025-11-02", "2025-11-02T04:00:00", "2025-11-03T05:00:00"),
    ("America/New_York", "2025-12-31", "2025-12-31T05:00:00", "2026-01-01T05:00:00"),
    ("UTC", "2024-02-29", "2024-02-29T00:00:00", "2024-03-01T00:00:00"),
    ("Asia/Kathmandu", "2026-01-01", "2025-12-31T18:15:00", "2026-01-01T18:15:00"),
    ("Pacific/Apia", "2011-12-29", "2011-12-29T10:00:00", "2011-12-30T10:00:00"),  # the day after it never was
]
SECOND = timedelta(seconds=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(("zone", "day", "begins", "ends"), DAYS)
def test_a_day_begins_and_ends_at_its_own_midnight(zone, day, begins, ends):
    organisation = Organisation(time_zone=zone)
    wanted = date.fromisoformat(day)
    assert organisation.day_of(utc(begins)) == wanted
    assert organisation.day_of(utc(begins) - SECOND) < wanted
    assert organisation.day_of(utc(ends) - SECOND) == wanted
    assert organisation.day_of(utc(ends)) > wanted


@pytest.mark.parametrize("zone", ZONES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moment=st.datetimes(datetime(1990, 1, 1), datetime(2036, 1, 1), timezones=st.just(UTC)))
def test_python_and_postgresql_agree_about_every_day(zone, moment):
    """Rebuilding dates rows in SQL, recording dates them in Python: a difference would move answers."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT (%s::timestamptz AT TIME ZONE %s)::date", [moment, zone])
        assert cursor.fetchone()[0] == Organisation(time_zone=zone).day_of(moment)


@pytest.fixture
def api() -> Api:
    make_organisation()
    make_touchpoint("desk", make_instrument("nps-x"))
    return Api("responses:write", "responses:read", "events:write", "metrics:read")


def answer_at(api: Api, moment: datetime) -> str:
    sent = {"id": str(uuid.uuid4()), "touchpoint": "desk", "answers": {"score": 9}, "responded_at": moment.isoformat()}
    day: str = api.post("responses/", sent)["day"]
    return day


@pytest.mark.parametrize(
    ("zone", "first", "hours"),
    [
        ("Asia/Shanghai", "2026-03-28", [24, 24, 24]),
        ("Europe/Berlin", "2026-03-28", [24, 23, 24]),
        pytest.param("Europe/Berlin", "2025-10-25", [24, 25, 24], marks=pytest.mark.slow),
        pytest.param("America/New_York", "2026-03-07", [24, 23, 24], marks=pytest.mark.slow),
        ("America/New_York", "2025-11-01", [24, 25, 24]),
    ],
)
def test_an_answer_every_hour_is_as_many_answers_as_the_day_has_hours(api, zone, first, hours):
    organisation = make_organisation(time_zone=zone)
    begins = datetime.fromisoformat(first).replace(tzinfo=organisation.zone).astimezone(UTC)
    for hour in range(sum(hours)):
        answer_at(api, begins + timedelta(hours=hour))
    roll_up()
    last = date.fromisoformat(first) + timedelta(days=2)
    series = api.get("metrics/nps/", **{"from": first, "to": str(last)}, interval="day")["series"]
    assert [period["n"] for period in series] == hours
    assert api.get("metrics/nps/", **{"from": first, "to": first})["n"] == hours[0]
    assert api.get("metrics/nps/")["n"] == sum(hours)


@pytest.mark.parametrize(
    ("zone", "moment", "day", "week", "month"),
    [
        ("Asia/Shanghai", "2025-12-31T15:59:59", "2025-12-31", "2025-12-29", "2025-12-01"),
        ("Asia/Shanghai", "2025-12-31T16:00:00", "2026-01-01", "2025-12-29", "2026-01-01"),
        ("America/New_York", "2026-06-01T03:59:59", "2026-05-31", "2026-05-25", "2026-05-01"),
        ("America/New_York", "2026-06-01T04:00:00", "2026-06-01", "2026-06-01", "2026-06-01"),
        ("Europe/Berlin", "2026-02-28T22:59:59", "2026-02-28", "2026-02-23", "2026-02-01"),
        ("Europe/Berlin", "2026-02-28T23:00:00", "2026-03-01", "2026-02-23", "2026-03-01"),
    ],
)
def test_weeks_and_months_end_at_the_organisations_midnight(api, zone, moment, day, week, month):
    make_organisation(time_zone=zone)
    assert answer_at(api, utc(moment)) == day
    roll_up()
    for interval, start in (("day", day), ("week", week), ("month", month)):
        assert [(p["start"], p["n"]) for p in api.get("metrics/nps/", interval=interval)["series"]] == [(start, 1)]
    assert [row["day"] for row in api.get("responses/", **{"from": day, "to": day})["results"]] == [day]


def test_the_offset_that_a_time_is_sent_with_changes_nothing(api):
    """The same moment, told from three places."""
    moment = utc("2026-11-19T16:30:00")
    offsets = [timedelta(hours=hours) for hours in (8, 1, -5)]
    days = {answer_at(api, moment.astimezone(timezone(offset))) for offset in offsets}
    assert days == {"2026-11-20"}


def ticket_events(api: Api, reference: str, **times: datetime) -> None:
    events: list[dict[str, Any]] = [
        {
            "specversion": "1.0",
            "id": f"{reference}-{kind}",
            "source": "/desk",
            "type": f"ticket.{kind}",
            "time": moment.isoformat(),
            "subject": "C-1",
            "data": {"reference": reference, "touchpoint": "desk"},
        }
        for kind, moment in times.items()
    ]
    assert api.post("events/", events, expect=202)["rejected"] == []


@pytest.mark.parametrize(
    ("zone", "opened", "resolved", "seconds"),
    [
        # From noon to noon by the clock on the wall; what has passed is an hour less or more.
        ("Europe/Berlin", "2026-03-28T12:00:00+01:00", "2026-03-29T12:00:00+02:00", 23 * 3600),
        ("Europe/Berlin", "2025-10-25T12:00:00+02:00", "2025-10-26T12:00:00+01:00", 25 * 3600),
        ("America/New_York", "2026-03-07T12:00:00-05:00", "2026-03-08T12:00:00-04:00", 23 * 3600),
        ("America/New_York", "2025-11-02T01:30:00-04:00", "2025-11-02T01:30:00-05:00", 3600),
        ("Asia/Shanghai", "2026-03-28T12:00:00+08:00", "2026-03-29T12:00:00+08:00", 24 * 3600),
    ],
)
def test_a_time_to_resolution_is_what_has_passed_and_not_what_the_clock_shows(api, zone, opened, resolved, seconds):
    make_organisation(time_zone=zone)
    ticket_events(api, "T-1", opened=datetime.fromisoformat(opened), resolved=datetime.fromisoformat(resolved))
    roll_up()
    found = api.get("metrics/ttr/", interval="day")
    assert (found["value"], found["n"]) == (seconds, 1)
    assert found["series"][-1]["start"] == resolved[:10]
    assert Ticket.objects.get().day_opened == date.fromisoformat(opened[:10])


def test_a_ticket_counts_on_the_organisations_day_of_its_resolution(api):
    for number, resolved in enumerate(("2026-11-19T15:59:59", "2026-11-19T16:00:00")):
        ticket_events(api, f"T-{number}", opened=utc("2026-11-18T00:00:00"), resolved=utc(resolved))
    roll_up()
    series = api.get("metrics/ttr/", interval="day")["series"]
    held = {period["start"]: period["n"] for period in series if period["n"]}
    assert held == {"2026-11-19": 1, "2026-11-20": 1}


@pytest.mark.parametrize("moved_to", ZONES[1:])
def test_moving_to_another_zone_dates_everything_as_if_it_had_always_been_there(api, moved_to):
    """Across every midnight and change of clocks of both; and moving back brings everything back."""
    begins = utc("2026-03-07T00:00:00")
    for hours in range(0, 24 * 24, 7):
        answer_at(api, begins + timedelta(hours=hours))
    for number in range(0, 24, 5):
        opened = begins + timedelta(days=number)
        ticket_events(api, f"T-{number}", opened=opened, resolved=opened + timedelta(hours=31))
    roll_up()
    before = api.get("metrics/nps/", interval="day")["series"], api.get("metrics/ttr/", interval="day")["series"]
    for zone in (moved_to, "Asia/Shanghai"):
        organisation = make_organisation(time_zone=zone)
        redate()
        roll_up()
        for response in Response.objects.all():
            assert response.day == organisation.day_of(response.responded_at)
        for ticket in Ticket.objects.all():
            assert ticket.opened_at is not None
            assert ticket.resolved_at is not None
            assert ticket.day_opened == organisation.day_of(ticket.opened_at)
            assert ticket.day_resolved == organisation.day_of(ticket.resolved_at)
        assert verify() == []
    after = api.get("metrics/nps/", interval="day")["series"], api.get("metrics/ttr/", interval="day")["series"]
    assert after == before


def test_now_is_told_in_the_organisations_zone(api):
    for zone in ZONES:
        organisation = make_organisation(time_zone=zone)
        as_of = datetime.fromisoformat(api.get("metrics/nps/")["as_of"])
        assert as_of.utcoffset() == datetime.now(organisation.zone).utcoffset()
        assert abs(as_of - datetime.now(UTC)) < timedelta(minutes=1)
