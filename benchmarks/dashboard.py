"""The matrix page at 10 M responses, beside the same page at 100 k of the same shape: 50 touchpoints × 25 mode-segment pairs × 90 days.

Both databases stand side by side, each with a PostgreSQL and a gunicorn of its own; a logged-in session asks for the page
over HTTP. What is measured is whether the page stays flat as history grows. Responses and their ledger rows are written by
SQL, the cells by the real roll-up.
"""

import http.client
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from django.db import connection

from benchmarks.load import request, send_all
from benchmarks.result import measured
from benchmarks.stage import Stage

BAR = 1.25
MAX_QUERIES = 12
TOUCHPOINTS, DAYS = 50, 90
MODES = ("email", "sms", "web", "qr", "link")
SEGMENTS = ("gold", "silver", "bronze", "new", "")
INSTRUMENTS = ("nps", "csat5", "csat7", "ces")
PATH = "/admin/"  # as after login: the last 30 days against the 30 before

# One row per response, oldest first, so that indexes grow at their right end. Days are UTC's, as the organisation's are here.
_ROWS = f"""
SELECT number, now() - interval '{DAYS} days' * (1 - number::float8 / %(count)s) AS at,
    1 + (random() * 1e9)::bigint %% {TOUCHPOINTS} AS place,
    (%(modes)s)[1 + (random() * 1e9)::bigint %% {len(MODES)}] AS mode,
    (%(segments)s)[1 + (random() * 1e9)::bigint %% {len(SEGMENTS)}] AS segment, random() AS luck
FROM generate_series(1, %(count)s) AS number
"""
_RESPONSES = """
INSERT INTO surveys_response (client_id, touchpoint_id, version_id, mode, segment, location, language, day, responded_at,
                              recorded_at, completed_at, score, comment, body_hash, excluded_reason, edit, reference, facts)
SELECT lpad(to_hex(number), 32, '0')::uuid, touchpoint_id, version_id, mode, segment, '', 'en', (at AT TIME ZONE 'UTC')::date, at,
    at, at, low + floor(sqrt(luck) * points)::int, CASE WHEN number % 4 = 0 THEN 'The courier was kind and quick.' ELSE '' END, '', '',
    0, '', '{}'
FROM bench_rows JOIN bench_places USING (place)
ORDER BY number
"""
_LEDGER = """
INSERT INTO surveys_scoreledger (day, touchpoint_id, question_id, mode, segment, location, score, delta)
SELECT day, touchpoint_id, question_id, mode, segment, location, score, 1
FROM surveys_response JOIN bench_places USING (touchpoint_id)
"""


def run(stage: Stage, quick: bool = False) -> dict[str, Any]:
    """Milliseconds per page, medians of rounds that alternate."""
    (many, few), rounds, times = ((30_000, 3_000), 3, 4) if quick else ((10_000_000, 100_000), 7, 30)
    stage.collect_static()
    small = _Site(stage, few, "small")
    big = _Site(stage, many)
    figures, limits = [], []
    for _round in range(rounds):
        # In turn, page by page: whatever else the machine does meanwhile meets both.
        pairs = [(small.page_ms(), big.page_ms()) for _time in range(times)]
        limits.append(median(limit for limit, _figure in pairs))
        figures.append(median(figure for _limit, figure in pairs))
    stage.note_memory()
    return measured("dashboard", figures, limits, BAR, "ms/page", better="lower", peak_mb=stage.peak_mb)


