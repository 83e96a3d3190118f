"""A rule tried on a million events: memory stays where it was, whatever comes, and the first progress is there at once.

With CX_FIGURES=1 it says what it measured.
"""

import os
import sys
import time
from datetime import timedelta

import psutil
import pytest
from django.db import connection

from surveys.flow.dry_run import ASKED, Progress, Result, dry_run
from surveys.models import Customer
from tests.factories import NOW, make_organisation, make_rule, make_touchpoint

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
EVENTS, CUSTOMERS, MESSAGES = 1_000_000, 300_000, 200_000
MOST_MB = 300  # beyond what the process had before: a chunk's rows, a number for each asked customer, what waits

_CUSTOMERS = """
INSERT INTO surveys_customer (external_id, email, phone, name, language, time_zone, segment, attributes, profile_at, created_at)
SELECT 'v-' || n, 'v' || n || '@example.com', '', 'Person ' || n, 'en', '', 'gold', '{"city": "Shanghai"}', %s, %s
FROM generate_series(1, %s) AS n
"""
_EVENTS = """
INSERT INTO surveys_interactionevent (source, event_id, type, time, received_at, customer_id, ticket_event, reference, location, facts,
                                      decided)
SELECT '/volume', 'v-' || n, 'order.delivered', at, at, %(first)s + (n::bigint * 7919) %% %(people)s, '', '', 'sh-1',
    jsonb_build_object('wait_seconds', n %% 4000, 'carrier', 'SF'), true
FROM (SELECT n, %(start)s + interval '30 days' * (n::float8 / (%(count)s + 1)) AS at FROM generate_series(1, %(count)s) AS n) AS rows
"""
_MESSAGES = """
INSERT INTO surveys_invitation (rule_id, event_id, customer_id, touchpoint_id, instrument_id, mode, status, reason, detail, language,
                                location, token, decided_at, send_at, attempted_at, sent_at, expires_s, attempts)
SELECT NULL, NULL, %(first)s + n, %(touchpoint)s, %(instrument)s, 'email', 'sent', '', '', 'en', '', 'volume-' || n, at, at, at, at,
    1209600, 1
FROM (SELECT n, %(start)s + interval '30 days' * random() AS at FROM generate_series(0, %(count)s - 1) AS n) AS rows
"""


def fill(touchpoint):
    start = NOW - timedelta(days=30)
    with connection.cursor() as cursor:
        cursor.execute(_CUSTOMERS, [start, start, CUSTOMERS])
        first = Customer.objects.order_by("pk").values_list("pk", flat=True)[0]
        given = {"first": first, "people": CUSTOMERS, "start": start}
        cursor.execute(_EVENTS, {**given, "count": EVENTS})
        cursor.execute(
            _MESSAGES,
            {**given, "touchpoint": touchpoint.pk, "instrument": touchpoint.instrument_id, "count": MESSAGES},
        )
        for table in ("customer", "interactionevent", "invitation"):
            cursor.execute(f"ANALYZE surveys_{table}")


def test_a_million_events_are_tried_in_bounded_memory():
    make_organisation()
    elsewhere = make_touchpoint()
    rule = make_rule(make_touchpoint(), when="facts.wait_seconds < 3600", delay_s=86_400, resting_any_s=7 * 86_400)
    fill(elsewhere)
    process = psutil.Process()
    before = most = process.memory_info().rss
    began = time.monotonic()
    first_after = None
    halfway = 0
    result = None
    for step in dry_run(rule, NOW - timedelta(days=30), NOW):
        most = max(most, process.memory_info().rss)
        if isinstance(step, Progress):
            first_after = first_after or time.monotonic() - began
            halfway = halfway or (most if step.share > 0.5 else 0)
        else:
            result = step
    took = time.monotonic() - began
    assert isinstance(result, Result)
    if os.environ.get("CX_FIGURES"):
        grown, half = ((size - before) / 1e6 for size in (most, halfway))
        told = f"{EVENTS} events in {took:.0f} s, the first progress after {first_after:.1f} s"
        sys.stderr.write(f"\n{told}, {grown:.0f} MB more ({half:.0f} halfway): {dict(result.outcomes)}\n")
    assert result.events == EVENTS
    assert sum(result.outcomes.values()) == EVENTS
    assert result.outcomes[ASKED] > CUSTOMERS / 2
    assert (most - before) / 1e6 < MOST_MB
