"""Years of answers and tickets in a migrated, empty database: how `dashboard` is filled.

In: how many touchpoints, days, responses and tickets. Out: their rows, and all cells of them. Rows are made by SQL, and the
cells by the roll-up's own SQL, month by month as `rebuild_rollups` makes them. No page is asked for here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import connection

from metrics.models import Grain

MODES = ("email", "sms", "web", "qr", "link")
SEGMENTS = ("gold", "silver", "bronze", "new", "")
INSTRUMENTS = ("nps", "csat5", "csat7", "ces")
LOCATIONS = 40
TICKETS_AT = 5  # one touchpoint of so many is one where tickets are opened; over every journey and channel
OPEN_DAYS, OPEN_SHARE = 30, 0.1  # of the newest tickets so many are open still

# One row per response, oldest first, so that indexes grow at their right end. Days are UTC's, as the organisation's are here.
_RESPONSES = """
INSERT INTO surveys_response (client_id, touchpoint_id, version_id, mode, segment, location, language, day, responded_at,
                              recorded_at, completed_at, score, comment, body_hash, excluded_reason, edit, reference, facts)
SELECT lpad(to_hex(number), 32, '0')::uuid, touchpoint_id, version_id, (%(modes)s)[1 + (dice %% 5)],
    (%(segments)s)[1 + (dice / 5 %% 5)], 'branch-' || dice / 25 %% %(locations)s, 'en', (at AT TIME ZONE 'UTC')::date, at, at, at,
    low + floor(sqrt(luck) * points)::int,
    CASE WHEN number %% 4 = 0 THEN 'The courier was kind and quick.' ELSE '' END, '', '', 0, '', '{}'
FROM (
    SELECT number, %(now)s - make_interval(secs => %(days)s * 86400.0 * (1 - number::float8 / %(count)s)) AS at,
        1 + (random() * 1e9)::bigint %% %(touchpoints)s AS place, (random() * 2e9)::int AS dice, random() AS luck
    FROM generate_series(1, %(count)s) AS number
) AS made JOIN bench_places USING (place)
ORDER BY number
"""
# Half are resolved within eight hours, one in forty needs more than two days: e^(10.27 + normal), in seconds.
_TICKETS = """
INSERT INTO surveys_ticket (source, reference, customer_id, touchpoint_id, segment, location, opened_at, first_response_at,
                            resolved_at, reopened_count, in_ttr, day_opened, day_resolved)
SELECT '/bench', 't-' || number, %(customer)s, touchpoint_id, segment, location, at, at + (resolved - at) / 4, resolved,
    (number %% 20 = 0)::int, true, (at AT TIME ZONE 'UTC')::date, (resolved AT TIME ZONE 'UTC')::date
FROM (
    SELECT number, touchpoint_id, at, (%(segments)s)[1 + (dice %% 5)] AS segment,
        'branch-' || dice / 5 %% %(locations)s AS location,
        CASE WHEN ended <= %(now)s AND (at < %(now)s - make_interval(days => %(open_days)s) OR luck > %(open_share)s)
            THEN ended END AS resolved
    FROM (
        SELECT number, place, at, dice, luck,
            at + make_interval(secs => floor(exp(10.27 + sqrt(-2 * ln(1 - u)) * cos(2 * pi() * v)))) AS ended
        FROM (
            SELECT number, 1 + chosen * %(tickets_at)s + chosen %% %(tickets_at)s AS place,
                %(now)s - make_interval(secs => %(days)s * 86400.0 * (1 - number::float8 / %(tickets)s)) AS at,
                random() AS u, random() AS v, random() AS luck, (random() * 2e9)::int AS dice
            FROM (
                SELECT number, (random() * 1e9)::bigint %% (%(touchpoints)s / %(tickets_at)s) AS chosen
                FROM generate_series(1, %(tickets)s) AS number
            ) AS numbered
        ) AS drawn
    ) AS made JOIN bench_places USING (place)
) AS known
"""
_CELLS = ("metrics_scorecell", "metrics_durationcell")


@dataclass(frozen=True)
class Shape:
    """What a database holds; two of one shape differ in `responses` and `tickets` alone."""

    touchpoints: int
    days: int
    responses: int
    tickets: int


def fill(shape: Shape, now: datetime) -> None:
    """Fill the database. AssertionError where not every response and ticket is in the cells afterwards."""
    from surveys.models import Customer, Journey, Segment

    Segment.objects.bulk_create(Segment(name=name) for name in SEGMENTS if name)
    journeys = [Journey.objects.create(slug=f"j{number}", name={"en": f"Journey {number}"}) for number in range(5)]
    _add_touchpoints(journeys, shape.touchpoints)
    customer = Customer.objects.create(external_id="bench", profile_at=now)
    parameters: dict[str, Any] = {
        "now": now,
        "days": shape.days,
        "count": shape.responses,
        "touchpoints": shape.touchpoints,
        "tickets": shape.tickets,
        "modes": list(MODES),
        "segments": list(SEGMENTS),
        "locations": LOCATIONS,
        "tickets_at": TICKETS_AT,
        "open_days": OPEN_DAYS,
        "open_share": OPEN_SHARE,
        "customer": customer.pk,
    }
    with connection.cursor() as cursor:
        # Loading checks no foreign key row by row; what is loaded holds them.
        cursor.execute(
            "SET session_replication_role = replica; SET maintenance_work_mem = '512MB'; SELECT setseed(0.42)"
        )
        again = _drop_indexes(cursor)
        cursor.execute(_RESPONSES, parameters)
        cursor.execute(_TICKETS, parameters)
        cursor.execute("CREATE INDEX bench_day ON surveys_response (day); ANALYZE surveys_response")
        _fill_cells(cursor)
        cursor.execute("DROP INDEX bench_day")
        for statement in again:
            cursor.execute(statement)
        cursor.execute("SET session_replication_role = origin; RESET maintenance_work_mem")
        cursor.execute("VACUUM (ANALYZE)")  # now, so that it does not come while pages are timed
        cursor.execute("CHECKPOINT")
    _check(shape)


def _drop_indexes(cursor: Any) -> list[str]:
    """Drop what can be made again faster than it is kept; SQL that makes it again. Cells leave the log of writes meanwhile."""
    cursor.execute(
        """SELECT indrelid::regclass::text, indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisprimary
           FROM pg_index WHERE indrelid::regclass::text = ANY(%s)
               AND (NOT indisunique OR indrelid::regclass::text = ANY(%s))""",
        [["surveys_response", "surveys_ticket", *_CELLS], list(_CELLS)],
    )
    again = []
    for table, index, made, is_primary in cursor.fetchall():
        if is_primary:
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {index}")
            again += [made, f"ALTER TABLE {table} ADD CONSTRAINT {index} PRIMARY KEY USING INDEX {index}"]
        else:
            cursor.execute(f"DROP INDEX {index}")
            again.append(made)
    for table in _CELLS:
        cursor.execute(f"ALTER TABLE {table} SET UNLOGGED")
    return again


def _fill_cells(cursor: Any) -> None:
    """Cells by the roll-up's own SQL, scores a month at a time; each is new, so nothing is there to add to."""
    from metrics.rollup import DURATION_KIND, SCORE_KIND

    cursor.execute("SET work_mem = '256MB'")
    scores = (
        "SELECT day, touchpoint_id, question_id, mode, segment, location, score, 1 AS delta FROM surveys_response "
        "JOIN bench_places USING (touchpoint_id) WHERE day >= %(first)s AND day < %(after)s"
    )
    durations = DURATION_KIND.raw_rows("%(first)s", "%(after)s")
    months = _months(cursor)
    whole = months[0] | {"after": months[-1]["after"]}
    for kind, rows, spans in ((SCORE_KIND, scores, months), (DURATION_KIND, durations, [whole])):
        columns = ", ".join(("grain", *kind.key, *kind.counters))
        for span in spans:
            cursor.execute(
                f"WITH raw AS ({rows}), fine AS MATERIALIZED ({kind.fine('raw')}) "
                f"INSERT INTO {kind.cell} ({columns}) {kind.spread('fine')}",
                span,
            )
    cursor.execute("RESET work_mem")


