"""Business time is stored as it was counted, moves with the hours only by a rebuild, and never differs from its cells."""

import threading
import uuid
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import holidays
import pandas as pd
import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metrics.days import redate
from metrics.models import DurationCell, Grain
from metrics.queries import Slice, measure_durations
from metrics.rollup import rebuild, roll_up
from metrics.verify import verify
from surveys.flow.incoming import Catalogue, read_event
from surveys.flow.record import record_events
from surveys.models import DurationLedger, Organisation, Ticket
from surveys.worktime import WEEKDAYS
from tests.concurrency import together
from tests.factories import make_organisation, make_touchpoint
from tests.incidents import read_incidents

OFFICE = {day: ["09:00-18:00"] for day in WEEKDAYS[:5]}
LATE = {day: ["12:00-20:00"] for day in WEEKDAYS}
MONDAY = datetime(2026, 11, 16, 8, tzinfo=UTC)  # 16:00 in Shanghai
HOUR = timedelta(hours=1)
NOW = MONDAY + 30 * 24 * HOUR


def send(number: int, kind: str, at: datetime, id: str = "") -> None:
    event: dict[str, Any] = {
        "specversion": "1.0", "id": id or str(uuid.uuid4()), "source": "/desk", "type": f"ticket.{kind}",
        "time": at.isoformat(), "subject": "C-1", "data": {"reference": f"T-{number}", "touchpoint": "desk"},
    }  # fmt: skip
    catalogue = Catalogue.load()
    record_events([read_event(event, catalogue, NOW)], catalogue, NOW)


def work(number: int, answered: timedelta, resolved: timedelta) -> None:
    send(number, "opened", MONDAY)
    send(number, "first_response", MONDAY + answered)
    send(number, "resolved", MONDAY + resolved)


def balance() -> dict[tuple[str, date], tuple[int, int]]:
    """(n, seconds) by basis and day, of whole days."""
    cells = DurationCell.objects.filter(grain=Grain.DAY_TOTAL)
    found: Counter[tuple[str, date]] = Counter()
    sums: Counter[tuple[str, date]] = Counter()
    for cell in cells:
        found[cell.basis, cell.day] += cell.n
        sums[cell.basis, cell.day] += cell.sum_s
    return {key: (n, sums[key]) for key, n in found.items() if n}


@pytest.mark.django_db
def test_a_ticket_is_counted_on_both_clocks() -> None:
    make_organisation(working_hours=OFFICE)
    make_touchpoint("desk")
    work(1, answered=HOUR, resolved=23 * HOUR)  # 17:00; Tuesday 15:00
    made = Ticket.objects.get()
    assert (made.business_s, made.first_business_s) == (8 * 3600, 3600)
    roll_up()
    monday, tuesday = date(2026, 11, 16), date(2026, 11, 17)
    assert balance() == {
        ("resolved", tuesday): (1, 23 * 3600), ("opened", monday): (1, 23 * 3600), ("answered", monday): (1, 3600),
        ("resolved-business", tuesday): (1, 8 * 3600), ("opened-business", monday): (1, 8 * 3600),
        ("answered-business", monday): (1, 3600),
    }  # fmt: skip
    assert verify() == []
    send(1, "reopened", MONDAY + 24 * HOUR)
    roll_up()
    made.refresh_from_db()
    assert (made.business_s, made.first_business_s) == (None, 3600)
    assert set(balance()) == {("answered", monday), ("answered-business", monday)}
    assert verify() == []


@pytest.mark.django_db
def test_without_hours_there_is_no_business_time() -> None:
    make_organisation()
    make_touchpoint("desk")
    work(1, answered=HOUR, resolved=23 * HOUR)
    assert Ticket.objects.get().business_s is None
    assert not DurationLedger.objects.filter(basis__endswith="business").exists()


