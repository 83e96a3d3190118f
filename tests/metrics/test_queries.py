"""Any slice is the sum of its answers, whichever grains it is read from."""

import random
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from metrics import slices
from metrics.grains import SCORE_CUTS
from metrics.queries import (
    Catalogue,
    Slice,
    UnusableSlice,
    measure,
    measure_matrix,
    measure_open,
    measure_scores,
    measure_tickets,
    measure_trend,
    measure_weighted,
    weights_of,
)
from metrics.rollup import roll_up
from surveys.models import Journey, Response, ScoreLedger, Ticket, Touchpoint
from tests.factories import NOW, make_instrument, make_organisation, make_touchpoint
from tests.metrics.raw import DAY, answer, noon, score_question, ticket

pytestmark = pytest.mark.django_db


def sliced(**fields: Any) -> Slice:
    asked: dict[str, Any] = {
        name: frozenset(value) if isinstance(value, set) else value for name, value in fields.items()
    }
    return Slice(**asked)


def test_a_slice_narrows_by_every_dimension() -> None:
    buying = Journey.objects.create(slug="buying")
    instrument = make_instrument()
    web = make_touchpoint("web", instrument=instrument, journey=buying, channel="website")
    home = make_touchpoint("home", instrument=instrument, channel="home_service")
    answer(web, 10, mode="email", segment="gold", location="a")
    answer(web, 9, mode="sms", segment="", location="a")
    answer(home, 0, mode="email", segment="gold", location="b")
    roll_up()
    held = {
        "touchpoints": {"web": 2, "home": 1},
        "journeys": {"buying": 2, "": 1},
        "channels": {"website": 2, "home_service": 1, "app": 0},
        "modes": {"email": 2, "sms": 1, "qr": 0},
        "segments": {"gold": 2, "": 1, "silver": 0},
        "locations": {"a": 2, "b": 1, "": 0},
    }
    for field, counts in held.items():
        for value, n in counts.items():
            assert measure("nps", sliced(**{field: {value}}), now=NOW).total.n == n, (field, value)
        groups = measure("nps", Slice(), now=NOW, group_by=field[:-1]).groups
        assert {key: measured.n for key, measured in groups} == {key: n for key, n in counts.items() if n}
    assert measure("nps", sliced(segments={"gold"}, channels={"website"}), now=NOW).total.n == 1
    assert measure("nps", sliced(touchpoints={"web", "home"}), now=NOW).total.n == 3


def test_a_group_that_is_asked_for_by_name_is_there_though_empty() -> None:
    make_touchpoint("quiet")
    [(key, measured)] = measure("nps", sliced(touchpoints={"quiet"}), now=NOW, group_by="touchpoint").groups
    assert (key, measured.n, measured.value) == ("quiet", 0, None)


def test_every_question_of_the_metric_counts() -> None:
    touchpoint = make_touchpoint()
    other = make_instrument(metric="nps")
    answer(touchpoint, 10)
    answer(touchpoint, 9, question=other.questions.get(key="score"))
    roll_up()
    assert measure("nps", Slice(), now=NOW).total.distribution[9] == 1
    assert measure("nps", Slice(), now=NOW).total.n == 2


@pytest.mark.parametrize(
    ("first", "last", "interval", "spans"),
    [
        (None, None, None, [("MONTH_TOTAL", None, None)]),
        ("2026-10-01", "2026-10-31", None, [("MONTH_TOTAL", "2026-10-01", "2026-10-31")]),
        ("2026-10-01", "2026-10-31", "day", [("DAY_TOTAL", "2026-10-01", "2026-10-31")]),
        ("2026-10-01", "2026-10-30", None, [("DAY_TOTAL", "2026-10-01", "2026-10-30")]),
        ("2026-10-02", "2026-10-31", "month", [("DAY_TOTAL", "2026-10-02", "2026-10-31")]),
        (
            "2026-09-30", "2026-12-01", "quarter",
            [
                ("MONTH_TOTAL", "2026-10-01", "2026-11-30"),
                ("DAY_TOTAL", "2026-09-30", "2026-09-30"),
                ("DAY_TOTAL", "2026-12-01", "2026-12-01"),
            ],
        ),
        ("2026-12-31", None, None, [("MONTH_TOTAL", "2027-01-01", None), ("DAY_TOTAL", "2026-12-31", "2026-12-31")]),
        (None, "2026-12-30", None, [("MONTH_TOTAL", None, "2026-11-30"), ("DAY_TOTAL", "2026-12-01", "2026-12-30")]),
        ("2026-10-05", "2026-10-05", None, [("DAY_TOTAL", "2026-10-05", "2026-10-05")]),
    ],
)  # fmt: skip
def test_whole_months_are_read_from_month_cells_and_the_ends_from_days(
    first: str | None, last: str | None, interval: Any, spans: list[tuple[str, str | None, str | None]]
) -> None:
    asked = Slice(day_from=first and date.fromisoformat(first), day_to=last and date.fromisoformat(last))  # type: ignore[arg-type]
    found = slices.spans(asked, interval, SCORE_CUTS[0])
    assert [(grain.name, start and str(start), end and str(end)) for grain, start, end in found] == spans


