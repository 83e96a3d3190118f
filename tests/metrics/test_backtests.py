"""A back-test says of past days what the evaluator says when it looks at them, and changes nothing."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from metrics.admin.alerts import SHOWN
from metrics.alerting import backtests
from metrics.alerting.backtests import BackTest, back_test
from metrics.alerting.evaluate import look_at_counts, look_at_days
from metrics.models import Alert, AlertLook
from metrics.models.alerts import COUNTING
from surveys.flow.groups import MANAGER
from surveys.models import Ticket, Touchpoint
from tests.factories import make_organisation
from tests.metrics import invited
from tests.metrics.raw import ticket
from tests.metrics.test_alert_views import text_of
from tests.metrics.test_alerts import DAY, DAY_S, at, give, spoil, touchpoint, watch
from tests.surveys.admin.staff import sign_in_as

pytestmark = pytest.mark.django_db
__all__ = ["touchpoint"]


def test_it_fires_on_the_days_on_which_the_evaluator_fires(touchpoint: Touchpoint) -> None:
    rule = watch(touchpoint, window_days=1)
    for offset, scores in ((-9, {"s0": 40}), (-8, {"s10": 40}), (-5, {"s0": 40}), (-4, {"s0": 40}), (-1, {"s0": 3})):
        give(touchpoint, DAY + timedelta(days=offset), **scores)
    found = back_test(rule, at(0))
    assert found is not None
    assert (found.last, (found.last - found.first).days, found.known) == (DAY, 89, 4)
    told = [(firing.day - DAY, firing.cleared and firing.cleared - DAY) for firing in found.firings]
    assert told == [(timedelta(days=-9), timedelta(days=-8)), (timedelta(days=-5), None)]
    assert not AlertLook.objects.exists()
    assert not Alert.objects.exists()
    for offset in range(-10, 1):
        look_at_days(at(offset))
    made = Alert.objects.order_by("fired_at")
    assert [alert.day for alert in made] == [firing.day for firing in found.firings]
    assert [alert.fired["value"] for alert in made] == [firing.numbers["value"] for firing in found.firings]
    assert [alert.cleared_at is None for alert in made] == [firing.cleared is None for firing in found.firings]


def days_of(found: BackTest | None) -> list[tuple[int, int | None]]:
    """The days on which it would have fired and cleared, counted from DAY."""
    assert found is not None
    return [
        ((firing.day - DAY).days, None if firing.cleared is None else (firing.cleared - DAY).days)
        for firing in found.firings
    ]


def alert_days(now: datetime) -> list[tuple[int, int | None]]:
    """The same of alerts that the evaluator made."""
    day_of = make_organisation().day_of
    made = Alert.objects.order_by("fired_at")
    return [
        ((day_of(one.fired_at) - DAY).days, None if one.cleared_at is None else (day_of(one.cleared_at) - DAY).days)
        for one in made
    ]


@pytest.mark.parametrize("kind", ["drop", "response_drop", "no_answers", "open_longer"])
def test_it_costs_the_same_however_often_it_fires(
    touchpoint: Touchpoint, kind: str, django_assert_max_num_queries: Any
) -> None:
    rule = watch(touchpoint, kind, **({"longer_than_s": DAY_S} if kind in COUNTING else {}))
    spoil(touchpoint, DAY)
    ticket(touchpoint, at(-3))
    invited.send(touchpoint, at(-20))
    with django_assert_max_num_queries(15):  # six of them begin, bound and end it
        back_test(rule, at(0))


def test_a_response_rate_fires_on_the_days_on_which_the_evaluator_fires(touchpoint: Touchpoint) -> None:
    """What went out late was not known to the looks of before, and is not counted in theirs."""
    for days_ago, sent, answered, later in (
        (14, 30, 20, 0),
        (13, 30, 20, 0),
        (7, 30, 3, 0),
        (6, 30, 25, 0),
        (6, 30, 1, 4),
    ):
        for number in range(sent):
            decided = invited.DAY - timedelta(days=days_ago)
            made = invited.send(touchpoint, decided, sent_at=decided + timedelta(days=later, hours=2))
            if number < answered:
                invited.answer(made)
    rule = watch(touchpoint, "response_drop", window_days=1, baseline_days=7)
    found = back_test(rule, at(0))
    assert not AlertLook.objects.exists()
    for offset in range(-12, 1):
        look_at_days(at(offset))
    made = Alert.objects.order_by("fired_at")
    assert found is not None
    assert [alert.day for alert in made] == [firing.day for firing in found.firings]
    assert [alert.fired["before_n"] for alert in made] == [firing.numbers["before_n"] for firing in found.firings]
    looks = AlertLook.objects.exclude(state="unknown")
    assert (found.known, len(found.firings)) == (looks.count(), 1)


def test_tickets_fire_when_the_evaluator_fires(touchpoint: Touchpoint) -> None:
    """Two of them, ten hours; it looks whenever one of them could make a difference, at the tickets as they were then."""
    hour, start = timedelta(hours=1), at(-6)
    made = [
        ticket(touchpoint, start + opened * hour, None if lasted is None else lasted * 3600)
        for opened, lasted in ((0, 11), (3, 15), (9, 10), (24, 30), (25, 9), (28, 40), (60, 8), (61, 40), (62, 12), (120, None),
                               (121, None))
    ]  # fmt: skip
    ticket(touchpoint, start, 90 * 3600, location="elsewhere")
    rule = watch(touchpoint, "open_longer", longer_than_s=36_000, at_least=2, location="here")
    Ticket.objects.filter(pk__in=[one.pk for one in made]).update(location="here")
    found = back_test(rule, at(0))
    assert not Alert.objects.exists()
    moments = {
        moment for one in made for moment in (one.opened_at + 8 * hour, one.opened_at + 10 * hour, one.resolved_at)
    }
    for moment in sorted(moment for moment in moments if moment is not None):
        Ticket.objects.update(resolved_at=None, day_resolved=None)
        for one in made:
            if one.resolved_at is not None and one.resolved_at <= moment:
                Ticket.objects.filter(pk=one.pk).update(resolved_at=one.resolved_at, day_resolved=one.day_resolved)
        look_at_counts(moment)
    told = days_of(found)
    assert told == alert_days(at(0))
    assert (len(told), told[-1][1]) == (3, None)
    assert found is not None
    assert (found.tickets, found.reopened) == (8, 0)


def test_a_ticket_that_is_too_old_already_fires_on_the_first_day(touchpoint: Touchpoint) -> None:
    """As a rule that is new does. What was resolved before is no matter, and what was reopened is said."""
    ticket(touchpoint, at(-200), 110 * DAY_S, reopened=2)  # until the first of the days
    ticket(touchpoint, at(-200), 100 * DAY_S)
    rule = watch(None, "open_longer", longer_than_s=DAY_S)
    found = back_test(rule, at(0))
    assert days_of(found) == [(-89, -89)]
    assert found is not None
    assert (found.tickets, found.reopened) == (1, 1)


def test_silence_is_judged_by_whole_days(touchpoint: Touchpoint) -> None:
    """Two days of silence and an hour: three whole days are longer than that for sure, two may not be."""
    for offset in range(-89, -20):
        give(touchpoint, DAY + timedelta(days=offset), drain=False, s9=1)
    for offset in (-18, -14, -10, -3):
        give(touchpoint, DAY + timedelta(days=offset), s9=1)
    rule = watch(touchpoint, "no_answers", longer_than_s=2 * DAY_S + 3600)
    found = back_test(rule, at(0))
    assert days_of(found) == [(-15, -14), (-11, -10), (-7, -3), (0, None)]
    assert found is not None
    assert found.whole_days == 3
    other_mode = watch(touchpoint, "no_answers", longer_than_s=2 * DAY_S, mode="sms")
    assert days_of(back_test(other_mode, at(0))) == [(-88, None)]
    Touchpoint.objects.update(active=False)
    assert days_of(back_test(rule, at(0))) == []


def test_where_there_is_too_much_to_look_at_it_says_so(touchpoint: Touchpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL ends the statement, and all goes on as it was."""
    monkeypatch.setattr(backtests, "LONGEST", timedelta(milliseconds=50))
    monkeypatch.setattr(backtests, "_CAME_TO_BE", "SELECT pg_sleep(20)")
    rule = watch(touchpoint, "open_longer", longer_than_s=60)
    assert back_test(rule, at(0)) is None
    shown = text_of(sign_in_as(MANAGER).get(f"/admin/metrics/alertrule/{rule.pk}/change/"))
    assert "There is more to look at than can be looked at" in shown
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('statement_timeout')")
        assert cursor.fetchone()[0] != "50ms"


