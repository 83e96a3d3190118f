"""What a sample gives, foretold from the last 30 days."""

from collections.abc import Iterable
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from surveys.admin.samples import told_plan
from surveys.flow.sample_plan import SamplePlan, Spread, plan_sample
from surveys.models import InvitationRule
from surveys.scales import CES, CSAT5, NPS
from tests.factories import NOW, make_instrument, make_invitation, make_rule, make_touchpoint
from tests.metrics.raw import answer


def lines(plan: SamplePlan | None) -> str:
    return str(told_plan(plan)).replace("<li>", "").replace("</li>", "\n")


def invited(rule: InvitationRule, count: int, **fields: object) -> None:
    for _ in range(count):
        make_invitation(rule.touchpoint, rule=rule, **{"decided_at": NOW - timedelta(days=2), **fields})


@pytest.mark.django_db
def test_a_plan_counts_whom_the_rule_could_have_asked() -> None:
    rule = make_rule(sample_share=0.5)
    invited(rule, 15)
    invited(rule, 5, status="answered", answered_at=NOW)
    withheld = {
        "status": "withheld",
        "token": None,
        "send_at": None,
        "sent_at": None,
        "attempted_at": None,
        "expires_at": None,
    }
    invited(rule, 18, **withheld, reason="sampled_out")
    invited(rule, 7, **withheld, reason="resting_any")  # a larger sample does not reach them
    invited(rule, 2, status="scheduled", sent_at=None)  # neither asked nor lost yet
    invited(rule, 9, decided_at=NOW - timedelta(days=31))
    invited(make_rule(rule.touchpoint), 4)
    with CaptureQueriesContext(connection) as context:
        plan = plan_sample(rule, NOW)
    assert len(context) == 2
    assert plan is not None
    assert (plan.could, plan.asked, plan.answered, plan.share) == (40, 20, 5, 0.5)
    assert (plan.rate, plan.answers_at(0.5), plan.answers_at(1)) == (0.25, 5, 10)
    assert plan.spread == Spread.widest(NPS)


@pytest.mark.django_db
def test_the_spread_is_that_of_the_touchpoints_own_answers_and_a_rule_without_questions_has_no_plan() -> None:
    rule = make_rule(make_touchpoint(instrument=make_instrument(metric="csat", points=5)))
    for score in [5] * 27 + [1] * 3:
        answer(rule.touchpoint, score, day=NOW.date() - timedelta(days=1))
    plan = plan_sample(rule, NOW)
    assert plan is not None
    assert (plan.spread.highest, plan.spread.answers) == (0.9, 30)
    bare = make_touchpoint("bare")
    bare.instrument = None
    assert plan_sample(make_rule(bare), NOW) is None


def of_bands(detractors: int, passives: int, promoters: int) -> Spread:
    return Spread.seen(NPS, {3: detractors, 8: passives, 10: promoters})


def test_a_spread_is_the_variance_that_the_interval_uses() -> None:
    found = of_bands(20, 20, 60)
    assert found.of_bands == pytest.approx(0.8 - 0.4**2)
    assert found.answers_for(10) == 243  # (100 · 1.96 / 10)² · 0.64 − 3
    assert of_bands(10, 9, 10) == Spread.widest(NPS)  # 29 are too few to know
    assert of_bands(0, 0, 90) == Spread.widest(NPS)  # and where all agree, nobody knows what the next will say
    assert Spread.widest(CES).deviation == 3
    assert Spread.widest(CSAT5).answers_for(10) == 93


def test_a_plan_says_what_the_sample_gives_and_what_better_ones_would() -> None:
    said = lines(SamplePlan(4000, 2000, 500, 0.5, of_bands(20, 20, 60)))
    assert "4,000 could have been asked, 2,000 were, and 25% of them answered." in said
    assert "A sample of 50% gives about 500 answers a month: an interval of about ±7 points." in said
    assert "±5 points needs 981 answers a month: a sample of about 98%." in said
    assert "±10 points needs 243 answers a month: a sample of about 24%." in said
    assert "widest spread" not in said


def test_what_even_everybody_cannot_give_is_said() -> None:
    said = lines(SamplePlan(400, 100, 20, 0.25, Spread.widest(CSAT5)))
    assert "A sample of 25% gives about 20 answers a month: an interval of about ±20 points." in said
    assert "±5 points needs 381 answers a month. Asking everybody gives about 80, and ±11 points." in said
    assert "With the widest spread that answers can have" in said
    assert "±0.50 of the scale needs" in lines(SamplePlan(900, 900, 300, 1, Spread.widest(CES)))
    assert "A sample of 0.0% gives no answers." in lines(SamplePlan(900, 900, 300, 0, Spread.widest(CES)))


@pytest.mark.parametrize(("asked", "answered", "known"), [(20, 1, True), (19, 9, False), (20, 0, False)])
def test_of_too_few_nothing_is_foretold(asked: int, answered: int, known: bool) -> None:
    said = lines(SamplePlan(asked, asked, answered, 1, Spread.widest(NPS)))
    assert ("A sample of" in said) is known
    assert ("Once 20 have been asked" in said) is not known
    assert lines(None) == "–"


def test_a_plan_speaks_chinese() -> None:
    with translation.override("zh-hans"):
        said = lines(SamplePlan(4000, 2000, 500, 0.5, of_bands(20, 20, 60)))
    assert "抽样比例 50% 每月约得 500 份答卷，区间约为 ±7 分。" in said
    assert english_in(said.splitlines()) == []


def english_in(said: Iterable[str]) -> list[str]:
    return [line for line in said if "answers" in line or "sample" in line]
