"""A day's look of 1,000 alert rules, beside one SQL statement that only fetches their cells.

In: a migrated, empty database. Out: one result. 200 touchpoints with cells of 60 days in 15 mode-segment pairs; a third of the rules on
targets and the others on drops, most of 28 days, every third of a mode and a segment, every tenth of a channel; every metric. The limit
is one statement that only fetches the cells of these rules, row by row: the evaluator's own without its sums. Beside it, as a note, stands
the evaluator's own statement with its sums: what the figure pays on top of that is reading the rules, every interval and p, and writing
what was seen.
"""

import gc
import random
import re
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime
from statistics import median
from typing import Any

from django.db import connection, transaction

from benchmarks.result import measured
from benchmarks.stage import Stage

BAR = 2.0
RULES, TOUCHPOINTS, DAYS = 1_000, 200, 60
MODES, SEGMENTS = ("email", "sms", "web"), ("gold", "silver", "bronze", "new", "")
NOW = datetime(2026, 11, 19, 1, 0, tzinfo=UTC)
DAY = date(2026, 11, 18)
TARGET = {"nps": -60, "csat": 25, "ces": 3.5, "ttr": 24}
MET, MISSED = {**TARGET, "ttr_hours": 24}, {"nps": 20, "csat": 90, "ces": 6, "ttr_hours": 1}

# Cells of the finest grain, as many of each score; the roll-up's own SQL makes the other grains of them.
_SCORES = f"""
CREATE TEMPORARY TABLE bench_fine AS
SELECT DATE '{DAY}' - day AS day, touchpoint_id, question_id, mode, segment, ''::text AS location,
    {", ".join(f"CASE WHEN {s} BETWEEN low AND low + points - 1 THEN (3 * random())::int ELSE 0 END AS s{s}" for s in range(11))}
FROM bench_places, generate_series(0, {DAYS - 1}) AS day, unnest(%s::text[]) AS mode, unnest(%s::text[]) AS segment
"""
_DURATIONS = f"""
CREATE TEMPORARY TABLE bench_durations AS
SELECT 'resolved'::text AS basis, DATE '{DAY}' - day AS day, touchpoint_id, segment, ''::text AS location,
    floor(exp(6 + 6 * random()))::bigint AS seconds, false AS reopened, 1 AS delta
FROM bench_places, generate_series(0, {DAYS - 1}) AS day, unnest(%s::text[]) AS segment
"""


def run(stage: Stage, quick: bool = False) -> dict[str, Any]:
    """Milliseconds per evaluation, medians of rounds that alternate."""
    rounds = 3 if quick else 7
    modes, segments = (MODES, SEGMENTS[:3]) if quick else (MODES, SEGMENTS)
    _fill(modes, segments)
    _add_rules(modes, segments)
    figures, limits, own = [], [], []
    statement, params = _statement()
    cells = re.sub(r"sum\((c\.\w+)\)", r"\1", statement).replace(" GROUP BY 1", "")
    _limit(statement, params)  # once, so that neither pays for the cells' first reading
    for _round in range(rounds):
        gc.collect()  # else the garbage of the one is swept in the time of the other
        limits.append(_limit(cells, params))
        own.append(_limit(statement, params))
        figures.append(_look())
    note = f"{median(figures) / median(own):.2f} times the evaluator's own statement, which sums the cells"
    return measured("alerts", figures, limits, BAR, f"ms/{RULES} rules", better="lower", note=note)


