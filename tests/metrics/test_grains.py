"""Which grain serves a question, that each serves it with the same answer, and that an index finds its cells."""

import json
import random
from collections import Counter
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.backends.signals import connection_created
from django.test.utils import CaptureQueriesContext

from metrics.grains import DURATION_CUTS, SCORE_CUTS, cheapest
from metrics.models import Grain
from metrics.queries import OF_CELLS, Catalogue, Interval, Slice, measure, measure_matrix, measure_modes, measure_trend
from metrics.rollup import roll_up
from metrics.slices import INTERVALS, start_of
from surveys.models import DurationLedger, Journey, ScoreLedger
from tests.factories import NOW, make_instrument, make_touchpoint
from tests.metrics.raw import score_question

FIRST = date(2025, 3, 10)
MODES, SEGMENTS, LOCATIONS = ("email", "sms", "qr"), ("", "gold", "new"), ("", "a", "b")


@pytest.mark.parametrize(
    ("needed", "scores", "durations"),
    [
        ({}, "TOTAL", "ALL"),
        ({"touchpoint"}, "TOTAL", "TOTAL"),
        ({"mode"}, "MODE", None),
        ({"segment"}, "SEGMENT", "ALL_SEGMENT"),
        ({"location"}, "LOCATION", "ALL_PART"),
        ({"touchpoint", "segment"}, "SEGMENT", "SEGMENT"),
        ({"touchpoint", "mode"}, "MODE", None),
        ({"segment", "location"}, "FULL", "ALL_PART"),
        ({"mode", "segment", "location"}, "FULL", None),
        ({"touchpoint", "segment", "location"}, "FULL", "FULL"),
    ],
)
def test_the_fewest_cells_that_keep_what_is_needed(needed: set[str], scores: str, durations: str | None) -> None:
    cut = cheapest(SCORE_CUTS, needed)
    assert (cut.day, cut.month) == (Grain[f"DAY_{scores}"], Grain[f"MONTH_{scores}"])
    if durations:
        cut = cheapest(DURATION_CUTS, needed)
        assert (cut.day, cut.month) == (Grain[f"DAY_{durations}"], Grain[f"MONTH_{durations}"])


@pytest.mark.parametrize(("kept", "summed"), [("segment", "location"), ("location", "segment")])
def test_modes_of_a_part_are_read_from_months_of_their_own_and_from_full_days(kept: str, summed: str) -> None:
    cut = cheapest(SCORE_CUTS, {"touchpoint", "mode", kept})
    assert (cut.day, cut.month) == (Grain.DAY_FULL, Grain[f"MONTH_MODE_{kept.upper()}"])
    assert cut.sums_over(cut.month, {"mode", "segment", "location"}) == {summed: ""}
    assert cut.sums_over(cut.day, {"mode", "segment", "location"}) == {}  # full cells have both


def test_what_a_question_needs_is_what_it_narrows_and_groups_by() -> None:
    assert Slice().needs(None) == set()
    assert Slice(channels=frozenset({"app"})).needs("segment") == {"touchpoint", "segment"}
    assert Slice(modes=frozenset({"sms"}), locations=frozenset({"a"})).needs("journey") == {
        "touchpoint",
        "mode",
        "location",
    }


@pytest.fixture
def raw(db: None) -> dict[str, list[dict[str, Any]]]:
    """Answers and tickets of 500 days at four touchpoints, in the ledger alone: what was counted, and what it holds."""
    random.seed(11)
    journey = Journey.objects.create(slug="buying")
    instrument = make_instrument()
    places = [
        make_touchpoint(f"place-{number}", instrument=instrument, journey=journey if number % 2 else None)
        for number in range(4)
    ]
    question = score_question(places[0]).pk

    def drawn() -> dict[str, Any]:
        return {
            "day": FIRST + timedelta(days=random.randrange(500)),
            "touchpoint_id": random.choice(places).pk,
            "segment": random.choice(SEGMENTS),
            "location": random.choice(LOCATIONS),
        }

    answers = [drawn() | {"mode": random.choice(MODES), "score": random.randrange(11)} for _ in range(1200)]
    tickets = [drawn() | {"seconds": int(random.lognormvariate(8, 1))} for _ in range(400)]
    ScoreLedger.objects.bulk_create(ScoreLedger(question_id=question, delta=1, **one) for one in answers)
    DurationLedger.objects.bulk_create(
        DurationLedger(basis="resolved", reopened=False, delta=1, **one) for one in tickets
    )
    return {"nps": answers, "ttr": tickets}


