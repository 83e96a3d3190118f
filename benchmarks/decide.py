"""Events decided on per second with twenty active rules, one of which is for their type, beside the same without a rule.

Every customer has a history: an invitation that was sent and answered, and events. Both sides are `invite.drain` over events of as many
customers, chosen from all over the table; the figure leaves one decision per event, almost all of them to ask.
"""

import time
from typing import Any

from django.db import connection
from django.utils import timezone

from benchmarks.result import measured
from benchmarks.stage import Stage

BAR = 0.50
RULES = 20
TYPE = "order.delivered"


def run(stage: Stage, quick: bool = False) -> dict[str, Any]:
    """Events per second, medians of rounds that alternate."""
    customers, events, rounds = (50_000, 3000, 3) if quick else (1_000_000, 10_000, 5)
    _prepare(customers)
    figures, limits = [], []
    for round_ in range(rounds + 1):
        limit = _rate(events, customers, 2 * round_, rules=False)
        figure = _rate(events, customers, 2 * round_ + 1, rules=True)
        if round_:  # the first one warms up
            limits.append(limit)
            figures.append(figure)
    _check(events * (rounds + 1))
    return measured("decide", figures, limits, BAR, "events/s")


def _rate(count: int, customers: int, turn: int, *, rules: bool) -> float:
    from surveys.flow import invite
    from surveys.models import InvitationRule

    InvitationRule.objects.update(active=rules)
    _add_events(turn, count, customers)
    started = time.perf_counter()
    done = invite.drain(timezone.now)
    seconds = time.perf_counter() - started
    if done != count:
        raise AssertionError(f"{done} of {count} events were decided on")
    return count / seconds


def _prepare(customers: int) -> None:
    """Rules, and customers who were asked once and answered, each in a statement per table."""
    from surveys.models import Instrument, InvitationRule, Touchpoint

    instrument = Instrument.objects.get(slug="nps")
    for number in range(RULES):
        touchpoint = Touchpoint.objects.create(
            slug=f"bench-{number}", name={"en": "Bench"}, channel="website", instrument=instrument
        )
        InvitationRule.objects.create(
            slug=f"bench-{number}",
            event_type=TYPE if number == RULES // 2 else f"other.{number}",
            when="facts.wait_seconds < 6000",
            touchpoint=touchpoint,
            modes=["email"],
        )
    values = {"count": customers, "instrument": instrument.pk, "version": instrument.versions.latest("number").pk}
    with connection.cursor() as cursor:
        # What refers to what is right by construction, and not checked row by row.
        cursor.execute("SET session_replication_role = replica")
        for statement in _HISTORY:
            cursor.execute(statement, values)
        cursor.execute("SET session_replication_role = DEFAULT")
        for table in ("customer", "interactionevent", "invitation", "response"):
            cursor.execute(f"SELECT setval('surveys_{table}_id_seq', %s)", [customers])
        cursor.execute("ANALYZE")
        cursor.execute("CHECKPOINT")


_HISTORY = (
    """INSERT INTO surveys_customer (id, external_id, email, phone, name, language, time_zone, segment, attributes,
                                     profile_at, created_at)
       SELECT n, 'C-' || n, 'c' || n || '@example.com', '', '', 'en', '', 'gold', '{}', now() - interval '1 year', now()
       FROM generate_series(1, %(count)s) AS n""",
    """INSERT INTO surveys_interactionevent (id, source, event_id, type, time, received_at, customer_id, ticket_event, reference,
                                             location, facts, decided)
       SELECT n, '/shop/orders', 'old-' || n, 'other.1', at, at, n, '', 'ord-' || n, '', '{}', true
       FROM generate_series(1, %(count)s) AS n, LATERAL (SELECT now() - (100 + n %% 200) * interval '1 day' AS at) AS then_""",
    """INSERT INTO surveys_invitation (id, token, rule_id, event_id, customer_id, touchpoint_id, instrument_id, mode, status,
                                       reason, detail, language, location, decided_at, send_at, attempted_at, tried_at, sent_at,
                                       answered_at, expires_at, expires_s, attempts)
       SELECT n, 'token-' || n, r.id, n, n, r.touchpoint_id, %(instrument)s, 'email',
              CASE n %% 5 WHEN 0 THEN 'answered' ELSE 'expired' END, '', '', 'en', '', at, at, at, at, at,
              CASE n %% 5 WHEN 0 THEN at END, at + interval '14 days', 1209600, 1
       FROM generate_series(1, %(count)s) AS n, surveys_invitationrule r,
            LATERAL (SELECT now() - (100 + n %% 200) * interval '1 day' AS at) AS then_
       WHERE r.slug = 'bench-1'""",
    """INSERT INTO surveys_response (id, client_id, invitation_id, customer_id, touchpoint_id, version_id, mode, segment, location,
                                     language, day, responded_at, recorded_at, score, comment, body_hash, edit, reference, facts,
                                     excluded_reason)
       SELECT n, gen_random_uuid(), n, n, r.touchpoint_id, %(version)s, 'email', 'gold', '', 'en', at::date, at, at, 9, '', '', 0,
              '', '{}', ''
       FROM generate_series(5, %(count)s, 5) AS n, surveys_invitationrule r,
            LATERAL (SELECT now() - (100 + n %% 200) * interval '1 day' AS at) AS then_
       WHERE r.slug = 'bench-1'""",
)


def _add_events(turn: int, count: int, customers: int) -> None:
    """Events of customers that no other turn has events of, spread over them all."""
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO surveys_interactionevent (source, event_id, type, time, received_at, customer_id, ticket_event,
                                                     reference, location, facts, decided)
               SELECT '/shop/orders', format('%%s-%%s', %(turn)s::int, n), %(type)s, %(now)s, %(now)s,
                      1 + (%(turn)s::bigint * %(count)s + n) * 7919 %% %(customers)s, '', 'ord-' || n, '',
                      jsonb_build_object('wait_seconds', n %% 5000), false
               FROM generate_series(1, %(count)s) AS n""",
            {"turn": turn, "count": count, "customers": customers, "type": TYPE, "now": timezone.now()},
        )
        cursor.execute("ANALYZE surveys_interactionevent")


def _check(expected: int) -> None:
    from surveys.models import Invitation

    counted = Invitation.objects.filter(event__type=TYPE, status="scheduled").count()
    if counted != expected:
        raise AssertionError(f"{counted} of {expected} decisions are there")
