"""What staff have built upon the demo keeps what it stands on, in whatever app it is."""

import pytest

from metrics.models import AlertRule
from surveys.demo.load import demo_slugs
from surveys.demo.remove import _is_in_use, _is_pointed_to
from surveys.models import Journey, Stage
from tests.factories import make_invitation, make_rule, make_touchpoint

pytestmark = pytest.mark.django_db


def test_a_managers_alert_rule_keeps_its_touchpoint():
    touchpoint = make_touchpoint("delivery")
    assert not _is_in_use(touchpoint, demo_slugs().rules)
    rule = AlertRule.objects.create(slug="mine", kind="no_answers", longer_than_s=3600, touchpoint=touchpoint)
    assert _is_in_use(touchpoint, demo_slugs().rules)
    rule.delete()
    assert not _is_in_use(touchpoint, demo_slugs().rules)


def test_the_demos_own_rules_keep_nothing_and_others_do():
    touchpoint = make_touchpoint("delivery")
    make_rule(touchpoint, slug="mine")
    assert _is_in_use(touchpoint, ["theirs"])
    assert not _is_in_use(touchpoint, ["mine"])
    make_invitation(touchpoint)
    assert _is_in_use(touchpoint, ["mine"])


def test_an_alert_rule_keeps_its_stage_and_journey():
    journey = Journey.objects.create(slug="buying", name={"en": "Buying"})
    stage = Stage.objects.create(journey=journey, slug="buy", name={"en": "Buy"})
    assert not _is_pointed_to(journey, apart_from=(Stage,))
    AlertRule.objects.create(slug="mine", kind="no_answers", longer_than_s=3600, stage=stage)
    assert _is_pointed_to(stage)
    AlertRule.objects.update(stage=None, journey=journey)
    assert _is_pointed_to(journey, apart_from=(Stage,))