def test_every_range_and_interval_holds_what_a_count_of_the_raw_answers_holds() -> None:
    random.seed(7)
    touchpoints = [make_touchpoint() for _ in range(3)]
    first = date(2026, 1, 1)
    for touchpoint in touchpoints:
        ScoreLedger.objects.bulk_create(
            ScoreLedger(
                day=first + timedelta(days=random.randrange(400)), touchpoint_id=touchpoint.pk,
                question_id=score_question(touchpoint).pk, mode=random.choice(["email", "sms"]), segment=random.choice(["", "x"]),
                location="", score=random.randrange(11), delta=1,
            )
            for _ in range(300)
        )  # fmt: skip
    raw = list(ScoreLedger.objects.values_list("day", "mode", "score"))
    roll_up()
    for _ in range(60):
        ends = sorted(first + timedelta(days=random.randrange(-20, 420)) for _ in range(2))
        day_from, day_to = random.choice([tuple(ends), (None, ends[1]), (ends[0], None), (None, None)])
        modes = random.choice([set(), {"email"}])
        interval: Any = random.choice([None, *slices.INTERVALS])
        wanted = [
            (day, score) for day, mode, score in raw
            if (day_from or day) <= day <= (day_to or day) and (not modes or mode in modes)
        ]  # fmt: skip
        found = measure("nps", sliced(day_from=day_from, day_to=day_to, modes=modes), now=NOW, interval=interval)
        assert found.total.n == len(wanted)
        assert found.total.distribution == {score: sum(one == score for _, one in wanted) for score in range(11)}
        if interval:
            counts = {start: 0 for start, _ in found.series}
            for day, _score in wanted:
                counts[slices.start_of(interval, day)] += 1
            assert counts == {start: measured.n for start, measured in found.series}


def test_a_series_starts_and_ends_where_it_is_asked_to_else_with_the_data() -> None:
    touchpoint = make_touchpoint()
    answer(touchpoint, 9, day=date(2025, 12, 30))
    answer(touchpoint, 9, day=date(2026, 2, 1))
    roll_up()

    def starts(interval: Any, **fields: Any) -> list[str]:
        return [str(start) for start, _ in measure("nps", sliced(**fields), now=NOW, interval=interval).series]

    assert starts("month") == ["2025-12-01", "2026-01-01", "2026-02-01"]
    assert starts("quarter") == ["2025-10-01", "2026-01-01"]
    assert starts("week") == ["2025-12-29", "2026-01-05", "2026-01-12", "2026-01-19", "2026-01-26"]
    assert len(starts("day")) == 34
    assert starts("month", day_from=date(2026, 2, 14), day_to=date(2026, 4, 1)) == [
        "2026-02-01",
        "2026-03-01",
        "2026-04-01",
    ]
    assert starts("month", day_from=date(2026, 3, 1)) == ["2026-03-01"]
    assert starts("month", day_to=date(2024, 3, 1)) == ["2024-03-01"]


def test_a_series_of_too_many_periods_is_refused() -> None:
    days: dict[str, Any] = {
        "day_from": date(2000, 1, 1),
        "day_to": date(2000, 1, 1) + timedelta(days=slices.MAX_PERIODS),
    }
    with pytest.raises(UnusableSlice) as refused:
        measure("nps", Slice(**days), now=NOW, interval="day")
    assert refused.value.field == "interval"
    assert measure("nps", Slice(**days), now=NOW, interval="week").total.n == 0