def test_a_rules_page_says_it(touchpoint: Touchpoint) -> None:
    rule = watch(touchpoint)
    shown = text_of(sign_in_as(MANAGER).get(f"/admin/metrics/alertrule/{rule.pk}/change/"))
    assert "Had it watched already" in shown
    assert "It would have fired 0 times from " in shown


def test_a_page_says_what_its_numbers_rest_on(touchpoint: Touchpoint) -> None:
    now = timezone.now()
    for number in range(SHOWN + 2):  # one after the other, each gone before the next is too old
        ticket(touchpoint, now - timedelta(days=80 - 2 * number), 2 * 3600, reopened=number % 2)
    client = sign_in_as(MANAGER)

    def shown(kind: str, **fields: Any) -> str:
        return text_of(client.get(f"/admin/metrics/alertrule/{watch(touchpoint, kind, **fields).pk}/change/"))

    tickets = shown("open_longer", longer_than_s=3600)
    assert "It would have fired 32 times from " in tickets
    assert "Tickets that were open for more than 1 h: 32." in tickets
    assert ("… and 2 before." in tickets, tickets.count(": 1 ticket · cleared ")) == (True, SHOWN)
    assert "16 of these tickets were reopened: only their last resolutions are stored" in tickets
    silence = shown("no_answers", longer_than_s=DAY_S)
    assert "It would have fired at least 1 time from " in silence
    assert "Judged by whole days: it fires when 1 day has passed without any answer" in silence
    assert "Days with enough invitations to say: 0." in shown("response_drop")