class _Site:
    """A filled database with its web server and somebody who is logged in; `aside`: under which name it makes room for the next."""

    def __init__(self, stage: Stage, responses: int, aside: str = "") -> None:
        _fill(responses)
        cookie = _log_in()
        if aside:
            stage.put_aside(aside)
        self.port = stage.serve(database=aside or "cxsurvey")
        self.cookie = f"{cookie.key}={cookie.value}"
        warm = request("GET", PATH, b"", "text/plain", Cookie=self.cookie)
        _seconds, statuses = send_all(self.port, [warm] * 32, 8)  # each thread of each process opens its connection
        if statuses != {200: 32}:
            raise AssertionError(f"the page does not come: {statuses}")
        self.kept = http.client.HTTPConnection("127.0.0.1", self.port)

    def page_ms(self) -> float:
        """One page over a connection that is kept."""
        started = time.perf_counter()
        self.kept.request("GET", PATH, headers={"Cookie": self.cookie})
        response = self.kept.getresponse()
        page = response.read()
        taken = 1000 * (time.perf_counter() - started)
        if response.status != 200 or page.count(b"cx-is-value") != TOUCHPOINTS:
            raise AssertionError(f"{response.status}: not every touchpoint has its figure")
        return taken


def _fill(count: int) -> None:
    """Touchpoints, segments, `count` responses and their ledger rows, drained by the real roll-up."""
    from metrics.rollup import roll_up
    from surveys.models import Journey, Segment

    Segment.objects.bulk_create(Segment(name=name) for name in SEGMENTS if name)
    journeys = [Journey.objects.create(slug=f"j{number}", name={"en": f"Journey {number}"}) for number in range(5)]
    _add_touchpoints(journeys)
    with connection.cursor() as cursor:
        # Loading checks no foreign key row by row; what is loaded holds them.
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("SELECT setseed(0.42)")
        parameters = {"count": count, "modes": list(MODES), "segments": list(SEGMENTS)}
        cursor.execute(f"CREATE TEMPORARY TABLE bench_rows AS {_ROWS}", parameters)
        cursor.execute("ANALYZE bench_rows")
        cursor.execute(_RESPONSES)
        cursor.execute("DROP TABLE bench_rows")
        cursor.execute(_LEDGER)
        cursor.execute("SET session_replication_role = origin")
        cursor.execute("ANALYZE surveys_scoreledger")
    while roll_up():
        pass
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")  # now, so that it does not come while pages are timed
        cursor.execute("CHECKPOINT")
        cursor.execute("SELECT count(*) FROM surveys_response")
        responses = cursor.fetchone()
        cursor.execute("SELECT sum(s0+s1+s2+s3+s4+s5+s6+s7+s8+s9+s10) FROM metrics_scorecell WHERE grain = 0")
        if responses != (count,) or cursor.fetchone() != (count,):
            raise AssertionError("not every response is in the cells")


def _add_touchpoints(journeys: Sequence[Any]) -> None:
    """Fifty touchpoints, and a table of what each asks for the SQL above."""
    from surveys.models import Channel, Instrument, Touchpoint
    from surveys.scales import scale_for

    rows = []
    for number in range(TOUCHPOINTS):
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
        version = instrument.current_version()
        rows.append((number + 1, touchpoint.pk, question.pk, version.pk, scale.low, scale.points))
    with connection.cursor() as cursor:
        cursor.execute(
            """CREATE TEMPORARY TABLE bench_places (place bigint, touchpoint_id bigint, question_id bigint, version_id bigint,
                                                    low int, points int)"""
        )
        cursor.executemany("INSERT INTO bench_places VALUES (%s, %s, %s, %s, %s, %s)", rows)
        cursor.execute("ANALYZE bench_places")


def _log_in() -> Any:
    """A manager's session cookie; the page is asked for once here, since only here its queries can be counted."""
    from django.conf import settings
    from django.contrib.auth.models import Permission, User
    from django.test import Client, override_settings
    from django.test.utils import CaptureQueriesContext

    user = User.objects.create_user("bench", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    plain = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    with override_settings(STORAGES=settings.STORAGES | plain), CaptureQueriesContext(connection) as queries:
        client.get(PATH)
    if len(queries) > MAX_QUERIES:
        raise AssertionError(f"{len(queries)} queries for one page, {MAX_QUERIES} at most")
    return client.cookies[settings.SESSION_COOKIE_NAME]