def test_counters_that_fell_back_to_zero_hold_nothing() -> None:
    touchpoint = make_touchpoint(instrument=make_instrument(metric="csat", points=5))
    seven = make_touchpoint(instrument=make_instrument(metric="csat", points=7))
    answer(touchpoint, 5)
    stored = {
        "day": DAY,
        "touchpoint_id": seven.pk,
        "question_id": score_question(seven).pk,
        "mode": "email",
        "score": 3,
    }
    for delta in (1, -1):
        ScoreLedger.objects.create(segment="", location="", delta=delta, **stored)
        roll_up()
    found = measure("csat", Slice(), now=NOW, interval="day", group_by="touchpoint")
    assert (found.total.points, len(found.groups)) == (5, 1)


def test_ttr_counts_open_tickets_and_keeps_their_median_apart() -> None:
    touchpoint = make_touchpoint("helpdesk")
    opened = NOW - timedelta(seconds=100)
    for seconds in (10, 20, 30):
        ticket(touchpoint, opened, seconds=seconds, segment="gold")
    for _ in range(2):
        ticket(touchpoint, opened)
    ticket(None, opened)
    roll_up()
    total = measure("ttr", Slice(), now=NOW).total
    assert (total.value, total.n, total.extra["open"]) == (20, 3, 3)
    assert total.extra["median"] == pytest.approx(20, rel=0.01)
    assert total.extra["median_with_open"] == pytest.approx(30, rel=0.01)
    groups = dict(measure("ttr", Slice(), now=NOW, group_by="touchpoint").groups)
    assert {key: (measured.n, measured.extra["open"]) for key, measured in groups.items()} == {
        "": (0, 1),
        "helpdesk": (3, 2),
    }
    assert groups[""].extra["median_with_open"] is None
    gold = measure("ttr", sliced(segments={"gold"}), now=NOW).total
    assert (gold.n, gold.extra["open"]) == (3, 0)
    elsewhere = measure("ttr", sliced(day_from=DAY + timedelta(days=90)), now=NOW).total
    assert (elsewhere.n, elsewhere.extra["open"], elsewhere.extra["median_with_open"]) == (0, 3, None)


def test_the_median_with_open_tickets_is_freireichs() -> None:
    """Freireich 1963: 23 with the open ones, 10 of the resolved alone; here in hours."""
    touchpoint = make_touchpoint()
    hour = 3600
    for hours in (6, 6, 6, 7, 10, 13, 16, 22, 23):
        ticket(touchpoint, NOW - timedelta(hours=40), seconds=hours * hour)
    for age in (6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35):
        ticket(touchpoint, NOW - timedelta(hours=age))
    roll_up()
    total = measure("ttr", Slice(), now=NOW).total
    assert total.extra["median_with_open"] == pytest.approx(23 * hour, rel=0.01)
    assert total.extra["median"] == pytest.approx(10 * hour, rel=0.01)
    assert (total.n, total.extra["open"]) == (9, 12)
    series = measure("ttr", Slice(), now=NOW, interval="quarter").series
    assert [measured.extra["median_with_open"] for _, measured in series] == [total.extra["median_with_open"]]


def test_a_ticket_opened_ahead_of_our_clock_is_no_seconds_old() -> None:
    ticket(make_touchpoint(), NOW + timedelta(hours=2))
    assert measure("ttr", Slice(), now=NOW).total.extra["open"] == 1


def test_months_of_tickets_are_those_of_a_count_of_the_raw_ones() -> None:
    random.seed(3)
    touchpoint = make_touchpoint()
    for _ in range(60):
        ticket(
            touchpoint, noon(date(2026, 9, 1) + timedelta(days=random.randrange(60))), seconds=random.randrange(10**6)
        )
    roll_up()
    months: dict[str, list[float]] = {f"2026-{month:02}": [] for month in (9, 10, 11)}
    for resolved, opened in Ticket.objects.values_list("resolved_at", "opened_at"):
        assert resolved is not None
        assert opened is not None
        months[f"{resolved:%Y-%m}"].append((resolved - opened).total_seconds())
    series = measure("ttr", Slice(), now=NOW, interval="month").series
    for start, measured in series:
        seconds = months[f"{start:%Y-%m}"]
        assert measured.n == len(seconds)
        assert measured.value == (pytest.approx(sum(seconds) / len(seconds)) if seconds else None)


