"""Form answers per second over 8 connections, beside a bare Django view that parses the same body and does one INSERT.

Each answer is one score and a comment on a link of its own. Both sides run under the same gunicorn and the same settings, one
after the other. (Beside a Django without any middleware the ratio is 0.35 to 0.48: middleware is a third of the bare view.)
"""

import secrets
from typing import Any
from urllib.parse import urlencode

from django.db import connection

from benchmarks.load import request, send_all
from benchmarks.result import measured
from benchmarks.stage import Stage

BAR = 0.50
CONNECTIONS = 8


def run(stage: Stage, quick: bool = False) -> dict[str, Any]:
    """Answers per second, medians of rounds that alternate."""
    answers, rounds = (400, 3) if quick else (3000, 5)
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE bench_answer (id bigserial PRIMARY KEY, token text, score int, comment text, at timestamptz)"
        )
    touchpoint, instrument, version = prepare()
    ours, bare = stage.serve(), stage.serve("benchmarks.bare")
    figures, limits = [], []
    for round_ in range(rounds + 1):
        tokens = invite(touchpoint, instrument, answers)
        limit, figure = rate(bare, tokens, version), rate(ours, tokens, version)
        if round_:  # the first one warms up
            limits.append(limit)
            figures.append(figure)
    stage.note_memory()
    _check(answers * (rounds + 1))
    return measured("respond", figures, limits, BAR, "answers/s", peak_mb=stage.peak_mb)


def rate(port: int, tokens: list[str], version: int) -> float:
    form = "application/x-www-form-urlencoded"
    body = urlencode(
        {"version": version, "language": "en", "score": "9", "comment": "The courier was kind and quick."}
    ).encode()
    seconds, statuses = send_all(port, [request("POST", f"/s/{token}/", body, form) for token in tokens], CONNECTIONS)
    if statuses != {303: len(tokens)}:
        raise AssertionError(f"not every answer was taken: {statuses}")
    return len(tokens) / seconds


def prepare() -> tuple[int, int, int]:
    from surveys.models import Instrument, Touchpoint

    instrument = Instrument.objects.get(slug="nps")
    touchpoint = Touchpoint.objects.create(slug="bench", name={"en": "Bench"}, channel="website", instrument=instrument)
    version = instrument.versions.latest("number")
    return touchpoint.pk, instrument.pk, version.pk


def invite(touchpoint: int, instrument: int, count: int) -> list[str]:
    """Sent invitations of as many customers; their tokens."""
    tokens = [secrets.token_urlsafe(16) for _number in range(count)]
    with connection.cursor() as cursor:
        cursor.execute(
            """WITH people AS (
                   INSERT INTO surveys_customer (external_id, email, phone, name, language, time_zone, segment, attributes,
                                                 profile_at, created_at)
                   SELECT token, token || '@example.com', '', '', 'en', '', 'gold', '{}', now(), now()
                   FROM unnest(%s::text[]) AS token RETURNING id, external_id)
               INSERT INTO surveys_invitation (token, customer_id, touchpoint_id, instrument_id, mode, status, reason, detail,
                                               language, location, decided_at, send_at, expires_s, attempts, sent_at,
                                               expires_at)
               SELECT external_id, id, %s, %s, 'email', 'sent', '', '', 'en', '', now(), now(), 1209600, 1, now(),
                      now() + interval '14 days' FROM people""",
            [tokens, touchpoint, instrument],
        )
    return tokens


def _check(expected: int) -> None:
    from surveys.models import Answer, Response, ScoreLedger

    counted = (Response.objects.count(), Answer.objects.count(), ScoreLedger.objects.count())
    if counted != (expected, 2 * expected, expected):
        raise AssertionError(f"rows are missing: {counted}")
