"""The first page of found answers at 10 M responses, beside the same page at 100 k of the same shape: 200 touchpoints, three years.

Both databases stand side by side, and a logged-in session asks for each page in turn; the figure is the search that does worst beside
its own limit. Asked for is what PostgreSQL alone would choose badly for: words that are everywhere, nowhere, and long ago, rare
segments, places and facts, the middle of a long list. Responses and terms are written by SQL; that the terms are those that the real
index makes is checked on some of them.
"""

import random
import time
from collections.abc import Mapping
from statistics import median
from typing import Any

from django.db import connection, connections

from benchmarks.result import measured
from benchmarks.stage import Stage
from surveys.terms import vector

BAR = 3.0
TOUCHPOINTS, DAYS = 200, 1096
MODES = ("email", "sms", "web", "qr", "link")
SEGMENTS = ("gold", "silver", "bronze", "new", "")
INSTRUMENTS = ("nps", "csat5", "csat7", "ces")
RARE, OFTEN, SOMETIMES, CHINESE, LONG_AGO = range(1, 6)
COMMENTS: Mapping[int, str] = {
    0: "",
    RARE: "A scorpion sat in the parcel, and the courier did not answer the phone.",
    OFTEN: "The courier was kind and quick.",
    SOMETIMES: "The box was broken, the courier left without a word.",
    CHINESE: "配送速度太慢了，但是客服态度很好。",
    LONG_AGO: "What a grand opening!",
}
EVER = "/admin/responses/?from=2000-01-01"
SEARCHES: Mapping[str, str] = {
    "the newest": "/admin/responses/",
    "all days": EVER,
    "a word of every fourth": f"{EVER}&q=courier",
    "a word of few": f"{EVER}&q=scorpion",
    "a word of nobody": f"{EVER}&q=helicopter",
    "a word of long ago": f"{EVER}&q=opening",
    "two words": f"{EVER}&q=broken+courier",
    "a word of few and one of every fourth": f"{EVER}&q=scorpion+courier",
    "two characters": f"{EVER}&q=%E5%A4%AA%E6%85%A2",
    "a phrase of the lowest band": f"{EVER}&q=%22without+a+word%22&band=worst",
    "a word within a month of the middle": "/admin/responses/?from=2025-06-01&to=2025-06-30&q=courier",
    "a rare segment": f"{EVER}&segment=vip",
    "a rare segment and a word": f"{EVER}&segment=vip&q=courier",
    "one place": f"{EVER}&location=sh-77&score_max=2",
    "a touchpoint's excluded": f"{EVER}&touchpoint=place-7&state=excluded",
    "a fact": f"{EVER}&fact=carrier+%3D+SF&mode=qr&metric=ces",
}

# Oldest first, as they came. Of `luck` all else is made, so that nothing goes with anything.
_RESPONSES = f"""
INSERT INTO surveys_response (client_id, touchpoint_id, version_id, mode, segment, location, language, day, responded_at,
                              recorded_at, completed_at, score, comment, body_hash, excluded_at, excluded_reason, edit, reference, facts)
SELECT lpad(to_hex(number), 32, '0')::uuid, touchpoint_id, version_id, mode, segment, location, 'en', (at AT TIME ZONE 'UTC')::date, at,
    at, at, low + floor(luck * points)::int, said.comment, '', CASE WHEN number % 5000 = 11 THEN at END,
    CASE WHEN number % 5000 = 11 THEN 'a test' ELSE '' END, 0, '',
    CASE WHEN number % 1000 = 5 THEN '{{"carrier": "SF"}}' ELSE '{{}}' END::jsonb
FROM (
    SELECT number, now() - interval '{DAYS} days' * (1 - number::float8 / %(count)s) AS at, random() AS luck,
        1 + (random() * 1e9)::bigint %% {TOUCHPOINTS} AS place,
        (%(modes)s)[1 + (random() * 1e9)::bigint %% {len(MODES)}] AS mode,
        CASE WHEN number % 50000 = 16 THEN 'vip' ELSE (%(segments)s)[1 + (random() * 1e9)::bigint %% {len(SEGMENTS)}] END AS segment,
        'sh-' || (random() * 1e9)::bigint %% 500 AS location,
        CASE WHEN number %% 30000 = 7 THEN {RARE} WHEN number < %(count)s / 36 AND number %% 50 = 9 THEN {LONG_AGO}
             WHEN number %% 100 = 3 THEN {SOMETIMES} WHEN number %% 10 = 1 THEN {CHINESE}
             WHEN number %% 4 = 0 THEN {OFTEN} ELSE 0 END AS kind
    FROM generate_series(1, %(count)s) AS number
) made JOIN bench_places USING (place) JOIN bench_comments said USING (kind)
ORDER BY number
""".replace("number % ", "number %% ")
_TERMS = """
INSERT INTO surveys_responseterms (response_id, terms)
SELECT r.id, (said.terms || format(
    ' ''/t%s'' ''/v%s'' ''/m%s'' ''/s%s'' ''/l%s'' ''/g%s'' ''/y%s'' ''/c%s'' ''/x%s'' ''/p1'' ''/n%s'' %s',
    touchpoint_id, version_id, mode, segment, location, language, to_char(responded_at AT TIME ZONE 'UTC', 'YYYYMM'),
    (r.comment <> '')::int, (excluded_at IS NOT NULL)::int, score, CASE WHEN facts <> '{}' THEN '''/fcarrier=SF''' ELSE '' END
))::tsvector FROM surveys_response r JOIN bench_comments said USING (comment)
"""