def test_the_matrix_holds_every_touchpoint_and_metric_now_and_before() -> None:
    nps = make_touchpoint("shop")
    csat = make_touchpoint("delivery", instrument=make_instrument(metric="csat", points=7))
    answer(nps, 10)
    answer(nps, 0, day=DAY - timedelta(days=30))
    answer(csat, 7)
    ticket(nps, noon(DAY), seconds=60)
    ticket(csat, noon(DAY))
    roll_up()
    window = sliced(day_from=DAY, day_to=DAY)
    before = (DAY - timedelta(days=30), DAY - timedelta(days=1))
    with CaptureQueriesContext(connection) as context:
        rows = measure_matrix(window, before, now=NOW)
    assert len(context) == 4 + 3
    found = {(row.touchpoint, row.metric, row.points): row for row in rows}
    assert found.keys() == {("shop", "nps", 11), ("delivery", "csat", 7), ("shop", "ttr", 0), ("delivery", "ttr", 0)}
    shop = found["shop", "nps", 11]
    assert shop.before is not None
    assert (shop.now.value, shop.before.value) == (100, -100)
    assert found["shop", "ttr", 0].now.extra["median"] == pytest.approx(60, rel=0.01)
    assert found["delivery", "ttr", 0].now.extra["open"] == 1
    assert {row.metric for row in measure_matrix(sliced(modes={"email"}), None, now=NOW)} == {"nps", "csat"}


def test_a_trend_is_the_series_in_one_query() -> None:
    touchpoint = make_touchpoint("web")
    for days, score in ((0, 10), (3, 0), (20, 9)):
        answer(touchpoint, score, day=DAY - timedelta(days=days))
        ticket(touchpoint, noon(DAY - timedelta(days=days)), 600 + days)
    ticket(touchpoint, noon(DAY))  # open
    roll_up()
    asked = Slice(day_from=DAY - timedelta(days=30), day_to=DAY)
    catalogue = slices.Catalogue.load()
    for metric in ("nps", "ttr"):
        with CaptureQueriesContext(connection) as queries:
            trend = measure_trend(metric, asked, "week", catalogue=catalogue)
        assert len(queries) == 1
        series = measure(metric, asked, now=NOW, interval="week", catalogue=catalogue).series
        assert [(start, part.n, part.value, part.distribution) for start, part in trend] == [
            (start, part.n, part.value, part.distribution) for start, part in series
        ]
        assert sum(part.n for _start, part in trend) == 3


def test_raw_answers_are_not_read() -> None:
    answer(make_touchpoint(), 9)
    roll_up()
    with CaptureQueriesContext(connection) as context:
        measure("nps", Slice(), now=NOW, interval="day", group_by="mode")
        measure("ttr", Slice(), now=NOW, interval="day", group_by="segment")
    assert not any(Response._meta.db_table in query["sql"] or "surveys_answer" in query["sql"] for query in context)


def test_what_a_page_asks_together_is_what_it_would_be_told_one_by_one() -> None:
    csat7 = make_instrument(metric="csat", points=7)
    touchpoints = [make_touchpoint("shop"), make_touchpoint("delivery", instrument=csat7)]
    for number in range(40):
        at, touchpoint = DAY - timedelta(days=number), touchpoints[number % 2]
        segment, mode = ["gold", ""][number % 3 % 2], ["email", "qr"][number % 5 % 2]
        answer(touchpoint, 1 + number % 7, day=at, segment=segment, mode=mode)
        ticket(touchpoint, noon(at), 600 * (number + 1), reopened=number % 2, segment=segment)
    ticket(touchpoints[0], noon(DAY), segment="gold")
    roll_up()
    catalogue = Catalogue.load()
    window = sliced(day_from=DAY - timedelta(days=24), day_to=DAY)
    before = (DAY - timedelta(days=49), DAY - timedelta(days=25))
    with CaptureQueriesContext(connection) as context:
        scores = measure_scores(window, before, "day", ("mode", "segment"), catalogue=catalogue)
    assert len(context) == 1
    with CaptureQueriesContext(connection) as context:
        tickets = measure_tickets(window, before, "day", ("segment",), now=NOW, catalogue=catalogue)
    assert len(context) == 2
    assert [*scores.rows, *tickets.rows] == measure_matrix(window, before, now=NOW, catalogue=catalogue)
    for column in (("nps", 11), ("csat", 7)):
        for interval in ("day", "week", "month", "quarter"):
            assert scores.series(column, interval) == measure_trend(column[0], window, interval, catalogue=catalogue)
        for dimension in ("mode", "segment"):
            alone = measure(column[0], window, now=NOW, group_by=dimension, catalogue=catalogue)
            assert scores.groups(column, dimension) == alone.groups
    alone = measure("ttr", window, now=NOW, group_by="segment", catalogue=catalogue)
    assert tickets.total == alone.total
    assert (tickets.total.extra["open"], tickets.oldest) == (1, noon(DAY))
    resolved = [(key, part.n, part.value, part.low, part.distribution) for key, part in alone.groups]
    assert [
        (key, part.n, part.value, part.low, part.distribution) for key, part in tickets.groups("segment")
    ] == resolved
    for interval in ("day", "week", "month"):
        assert tickets.series(interval) == measure_trend("ttr", window, interval, catalogue=catalogue)
    held = measure_open(window, catalogue=catalogue)
    assert {key: (one.count, one.oldest) for key, one in held.items()} == {"shop": (1, noon(DAY))}