@pytest.mark.django_db
def test_changed_hours_move_what_is_stored_only_when_it_is_rebuilt() -> None:
    make_organisation(working_hours=OFFICE)
    make_touchpoint("desk")
    for number in range(3):
        work(number, answered=HOUR, resolved=(23 + number) * HOUR)
    send(9, "opened", MONDAY)
    roll_up()
    make_organisation(working_hours=LATE)
    send(0, "closed", MONDAY + 26 * HOUR)  # changes nothing that counts: the stored time stays what it was
    assert Ticket.objects.get(reference="T-0").business_s == 8 * 3600
    assert redate() == 3
    assert verify() == []
    roll_up()
    assert verify() == []
    # Monday 16:00 to 20:00, Tuesday 12:00 to 15:00, 16:00, 17:00.
    assert sorted(Ticket.objects.exclude(business_s=None).values_list("business_s", flat=True)) == [
        7 * 3600, 8 * 3600, 9 * 3600,
    ]  # fmt: skip
    assert redate() == 0
    make_organisation(working_hours={})
    assert redate() == 3
    roll_up()
    assert verify() == []
    assert {basis for basis, _day in balance()} == {"resolved", "opened", "answered"}


@pytest.mark.django_db
def test_hours_that_are_given_later_reach_back() -> None:
    make_organisation()
    make_touchpoint("desk")
    work(1, answered=HOUR, resolved=23 * HOUR)
    roll_up()
    make_organisation(working_hours=OFFICE, closed_days=["2026-11-17"])
    assert redate() == 1
    assert Ticket.objects.get().business_s == 2 * 3600
    roll_up()
    assert verify() == []


@pytest.mark.django_db
def test_verify_finds_a_business_time_that_its_cells_do_not_hold() -> None:
    make_organisation(working_hours=OFFICE)
    make_touchpoint("desk")
    work(1, answered=HOUR, resolved=23 * HOUR)
    roll_up()
    Ticket.objects.update(business_s=1)
    assert {difference.key["basis"] for difference in verify()} == {"resolved-business", "opened-business"}


@pytest.mark.django_db
def test_a_moved_zone_moves_both_clocks() -> None:
    make_organisation(working_hours=OFFICE)
    make_touchpoint("desk")
    work(1, answered=HOUR, resolved=23 * HOUR)
    roll_up()
    make_organisation(time_zone="America/New_York", working_hours=OFFICE)  # Monday 03:00 there; Tuesday 02:00
    redate()
    roll_up()
    assert verify() == []
    assert (Ticket.objects.get().business_s, Ticket.objects.get().first_business_s) == (9 * 3600, 0)
    assert {day for basis, day in balance() if basis.startswith("opened")} == {date(2026, 11, 16)}


steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["opened", "first_response", "resolved", "reopened", "closed"]), st.integers(0, 90)),
        st.tuples(st.just("hours"), st.sampled_from([0, 1, 2])),
        st.tuples(st.sampled_from(["redate", "roll_up"]), st.just(0)),
    ),
    max_size=14,
)


@pytest.mark.django_db
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_whatever_happens_to_tickets_and_hours_no_cell_differs(taken: list[tuple[str, int]]) -> None:
    make_organisation(working_hours=OFFICE)
    if not Ticket.objects.exists():
        make_touchpoint(f"desk-{uuid.uuid4().hex[:6]}")
    for what, number in taken:
        if what == "hours":
            make_organisation(working_hours=[OFFICE, LATE, {}][number])
        elif what == "redate":
            redate()
        elif what == "roll_up":
            roll_up()
        else:
            event: dict[str, Any] = {
                "specversion": "1.0", "id": str(uuid.uuid4()), "source": "/desk", "type": f"ticket.{what}", "subject": "C-1",
                "time": (MONDAY + number * HOUR).isoformat(), "data": {"reference": f"T-{number % 2}"},
            }  # fmt: skip
            catalogue = Catalogue.load()
            record_events([read_event(event, catalogue, NOW)], catalogue, NOW)
    assert verify() == []
    redate()
    roll_up()
    assert verify() == []
    assert redate() == 0


