"""Personalised emails per second from due invitations to an SMTP server, beside a loop that sends the same mails without a database.

The figure is `deliver.drain` in one worker process: claiming, deciding again under a lock, writing, sending, recording. The limit
takes the very same invitations from memory, fills the same templates, builds each mail with Django's classes and sends it over one
smtplib connection. Both talk to the same sink, a process of its own, which the note shows was not what they waited for. The note
also has the loop's rate when it starts from what makes the product quick: its drafts and its way to bytes.
"""

import time
from statistics import median
from typing import Any

from django.db import connection

from benchmarks.result import measured
from benchmarks.sender import Sender
from benchmarks.sink import Sink
from benchmarks.stage import Stage

BAR = 0.50
NAMES = ("Li Na", "李娜", "Zoë Müller", "ليلى حداد")
LANGUAGES = ("en", "zh-hans", "de", "ar")


def run(stage: Stage, quick: bool = False) -> list[dict[str, Any]]:
    """Mails per second with one worker and with two, medians of rounds that alternate."""
    mails, rounds = (150, 3) if quick else (3000, 5)
    rule = prepare()
    limits: list[float] = []
    lean: list[float] = []
    figures: dict[int, list[float]] = {1: [], 2: []}
    busy: list[float] = []
    with Sink() as sink, Sender(sink.port) as one, Sender(sink.port) as two:
        for round_ in range(rounds + 1):
            make_due(rule, f"round-{round_}", mails)
            one.do("load")
            limit = mails / one.do("bare")["seconds"]
            size = _check(sink.take(), mails)["bytes"]
            leanest = mails / one.do("lean")["seconds"]
            _check(sink.take(), mails)
            figure, arrived = _drain([one], sink, mails)
            if abs(arrived["bytes"] / size - 1) > 0.02:
                raise AssertionError(f"not the same mails: {arrived['bytes']} bytes beside {size}")
            make_due(rule, f"double-{round_}", mails)
            double, _arrived = _drain([one, two], sink, mails)
            if round_:  # the first one warms up
                limits.append(limit)
                lean.append(leanest)
                figures[1].append(figure)
                figures[2].append(double)
                busy.append(arrived["busy_s"] * figure / mails)
    _check_rows(2 * mails * (rounds + 1))
    note = f"from our own drafts and bytes the loop does {median(lean):,.0f}; the sink was busy {median(busy):.0%} of the time"
    return [
        measured(name, figures[workers], limits, BAR, "mails/s", note=note)
        for name, workers in (("dispatch", 1), ("dispatch_2", 2))
    ]


def _drain(senders: list[Sender], sink: Sink, mails: int) -> tuple[float, dict[str, Any]]:
    """Mails per second until the last one of the senders finds nothing more, and what the sink says."""
    started = time.perf_counter()
    for sender in senders:
        sender.begin("drain")
    sent = sum(sender.end()["sent"] for sender in senders)
    seconds = time.perf_counter() - started
    if sent != mails:
        raise AssertionError(f"{sent} of {mails} mails were sent")
    return mails / seconds, _check(sink.take(), mails)


def _check(arrived: dict[str, Any], mails: int) -> dict[str, Any]:
    if (arrived["mails"], arrived["ids"]) != (mails, mails):
        raise AssertionError(f"not every mail arrived once: {arrived}")
    return arrived


def prepare() -> int:
    """An organisation in four languages and a rule of its own; the rule's id."""
    from surveys.models import Instrument, InvitationRule, Organisation, Touchpoint

    organisation = Organisation.current()
    organisation.name = {"en": "Harbour Tea", "zh-hans": "港湾茶", "ar": "شاي المرفأ"}
    organisation.languages = list(LANGUAGES)
    organisation.save()
    touchpoint = Touchpoint.objects.create(
        slug="bench",
        name={"en": "Delivery", "zh-hans": "配送", "de": "Lieferung"},
        channel="website",
        instrument=Instrument.objects.get(slug="nps"),
    )
    rule = InvitationRule.objects.create(
        slug="bench", event_type="order.delivered", touchpoint=touchpoint, modes=["email"]
    )
    return int(rule.pk)


def make_due(rule: int, prefix: str, count: int) -> None:
    """Invitations of as many new customers that are due now, each with its event."""
    with connection.cursor() as cursor:
        cursor.execute(
            """WITH people AS (
                   INSERT INTO surveys_customer (external_id, email, phone, name, language, time_zone, segment, attributes,
                                                 profile_at, created_at)
                   SELECT format('%%s-%%s', %(prefix)s::text, n), format('%%s-%%s@example.com', %(prefix)s::text, n), '',
                          (%(names)s::text[])[1 + n %% 4] || ' ' || n, (%(languages)s::text[])[1 + n %% 4], '', 'gold', '{}',
                          now(), now()
                   FROM generate_series(1, %(count)s) AS n RETURNING id, external_id, language),
               events AS (
                   INSERT INTO surveys_interactionevent (source, event_id, type, time, received_at, customer_id, ticket_event,
                                                         reference, location, facts, decided)
                   SELECT '/shop/orders', external_id, 'order.delivered', now(), now(), id, '', '', '', '{}', true
                   FROM people RETURNING id, customer_id)
               INSERT INTO surveys_invitation (token, rule_id, event_id, customer_id, touchpoint_id, instrument_id, mode, status,
                                               reason, detail, language, location, decided_at, send_at, expires_s, attempts)
               SELECT left(md5(random()::text), 22), r.id, events.id, customer_id, r.touchpoint_id, t.instrument_id, 'email',
                      'scheduled', '', '', people.language, '', now(), now(), 1209600, 0
               FROM people JOIN events ON events.customer_id = people.id
               JOIN surveys_invitationrule r ON r.id = %(rule)s JOIN surveys_touchpoint t ON t.id = r.touchpoint_id""",
            {"prefix": prefix, "names": list(NAMES), "languages": list(LANGUAGES), "count": count, "rule": rule},
        )
        cursor.execute("ANALYZE surveys_customer, surveys_invitation, surveys_interactionevent")
        cursor.execute("CHECKPOINT")


def _check_rows(expected: int) -> None:
    from surveys.models import DeliveryAttempt, Invitation

    counted = Invitation.objects.filter(status="sent").count(), DeliveryAttempt.objects.filter(result="sent").count()
    if counted != (expected, expected):
        raise AssertionError(f"rows are missing: {counted} of {expected}")