def test_any_slice_at_any_mix_of_grains_is_the_sum_of_its_raw_rows(raw: dict[str, list[dict[str, Any]]]) -> None:
    roll_up()
    catalogue = Catalogue.load()
    for _ in range(80):
        metric = random.choice(["nps", "nps", "ttr"])
        dimensions: dict[str, Any] = {"segment": SEGMENTS, "location": LOCATIONS, "journey": ("", "buying")}
        dimensions |= {"touchpoint": [f"place-{number}" for number in range(4)]}
        dimensions |= {"mode": MODES} if metric == "nps" else {}
        narrowed = {
            name: frozenset(random.sample(dimensions[name], random.choice([1, 2])))
            for name in random.sample(sorted(dimensions), random.choice([0, 1, 1, 2, 3]))
        }
        ends = sorted(FIRST + timedelta(days=random.randrange(-20, 520)) for _ in range(2))
        first, last = random.choice([(None, None), (ends[0], ends[1]), (ends[0], None), (None, ends[1])])
        interval: Interval | None = random.choice([None, *INTERVALS])
        group_by = random.choice([None, *sorted(dimensions)])

        def of(row: dict[str, Any], dimension: str) -> str:
            return str(
                row[dimension] if dimension in OF_CELLS else getattr(catalogue.place(row["touchpoint_id"]), dimension)
            )

        wanted = [
            row for row in raw[metric]
            if (first or row["day"]) <= row["day"] <= (last or row["day"])
            and all(of(row, name) in values for name, values in narrowed.items())
        ]  # fmt: skip
        asked = Slice(day_from=first, day_to=last, **{f"{name}s": values for name, values in narrowed.items()})
        found = measure(metric, asked, now=NOW, interval=interval, group_by=group_by, catalogue=catalogue)
        case = (metric, narrowed, first, last, interval, group_by)
        assert found.total.n == len(wanted), case
        if metric == "nps":
            counts = Counter(row["score"] for row in wanted)
            assert {score: n for score, n in found.total.distribution.items() if n} == counts, case
        elif wanted:
            assert found.total.value == pytest.approx(sum(row["seconds"] for row in wanted) / len(wanted)), case
        if interval:
            periods = Counter(start_of(interval, row["day"]) for row in wanted)
            assert {start: part.n for start, part in found.series if part.n} == periods, case
        if group_by:
            groups = Counter(of(row, group_by) for row in wanted)
            assert {key: part.n for key, part in found.groups if part.n} == groups, case


# --- Indexes ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def many_cells(db: None) -> None:
    """Some forty thousand cells: 40 touchpoints over two years."""
    instrument = make_instrument()
    places = [make_touchpoint(f"place-{number}", instrument=instrument).pk for number in range(40)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT setseed(0.5)")
        drawn = f"DATE '{FIRST}' + (number %% 700), (%s::bigint[])[1 + number %% 40]"
        kept = "'gold' || number %% 5, 'shop-' || (random() * 40)::int"
        cursor.execute(
            "INSERT INTO surveys_scoreledger (day, touchpoint_id, question_id, mode, segment, location, score, delta) "
            f"SELECT {drawn}, %s, (ARRAY['email', 'sms', 'qr'])[1 + number %% 3], {kept}, number %% 11, 1 "
            "FROM generate_series(1, 3000) AS number",
            [places, score_question_of(instrument)],
        )
        for basis in ("resolved", "opened"):
            cursor.execute(
                "INSERT INTO surveys_durationledger (basis, day, touchpoint_id, segment, location, seconds, reopened, delta) "
                f"SELECT '{basis}', {drawn}, {kept}, 60 * (number %% 500), false, 1 FROM generate_series(1, 1000) AS number",
                [places],
            )
    roll_up()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE metrics_scorecell; ANALYZE metrics_durationcell")


def score_question_of(instrument: Any) -> int:
    return int(instrument.questions.get(key="score").pk)


def test_no_page_reads_the_cells_in_sequence(many_cells: None) -> None:
    """EXPLAIN of what pages ask for: over years and for a month, narrowed and grouped by each dimension, one touchpoint and all."""
    years = {"day_from": FIRST, "day_to": FIRST + timedelta(days=690)}
    month = {"day_from": FIRST + timedelta(days=660), "day_to": FIRST + timedelta(days=690)}
    narrowed: list[dict[str, frozenset[str]]] = [
        {},
        {"modes": frozenset({"email"})},
        {"segments": frozenset({"gold1"})},
        {"locations": frozenset({"shop-7"})},
        {"segments": frozenset({"gold1"}), "locations": frozenset({"shop-7"})},
        {"modes": frozenset({"email"}), "segments": frozenset({"gold1"})},
    ]
    now: datetime = NOW
    catalogue = Catalogue.load()
    with CaptureQueriesContext(connection) as queries:
        for days in (years, month):
            for filters in narrowed:
                asked = Slice(**days, **filters)  # type: ignore[arg-type]
                before = (days["day_from"] - timedelta(days=30), days["day_from"])
                measure_matrix(asked, before, now=now, catalogue=catalogue)
                measure_trend("nps", asked, "week", catalogue=catalogue)
                measure_modes(asked, catalogue=catalogue)
                one = Slice(**days, **filters, touchpoints=frozenset({"place-7"}))  # type: ignore[arg-type]
                for dimension in ("mode", "segment", "location"):
                    measure("nps", one, now=now, interval="month", group_by=dimension, catalogue=catalogue)
                if "modes" not in filters:
                    measure("ttr", asked, now=now, interval="month", group_by="segment", catalogue=catalogue)
                    measure("ttr", one, now=now, group_by="location", catalogue=catalogue)
    cells = [query["sql"] for query in queries if "cell" in query["sql"]]
    assert len(cells) > 100
    with connection.cursor() as cursor:
        for sql in cells:
            cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}")
            [(plan,)] = cursor.fetchall()
            assert "Seq Scan" not in json.dumps(plan), f"{sql}\n{json.dumps(plan, indent=1)}"


def test_no_session_compiles_its_plans(db: None) -> None:
    """Compiling a sum over years takes longer than the sum; a cluster of the operator's own does it unless told."""
    with connection.cursor() as cursor:
        cursor.execute("SET jit = on")
        connection_created.send(sender=type(connection), connection=connection)
        cursor.execute("SHOW jit")
        assert cursor.fetchone() == ("off",)