@pytest.mark.django_db
def test_real_incidents_have_the_business_time_that_walking_through_their_hours_counts() -> None:
    """Two hundred of the sample, by hours and holidays in Berlin; counted here hour by hour, with nothing of ours but the events."""
    rows = read_incidents().dropna(subset=["resolved_at"]).query("resolved_at >= opened_at").head(200)
    zone = "Europe/Berlin"
    make_organisation(time_zone=zone, working_hours=OFFICE, holiday_country="DE", holiday_subdivision="BE")
    make_touchpoint("desk")
    catalogue = Catalogue.load()
    events = [
        {
            "specversion": "1.0", "id": f"{row.number}-{kind}", "source": "/incidents", "type": f"ticket.{kind}",
            "time": getattr(row, f"{kind}_at").isoformat(), "subject": row.number,
            "data": {"reference": row.number, "touchpoint": "desk"},
        }
        for row in rows.itertuples() for kind in ("opened", "resolved")
    ]  # fmt: skip
    record_events([read_event(event, catalogue, NOW) for event in events], catalogue, NOW)
    off = holidays.country_holidays("DE", subdiv="BE", years=(2015, 2016, 2017))
    expected = {}
    for row in rows.itertuples():
        days = pd.date_range(row.opened_at.tz_convert(zone).normalize(), row.resolved_at.tz_convert(zone), freq="D")
        worked = 0.0
        for day in days:
            if day.weekday() < 5 and day.date() not in off:
                start, end = (pd.Timestamp(f"{day.date()} {hour}", tz=zone) for hour in ("09:00", "18:00"))
                worked += max(0.0, (min(end, row.resolved_at) - max(start, row.opened_at)).total_seconds())
        expected[row.number] = int(worked)
    assert dict(Ticket.objects.values_list("reference", "business_s")) == expected
    roll_up()
    assert verify() == []
    found = measure_durations("resolved", Slice(), hours=Organisation.current().work_calendar).total
    assert (found.n, found.sum_s) == (200, sum(expected.values()))


@pytest.mark.django_db(transaction=True)
def test_tickets_that_are_told_of_while_hours_are_changed_and_redated_end_with_the_new_hours() -> None:
    make_organisation(working_hours=OFFICE)
    make_touchpoint("desk")
    for number in range(6):
        send(number, "opened", MONDAY)
    done = threading.Event()

    def act(index: int) -> None:
        if index < 3:
            for turn in range(8):
                number = (2 * index + turn) % 6
                send(number, "resolved" if turn % 3 else "reopened", MONDAY + (20 + turn) * HOUR)
                send(number, "first_response", MONDAY + (12 - turn) * HOUR)
        elif index == 3:
            make_organisation(working_hours=LATE)
            redate()
            done.set()
        else:
            while not done.is_set():
                roll_up()
                assert verify() == []

    together(5, act)
    assert redate() == 0  # whoever wrote with the former hours was waited for, whoever wrote later had the new ones
    roll_up()
    assert verify() == []
    rebuild()
    assert verify() == []


@pytest.mark.django_db(transaction=True)
def test_a_redating_waits_for_whoever_has_read_the_former_hours() -> None:
    """A ticket is written by the former hours in a transaction that ends only after the hours were changed."""
    make_organisation(working_hours=OFFICE)
    make_touchpoint("desk")
    send(1, "opened", MONDAY)
    written, changed = threading.Event(), threading.Event()
    moved: list[int] = []

    def act(index: int) -> None:
        if index == 0:
            with transaction.atomic():
                send(1, "resolved", MONDAY + 23 * HOUR)
                written.set()
                assert changed.wait(10)
                until_somebody_waits()
        else:
            assert written.wait(10)
            make_organisation(working_hours=LATE)
            changed.set()
            moved.append(redate())

    together(2, act)
    assert moved == [1]
    assert Ticket.objects.get().business_s == 7 * 3600
    roll_up()
    assert verify() == []


def until_somebody_waits() -> None:
    """Until another backend stands at an advisory lock."""
    for _turn in range(10_000):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            if cursor.fetchone()[0]:
                return
    raise AssertionError("nobody waits")