# --- Weighted ---------------------------------------------------------------------------------------------------------


def test_a_weighted_score_counts_each_touchpoint_by_its_weight_in_one_query() -> None:
    shop, call = make_touchpoint("shop"), make_touchpoint("call")
    asks_else = make_touchpoint("else", instrument=make_instrument(metric="csat", points=5))
    switched_off = make_touchpoint("off", active=False, weight=50)
    call.weight = 3
    call.save()
    for touchpoint, scores in (
        (shop, [10] * 30 + [0] * 10),
        (call, [10] * 5 + [0] * 5),
        (asks_else, [5] * 9),
        (switched_off, [0]),
    ):
        for score in scores:
            answer(touchpoint, score)
    for score in [10] * 5 + [0] * 35:
        answer(shop, score, day=DAY - timedelta(days=1))
    for score in [10] * 5 + [0] * 5:
        answer(call, score, day=DAY - timedelta(days=1))
    roll_up()
    touchpoints = Touchpoint.objects.select_related("instrument").order_by("slug")
    weights = weights_of("touchpoint", make_organisation(), touchpoints, "nps", 11)
    assert weights == {"shop": 1, "call": 3}
    catalogue = Catalogue.load()
    yesterday = (DAY - timedelta(days=1), DAY - timedelta(days=1))
    with CaptureQueriesContext(connection) as context:
        found = measure_weighted(
            "nps", sliced(day_from=DAY, day_to=DAY), "touchpoint", weights, compare=yesterday, catalogue=catalogue
        )
    assert len(context) == 1
    assert found.total.value == pytest.approx(0.25 * 50)  # pooled it is 40
    assert found.total.n == 50
    assert [(one.key, one.share, one.left_out) for one in found.total.strata] == [
        ("call", 0.75, ""), ("shop", 0.25, ""), ("off", 0, "no_weight"),
    ]  # fmt: skip
    assert found.comparison is not None
    assert found.comparison.difference == pytest.approx(0.25 * 125)
    assert measure_weighted("nps", sliced(day_from=DAY), "touchpoint", weights, minimum=11).total.missing == 0.75


def test_a_weighted_time_to_resolution_is_by_mean_or_median_and_segments_have_weights_too() -> None:
    touchpoint = make_touchpoint("shop")
    for segment, seconds in (("gold", 3600), ("", 60)):
        for _ in range(6):
            ticket(touchpoint, noon(DAY), seconds=seconds, segment=segment)
    roll_up()
    weights = weights_of("segment", make_organisation(segment_weights={"gold": 3, "": 1}), [], "ttr")
    mean = measure_weighted("ttr", sliced(), "segment", weights)
    assert mean.total.value == pytest.approx(0.75 * 3600 + 0.25 * 60)
    assert mean.comparison is None
    median = measure_weighted("ttr", sliced(), "segment", weights, statistic="median")
    assert median.total.value == pytest.approx(3600, rel=0.01)


def test_scores_are_weighted_by_what_has_weights_alone() -> None:
    with pytest.raises(ValueError, match="touchpoint or segment"):
        measure_weighted("nps", sliced(), "mode", {})
    with pytest.raises(UnusableSlice):
        measure_weighted("ttr", sliced(modes=frozenset(["email"])), "touchpoint", {})
