"""Events per second through HTTP in batches of 1,000, beside COPY of the same customers and events into the same tables.

Half of the customers are known, half are new; one rule matches. The limit copies the new customers and all events into the same
tables with the same indexes, from text that is ready.
"""

import io
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from benchmarks.load import request, send_all
from benchmarks.result import measured
from benchmarks.stage import Stage

BAR = 0.20
BATCH = 1000
CONNECTIONS = 2  # a sender that does not wait for one batch before it sends the next


def run(stage: Stage, quick: bool = False) -> dict[str, Any]:
    """Events per second, medians of rounds that alternate."""
    batches, rounds = (20, 3) if quick else (20, 5)
    count = batches * BATCH
    key = _prepare()
    port = stage.serve()
    figures, limits = [], []
    for round_ in range(rounds + 1):
        known = [f"known-{round_}-{number}" for number in range(count // 2)]
        _add_customers(known)
        limit = count / _copy(f"copy-{round_}", known, count)
        seconds, statuses = send_all(port, _requests(f"http-{round_}", known, count, key), CONNECTIONS)
        if statuses != {202: batches}:
            raise AssertionError(f"not every batch was taken: {statuses}")
        if round_:  # the first one warms up
            limits.append(limit)
            figures.append(count / seconds)
    stage.note_memory()
    _check(count * (rounds + 1))
    return measured("ingest", figures, limits, BAR, "events/s", peak_mb=stage.peak_mb)


def _prepare() -> str:
    from surveys.models import ApiKey, Instrument, InvitationRule, Touchpoint

    instrument = Instrument.objects.get(slug="nps")
    touchpoint = Touchpoint.objects.create(slug="bench", name={"en": "Bench"}, channel="website", instrument=instrument)
    InvitationRule.objects.create(slug="bench", event_type="order.delivered", touchpoint=touchpoint, modes=["email"])
    _row, key = ApiKey.objects.create_key(name="bench", scopes=["events:write"])
    return str(key)


def _people(prefix: str, known: list[str], count: int) -> list[str]:
    """Whom each event is about: known and new ones in turn."""
    return [known[number // 2] if number % 2 else f"{prefix}-new-{number}" for number in range(count)]


def _requests(prefix: str, known: list[str], count: int, key: str) -> list[bytes]:
    now = datetime.now(UTC)
    events = [
        {
            "specversion": "1.0",
            "id": f"{prefix}-{number}",
            "source": "/shop/orders",
            "type": "order.delivered",
            "time": (now - timedelta(seconds=number)).isoformat(),
            "data": {
                "reference": f"ord-{number}",
                "location": f"sh-{number % 40:03}",
                "customer": {
                    "external_id": person,
                    "email": f"{person}@example.com",
                    "name": "Li Na",
                    "language": "zh-hans",
                    "segment": "gold",
                },
                "facts": {"carrier": "SF", "wait_seconds": number % 5000},
            },
        }
        for number, person in enumerate(_people(prefix, known, count))
    ]
    kind = "application/cloudevents-batch+json"
    return [
        request(
            "POST",
            "/api/v1/events/",
            json.dumps(events[start : start + BATCH]).encode(),
            kind,
            Authorization=f"Bearer {key}",
        )
        for start in range(0, count, BATCH)
    ]


def _add_customers(names: list[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO surveys_customer (external_id, email, phone, name, language, time_zone, segment, attributes,
                                             profile_at, created_at)
               SELECT name, name || '@example.com', '', 'Li Na', 'en', '', 'gold', '{}', now() - interval '1 day', now()
               FROM unnest(%s::text[]) AS name""",
            [names],
        )
        cursor.execute("CHECKPOINT")


def _copy(prefix: str, known: list[str], count: int) -> float:
    """Seconds that COPY needs for the new customers and all events."""
    people = _people(prefix, known, count)
    with connection.cursor() as cursor:
        cursor.execute("SELECT external_id, id FROM surveys_customer WHERE external_id = ANY(%s)", [known])
        ids = dict(cursor.fetchall())
        cursor.execute("SELECT nextval('surveys_customer_id_seq') FROM generate_series(1, %s)", [count])
        fresh = [row[0] for row in cursor.fetchall()]
    now = datetime.now(UTC).isoformat()
    new = [person for person in people if person not in ids]
    ids.update(zip(new, fresh, strict=False))
    customers = "".join(
        f"{ids[person]}\t{person}\t{person}@example.com\t\tLi Na\tzh-hans\t\tgold\t{{}}\t{now}\t{now}\n"
        for person in new
    )
    events = "".join(
        f"/shop/orders\t{prefix}-{number}\torder.delivered\t{now}\t{now}\t{ids[person]}\t\\N\t\\N\t\tord-{number}"
        f'\tsh-{number % 40:03}\t{{"carrier": "SF", "wait_seconds": {number % 5000}}}\tf\n'
        for number, person in enumerate(people)
    )
    with connection.cursor() as cursor:
        started = time.perf_counter()
        cursor.copy_expert(
            """COPY surveys_customer (id, external_id, email, phone, name, language, time_zone, segment, attributes,
                                      profile_at, created_at) FROM STDIN""",
            io.StringIO(customers),
        )
        cursor.copy_expert(
            """COPY surveys_interactionevent (source, event_id, type, time, received_at, customer_id, touchpoint_id,
                                              ticket_id, ticket_event, reference, location, facts, decided) FROM STDIN""",
            io.StringIO(events),
        )
        return time.perf_counter() - started


def _check(expected: int) -> None:
    from surveys.models import InteractionEvent

    counted = InteractionEvent.objects.filter(event_id__startswith="http-").count()
    if counted != expected:
        raise AssertionError(f"{counted} of {expected} events are there")