def _fill(modes: Sequence[str], segments: Sequence[str]) -> None:
    from metrics.rollup import DURATION_KIND, SCORE_KIND
    from surveys.models import Channel, Instrument, Touchpoint
    from surveys.scales import scale_for

    rows = []
    for number in range(TOUCHPOINTS):
        instrument = Instrument.objects.get(slug=("nps", "csat5", "csat7", "ces")[number % 4])
        # One touchpoint in fifty misses its targets.
        targets = MISSED if number % 50 == 0 else MET
        channel = Channel.values[number % len(Channel.values)]
        made = Touchpoint.objects.create(
            slug=f"place-{number}", instrument=instrument, channel=channel, targets=targets
        )
        scale = scale_for(instrument.metric, instrument.points)
        rows.append((made.pk, instrument.questions.get(key="score").pk, scale.low, scale.points))
    with connection.cursor() as cursor:
        cursor.execute("SELECT setseed(0.42)")
        cursor.execute(
            "CREATE TEMPORARY TABLE bench_places (touchpoint_id bigint, question_id bigint, low int, points int)"
        )
        cursor.executemany("INSERT INTO bench_places VALUES (%s, %s, %s, %s)", rows)
        cursor.execute(_SCORES, [list(modes), list(segments)])
        cursor.execute(_DURATIONS, [list(segments)])
        cursor.execute(SCORE_KIND.upsert("bench_fine"))
        fine = DURATION_KIND.fine("bench_durations")
        cursor.execute(f"WITH fine AS MATERIALIZED ({fine}) {DURATION_KIND.upsert('fine')}")
        cursor.execute("DROP TABLE bench_places, bench_fine, bench_durations")
        cursor.execute("VACUUM (ANALYZE)")
        cursor.execute("CHECKPOINT")


def _add_rules(modes: Sequence[str], segments: Sequence[str]) -> None:
    """A rule's metric is its touchpoint's own, or TTR."""
    from metrics.models import AlertRule
    from surveys.models import Touchpoint

    draw = random.Random(42)
    places = list(Touchpoint.objects.order_by("pk").select_related("instrument"))
    rules = []
    for number in range(RULES):
        place = places[number % TOUCHPOINTS]
        is_ttr = number % 10 == 4
        assert place.instrument is not None
        metric, points = ("ttr", 0) if is_ttr else (place.instrument.metric, place.instrument.points)
        narrowed = number % 3 == 0
        where: dict[str, Any] = {"touchpoint": place}
        if number % 10 == 7:
            where = {"channel": place.channel, "target": TARGET[metric]}
        if narrowed:
            where |= {"segment": draw.choice(segments), "mode": "" if is_ttr else draw.choice(modes)}
        kind, days = "below_target" if number % 3 == 0 else "drop", draw.choice([7, 28, 28, 28])
        rules.append(
            AlertRule(slug=f"rule-{number}", kind=kind, metric=metric, points=points, window_days=days, **where)
        )
    AlertRule.objects.bulk_create(rules)


def _statement() -> tuple[str, list[Any]]:
    """The statement that the evaluator makes of these rules."""
    from metrics.alerting import evaluate
    from metrics.models.alerts import AlertKind
    from metrics.queries import Catalogue, many_statement

    places = evaluate.Places(Catalogue.load())
    asks: dict[Any, None] = {}
    for rule in evaluate.due_rules(DAY):
        asks |= dict.fromkeys(evaluate.asks_of(rule, evaluate.windows_of(rule, DAY), places))
        if rule.kind not in (AlertKind.BELOW_TARGET, AlertKind.DROP):
            raise AssertionError(rule.kind)
    return many_statement(list(asks), places.catalogue)


def _limit(statement: str, params: list[Any]) -> float:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('jit', 'off', true)")
        started = time.perf_counter()
        cursor.execute(statement, params)
        rows = cursor.fetchall()
        taken = 1000 * (time.perf_counter() - started)
    if len(rows) < RULES // 2:
        raise AssertionError(f"{len(rows)} rows: the rules' cells are not there")
    return taken


def _look() -> float:
    """One closed day for every rule, as the worker does it; then as if it had not been looked at."""
    from metrics.alerting.evaluate import look_at_days
    from metrics.models import Alert, AlertLook

    started = time.perf_counter()
    looks = look_at_days(NOW)
    taken = 1000 * (time.perf_counter() - started)
    if looks != RULES or AlertLook.objects.exclude(state="unknown").count() < RULES // 2:
        raise AssertionError(f"{looks} looks, too few of which found anything")
    AlertLook.objects.all().delete()
    Alert.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM metrics_alertlook, metrics_alert")
    return taken