def run(stage: Stage, quick: bool = False) -> dict[str, Any]:
    """Milliseconds per page, medians of rounds that alternate, of the search that does worst."""
    (many, few), rounds, times = ((10_000, 1_000), 3, 1) if quick else ((10_000_000, 100_000), 7, 5)
    small = _Site(few)
    stage.put_aside("small")
    small.database = "small"
    big = _Site(many)
    searches = dict([*SEARCHES.items()][::2]) if quick else SEARCHES
    figures: dict[str, list[float]] = {name: [] for name in searches}
    limits: dict[str, list[float]] = {name: [] for name in searches}
    for round_ in range(rounds + 1):
        for site, taken in ((small, limits), (big, figures)):
            site.open()
            for name, address in searches.items():
                ms = median(site.page_ms(address) for _time in range(times))
                if round_:  # the first one warms up
                    taken[name].append(ms)
    big.open()
    worst = max(searches, key=lambda name: median(figures[name]) / median(limits[name]))
    told = ", ".join(f"{name} {median(figures[name]):.0f}/{median(limits[name]):.0f}" for name in searches)
    return measured(
        "search", figures[worst], limits[worst], BAR, "ms/page", better="lower", note=f"worst: {worst}; {told}"
    )


class _Site:
    """A filled database and somebody who is logged in. It stands under the connection's own name until it is put aside."""

    def __init__(self, count: int) -> None:
        from django.contrib.auth.models import Permission, User
        from django.test import Client

        fill(count)
        self.database = connection.settings_dict["NAME"]
        user = User.objects.create_user("bench", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
        self.client = Client(SERVER_NAME="127.0.0.1")
        self.client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")

    def open(self) -> None:
        """What is asked next goes to this database."""
        connections.close_all()
        connections["default"].settings_dict["NAME"] = self.database

    def page_ms(self, address: str) -> float:
        from django.conf import settings
        from django.test import override_settings

        plain = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
        with override_settings(STORAGES=settings.STORAGES | plain):
            started = time.perf_counter()
            response = self.client.get(address)
            taken = 1000 * (time.perf_counter() - started)
        if response.status_code != 200 or ("courier" in address and b"<mark>" not in response.content):
            raise AssertionError(f"{address}: {response.status_code}, or nothing was found")
        return taken


def fill(count: int) -> None:
    """Touchpoints, segments, `count` responses of three years and their terms."""
    from surveys.models import Segment

    Segment.objects.bulk_create(Segment(name=name) for name in (*SEGMENTS, "vip") if name)
    _add_touchpoints()
    with connection.cursor() as cursor:
        # Loading checks no foreign key row by row; what is loaded holds them. An index is built at once in a tenth of the time.
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("SET maintenance_work_mem = '512MB'")
        cursor.execute("SELECT setseed(0.42)")
        cursor.execute("CREATE TEMPORARY TABLE bench_comments (kind int, comment text, terms text)")
        cursor.executemany(
            "INSERT INTO bench_comments VALUES (%s, %s, %s)",
            [(kind, text, vector([text] * bool(text), ())) for kind, text in COMMENTS.items()],
        )
        cursor.execute("ANALYZE bench_comments")
        cursor.execute(_RESPONSES, {"count": count, "modes": list(MODES), "segments": list(SEGMENTS)})
        cursor.execute("DROP INDEX response_terms")
        cursor.execute(_TERMS)
        cursor.execute("CREATE INDEX response_terms ON surveys_responseterms USING gin (terms) WITH (fastupdate = off)")
        cursor.execute("SET session_replication_role = origin")
        cursor.execute("DROP TABLE bench_comments, bench_places")
        cursor.execute("VACUUM (ANALYZE) surveys_response, surveys_responseterms")
        cursor.execute("CHECKPOINT")
    _check(count)


def _check(count: int) -> None:
    """Some of the terms are those that the real index makes."""
    from surveys.flow.index import index_now
    from surveys.models import Response, ResponseTerms

    if ResponseTerms.objects.count() != count:
        raise AssertionError("not every response has its terms")
    luck, last = random.Random(1), Response.objects.latest("pk").pk
    some = [luck.randint(last - count + 1, last) for _one in range(60)]
    ours = dict(ResponseTerms.objects.filter(pk__in=some).values_list("pk", "terms"))
    index_now(some)
    if ours != dict(ResponseTerms.objects.filter(pk__in=some).values_list("pk", "terms")):
        raise AssertionError("the terms are not those of the real index")


def _add_touchpoints() -> None:
    """Two hundred touchpoints, and a table of what each asks for the SQL above."""
    from surveys.models import Channel, Instrument, Journey, Touchpoint
    from surveys.scales import scale_for

    instruments = {slug: Instrument.objects.get(slug=slug) for slug in INSTRUMENTS}
    versions = {slug: instrument.versions.latest("number") for slug, instrument in instruments.items()}
    journeys = [Journey.objects.create(slug=f"j{number}", name={"en": f"Journey {number}"}) for number in range(5)]
    made = Touchpoint.objects.bulk_create(
        Touchpoint(
            slug=f"place-{number}",
            name={"en": f"Place {number}"},
            journey=journeys[number % len(journeys)],
            channel=Channel.values[number % len(Channel.values)],
            instrument=instruments[INSTRUMENTS[number % len(INSTRUMENTS)]],
        )
        for number in range(TOUCHPOINTS)
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE bench_places (place bigint, touchpoint_id bigint, version_id bigint, low int, points int)"
        )
        for number, touchpoint in enumerate(made, 1):
            instrument = instruments[INSTRUMENTS[(number - 1) % len(INSTRUMENTS)]]
            scale, version = scale_for(instrument.metric, instrument.points), versions[instrument.slug]
            cursor.execute(
                "INSERT INTO bench_places VALUES (%s, %s, %s, %s, %s)",
                [number, touchpoint.pk, version.pk, scale.low, scale.points],
            )
        cursor.execute("ANALYZE bench_places")
