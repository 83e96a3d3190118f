"""A back-test says of past days what the evaluator says when it looks at them, and changes nothing."""

from datetime import timedelta

import pytest

from metrics.alerting.backtests import back_test
from metrics.alerting.evaluate import look_at_days
from metrics.models import Alert, AlertLook
from surveys.flow.groups import MANAGER
from surveys.models import Touchpoint
from tests.metrics.test_alert_views import text_of
from tests.metrics.test_alerts import DAY, at, give, spoil, touchpoint, watch
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
    assert [alert.fired["value"] for alert in made] == [firing.found.now.value for firing in found.firings]
    assert [alert.cleared_at is None for alert in made] == [firing.cleared is None for firing in found.firings]


def test_it_costs_the_same_however_often_it_fires(touchpoint: Touchpoint, django_assert_max_num_queries) -> None:
    rule = watch(touchpoint, "drop")
    spoil(touchpoint, DAY)
    with django_assert_max_num_queries(8):
        back_test(rule, at(0))


def test_what_counts_is_not_looked_at(touchpoint: Touchpoint) -> None:
    assert back_test(watch(touchpoint, "no_answers", longer_than_s=60), at(0)) is None
    assert back_test(watch(touchpoint, "response_drop"), at(0)) is None


def test_a_rules_page_says_it(touchpoint: Touchpoint) -> None:
    rule = watch(touchpoint)
    shown = text_of(sign_in_as(MANAGER).get(f"/admin/metrics/alertrule/{rule.pk}/change/"))
    assert "Had it watched already" in shown
    assert "It would have fired 0 times from " in shown
    counts = watch(touchpoint, "no_answers", longer_than_s=60)
    shown = text_of(sign_in_as(MANAGER).get(f"/admin/metrics/alertrule/{counts.pk}/change/"))
    assert "Had it watched already" not in shown