def _months(cursor: Any) -> list[dict[str, date]]:
    """The `first` day of each month that holds something, and that of the next, `after` which it is over."""
    cursor.execute(
        """SELECT month::date, (month + interval '1 month')::date FROM (
               SELECT min(least(day_opened, day_resolved)), max(greatest(day_opened, day_resolved)) FROM surveys_ticket
           ) AS days (first, last), generate_series(date_trunc('month', first), last, interval '1 month') AS month"""
    )
    return [{"first": first, "after": after} for first, after in cursor.fetchall()]


def _check(shape: Shape) -> None:
    with connection.cursor() as cursor:
        for day in ("day", "month"):
            grains = [grain.value for grain in Grain if grain.name.startswith(day.upper())]
            cursor.execute(
                "SELECT grain, sum(s0+s1+s2+s3+s4+s5+s6+s7+s8+s9+s10) FROM metrics_scorecell WHERE grain = ANY(%s) GROUP BY 1",
                [grains],
            )
            if {row[1] for row in cursor.fetchall()} != {shape.responses}:
                raise AssertionError("not every response is in the cells")
        cursor.execute("SELECT count(*) FILTER (WHERE resolved_at IS NULL), count(*) FROM surveys_ticket")
        waiting, tickets = cursor.fetchone()
        cursor.execute("SELECT DISTINCT sum(n) FROM metrics_durationcell GROUP BY basis, grain")
        if tickets != shape.tickets or cursor.fetchall() != [(tickets - waiting,)] or not waiting:
            raise AssertionError("not every resolved ticket is in the cells")


def _add_touchpoints(journeys: Sequence[Any], count: int) -> None:
    """The touchpoints, and a table of what each asks for the SQL above."""
    from surveys.models import Channel, Instrument, Touchpoint
    from surveys.scales import scale_for

    rows = []
    for number in range(count):
        instrument = Instrument.objects.get(slug=INSTRUMENTS[number % len(INSTRUMENTS)])
        touchpoint = Touchpoint.objects.create(
            slug=f"place-{number}",
            name={"en": f"Place {number}"},
            journey=journeys[number % len(journeys)],
            channel=Channel.values[number % len(Channel.values)],
            instrument=instrument,
            targets={"nps": 20, "csat": 60, "ces": 5},
        )
        scale = scale_for(instrument.metric, instrument.points)
        question = instrument.questions.get(key="score")
        version = instrument.versions.latest("number")
        rows.append((number + 1, touchpoint.pk, question.pk, version.pk, scale.low, scale.points))
    with connection.cursor() as cursor:
        cursor.execute(
            """CREATE TEMPORARY TABLE bench_places (place bigint, touchpoint_id bigint, question_id bigint, version_id bigint,
                                                    low int, points int)"""
        )
        cursor.executemany("INSERT INTO bench_places VALUES (%s, %s, %s, %s, %s, %s)", rows)
        cursor.execute("ANALYZE bench_places")
