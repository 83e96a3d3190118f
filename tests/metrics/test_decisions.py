"""Decisions and what became of them: what is counted, what is told, who may see and write it, and what it costs."""

from datetime import UTC, date, datetime, time, timedelta
from io import StringIO
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AnonymousUser, User
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from metrics.decisions import Decisions, Judged
from metrics.demo import ALERT_RULES, MENU, OLD_DAYS, RECEIPTS, remove_decisions, write_alerts, write_decisions
from metrics.display.figures import COLUMNS, column_key
from metrics.frame import Frame
from metrics.models import Alert, AlertLook, AlertRule, Decision, Expectation, Team
from metrics.models.alerts import rule_faults
from metrics.models.decisions import Metric
from metrics.rollup import roll_up
from surveys.demo.load import ROWS, SETTINGS, DemoRefused, programme
from surveys.flow.programme import import_programme
from surveys.models import Instrument, Organisation, Touchpoint
from tests.factories import make_organisation, make_touchpoint
from tests.metrics.raw import answer, exclude, ticket
from tests.metrics.test_markers import decide
from tests.metrics.test_views import SCORES, login, text_of

pytestmark = pytest.mark.django_db

DAY = date(2026, 9, 1)
LATER = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)


def expect(decision: Decision, metric: str, direction: str = "up", by: float | None = None) -> Expectation:
    return Expectation.objects.create(decision=decision, metric=metric, direction=direction, by=by)


def nps(slug: str = "delivery", **fields: Any) -> Touchpoint:
    return make_touchpoint(slug, instrument=Instrument.objects.get(slug="nps"), **fields)


def heard(touchpoint: Touchpoint, day: date, best: int, worst: int) -> None:
    for score, count in ((10, best), (0, worst)):
        for _number in range(count):
            answer(touchpoint, score, day=day)


def judged(rf: Any, *rows: Decision, now: datetime = LATER) -> list[Judged]:
    roll_up()
    request = rf.get("/")
    request.user = AnonymousUser()
    decisions = Decisions.load(Frame.load(request, now), now)
    return decisions.judge([decisions.find(row.pk) for row in rows])[0]


def verdicts(found: Judged) -> list[str]:
    return [finding.effect.verdict for finding in found.findings]


@pytest.fixture
def delivery() -> Touchpoint:
    make_organisation()
    return nps(name={"en": "Delivery", "zh-hans": "配送"}, channel="home_service")


# --- What is counted --------------------------------------------------------------------------------------------------


def test_each_metric_is_named_as_on_every_page():
    assert set(Metric.values) == {column_key(column) for column in COLUMNS}


def test_answers_of_the_days_before_and_after_count_and_no_others(rf, delivery):
    made = decide("x", delivery, day=DAY, window_days=7)
    expect(made, "nps")
    for days, best, worst in ((-8, 50, 0), (-7, 3, 4), (-1, 2, 1), (0, 5, 0), (6, 6, 1), (7, 0, 50)):
        heard(delivery, DAY + timedelta(days=days), best, worst)
    exclude(answer(delivery, 0, day=DAY))
    (finding,) = judged(rf, made)[0].findings
    assert (finding.before.n, finding.after.n) == (10, 12)
    assert finding.effect.comparison.before == pytest.approx(0)
    assert finding.effect.comparison.now == pytest.approx(100 * 10 / 12)
    assert finding.effect.verdict == "as_expected"


def test_touchpoints_are_pooled_and_scales_are_not(rf, delivery):
    shop = nps("shop")
    five, seven = (make_touchpoint(slug, instrument=Instrument.objects.get(slug=slug)) for slug in ("csat5", "csat7"))
    made = decide("x", delivery, shop, five, seven, day=DAY, window_days=7)
    for metric in ("nps", "csat5", "csat7"):
        expect(made, metric)
    for day in (DAY - timedelta(days=1), DAY):
        heard(delivery, day, 6, 0)
        heard(shop, day, 0, 6)
        for _number in range(8):
            answer(five, 5, day=day)
            answer(seven, 1, day=day)
    found = {finding.expectation.metric: finding for finding in judged(rf, made)[0].findings}
    assert (found["nps"].before.n, found["nps"].effect.comparison.before) == (12, 0)
    assert (found["csat5"].before.n, found["csat5"].effect.comparison.before) == (8, 100)
    assert (found["csat7"].before.n, found["csat7"].effect.comparison.before) == (8, 0)


def test_ttr_is_of_tickets_opened_in_these_days_with_those_still_open(rf, delivery):
    made = decide("x", delivery, day=DAY, window_days=7)
    expect(made, "ttr", "down", by=2)
    for number in range(20):
        before = datetime.combine(DAY - timedelta(days=1 + number % 7), time(number), UTC)
        ticket(delivery, before, 10 * 3600 + 60 * number)
        ticket(delivery, datetime.combine(DAY + timedelta(days=number % 7), time(number), UTC), 3600 + 60 * number)
    ticket(delivery, datetime.combine(DAY, time(1), UTC))
    (finding,) = judged(rf, made)[0].findings
    assert (finding.before.n, finding.after.n) == (20, 21)
    assert finding.effect.comparison.difference == pytest.approx(-9 * 3600, rel=0.02)
    assert (finding.effect.expected, finding.effect.verdict) == (-7200, "more")


# --- Too early, too few -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Europe/Berlin", "America/New_York"])
def test_it_is_too_early_until_the_last_day_after_is_over_where_the_organisation_is(rf, zone):
    """Over both changes of the clocks in autumn."""
    make_organisation(time_zone=zone)
    place, day = nps(), date(2026, 10, 20)
    made = decide("x", place, day=day, window_days=14)
    expect(made, "nps")
    heard(place, day - timedelta(days=1), 1, 9)
    heard(place, day, 9, 1)
    midnight = datetime.combine(day + timedelta(days=14), time.min, ZoneInfo(zone)).astimezone(UTC)
    early = judged(rf, made, now=midnight - timedelta(seconds=1))[0]
    assert (early.done, early.is_over, verdicts(early)) == (13, False, ["too_early"])
    assert early.findings[0].after.n == 10  # what is there so far is shown
    over = judged(rf, made, now=midnight)[0]
    assert (over.done, over.is_over, verdicts(over)) == (14, True, ["as_expected"])


@pytest.mark.parametrize(("count", "verdict"), [(4, "too_few"), (5, "as_expected")])
def test_below_the_organisations_fewest_answers_nothing_is_tested(rf, delivery, count, verdict):
    made = decide("x", delivery, day=DAY)
    expect(made, "nps")
    heard(delivery, DAY - timedelta(days=1), 0, 50)
    heard(delivery, DAY, count, 0)
    assert verdicts(judged(rf, made)[0]) == [verdict]
    make_organisation(min_n=10)
    assert verdicts(judged(rf, made)[0]) == ["too_few"]


# --- Several at once --------------------------------------------------------------------------------------------------


def test_decisions_of_a_quarter_are_corrected_for_together_and_those_of_another_are_not(rf, delivery):
    made = decide("x", delivery, day=DAY, window_days=7)
    expect(made, "nps")
    heard(delivery, DAY - timedelta(days=1), 10, 10)
    heard(delivery, DAY, 18, 4)
    alone = judged(rf, made)[0]
    assert (alone.family, verdicts(alone)) == (1, ["as_expected"])
    p = alone.findings[0].effect.comparison.p
    assert alone.findings[0].effect.p == pytest.approx(p)
    elsewhere = nps("shop")
    for number in range(3):  # not tested yet, and one withdrawn: they count all the same
        other = decide(f"{number}", elsewhere, day=date(2026, 9, 30), window_days=100, withdrawn=number == 2)
        expect(other, "nps")
    expect(decide("next quarter", elsewhere, day=date(2026, 10, 1)), "nps")
    among = judged(rf, made)[0]
    assert (among.family, among.findings[0].effect.p) == (4, pytest.approx(4 * p))
    assert verdicts(among) == ["no_change"]


def test_another_decision_in_the_same_days_at_the_same_touchpoint_is_named(rf, delivery):
    made = decide("x", delivery, day=DAY, window_days=7)
    near = decide("near", delivery, nps("shop"), day=DAY + timedelta(days=6))
    decide("later", delivery, day=DAY + timedelta(days=7))
    decide("elsewhere", Touchpoint.objects.get(slug="shop"), day=DAY)
    decide("taken back", delivery, day=DAY, withdrawn=True)
    assert [other.pk for other in judged(rf, made)[0].rivals] == [near.pk]


# --- Pages ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def story(delivery: Touchpoint) -> dict[str, Decision]:
    """One that moved as expected, beside a shop that did not move, a year after days of which there are answers; one too early."""
    today = make_organisation().day_of(timezone.now())
    shop = nps("shop", channel="home_service")
    owner = User.objects.create_user("li", first_name="Li", last_name="Na", is_staff=True)
    day = today - timedelta(days=30)
    good = decide("Parcels <b>by noon</b>", delivery, day=day, done="We moved the cut-off.", owner=owner)
    expect(good, "nps", by=70)
    counter = make_touchpoint("counter", instrument=Instrument.objects.get(slug="csat5"), channel="on_site")
    early = decide("Couriers ring twice", counter, day=today - timedelta(days=12))
    expect(early, "csat5")
    for back in (0, 364):
        for offset in range(-28, 28, 4):
            at = day + timedelta(days=offset - back)
            heard(delivery, at, 5 if offset < 0 or back else 9, 5 if offset < 0 or back else 1)
            heard(shop, at, 5, 5)
    roll_up()
    return {"good": good, "early": early}


def test_the_list_tells_each_expected_change_with_its_verdict(story):
    shown = text_of(login(SCORES).get("/admin/decisions/"))
    assert "Parcels &lt;b&gt;by noon&lt;/b&gt;" in shown
    assert "rises by 70" in shown
    assert "As expected" in shown
    assert "Too early: 12 of 28 days" in shown
    assert "As expected or more: 1 · Not told yet: 1" in shown
    assert "Li Na" in shown
    assert "caused" not in shown


def test_a_decisions_page_tells_before_after_difference_interval_and_p(story):
    shown = text_of(login(SCORES).get(f"/admin/decisions/{story['good'].pk}/"))
    for text in (
        "expected: rises by 70", "As expected", "+80 n = 70", "+80", "95% interval: +", "below 0.001", "We moved the cut-off.",
        "A year before", "Held against other touchpoints", "1 of the same channel", "Delivery",
    ):  # fmt: skip
        assert text in shown, text
    early = text_of(login(SCORES).get(f"/admin/decisions/{story['early'].pk}/"))
    assert "Too early: 12 of 28 days" in early
    assert "Nothing is tested before" in early


def test_the_pages_tables_are_files(story):
    client = login(SCORES)
    rows = b"".join(client.get("/admin/decisions/decisions.csv").streaming_content).decode()
    assert "Parcels <b>by noon</b>" in rows
    assert "As expected" in rows
    for table in ("effect", "year", "elsewhere"):
        response = client.get(f"/admin/decisions/{story['good'].pk}/{table}.csv")
        assert response.status_code == 200, table
    assert f"decision-{story['good'].pk}-elsewhere-" in response["Content-Disposition"]


def test_filters_choose_decisions_by_where_they_hold(story):
    client = login(SCORES)
    assert "by noon" not in text_of(client.get("/admin/decisions/?touchpoint=counter"))
    assert "Couriers" in text_of(client.get("/admin/decisions/?touchpoint=counter"))
    shown = text_of(client.get("/admin/decisions/?touchpoint=counter&period=custom&from=2020-01-01&to=2020-02-01"))
    assert "No decision within these days and filters" in shown
    assert "2 others were recorded" in shown
    assert "Does not apply on this page: Collected by" in text_of(client.get("/admin/decisions/?mode=email"))


def test_without_decisions_the_page_says_what_to_do(delivery):
    client = login(SCORES, "metrics.add_decision")
    page = client.get("/admin/decisions/?touchpoint=delivery").content.decode()
    assert "No decision was recorded yet" in page
    today = make_organisation().day_of(timezone.now())
    assert f"/admin/metrics/decision/add/?day={today}&amp;touchpoints={delivery.pk}" in page


def test_a_decision_that_is_not_there_is_told_so(delivery):
    response = login(SCORES).get("/admin/decisions/4711/")
    assert response.status_code == 404
    assert "There is no such decision" in response.content.decode()


def test_a_withdrawn_decision_is_on_no_list_and_is_not_compared(story):
    Decision.objects.filter(pk=story["good"].pk).update(withdrawn=True)
    client = login(SCORES)
    assert "by noon" not in text_of(client.get("/admin/decisions/"))
    shown = text_of(client.get(f"/admin/decisions/{story['good'].pk}/"))
    assert "This decision was withdrawn" in shown
    assert "As expected" not in shown


def test_pages_are_there_in_chinese(story):
    client = login(SCORES)
    page = client.get("/admin/decisions/", headers={"accept-language": "zh-hans"}).content.decode()
    assert "时间未到：已过 12 天，共 28 天" in page
    assert "符合预期" in page


@pytest.mark.parametrize("which", ["list", "one"])
def test_what_pages_cost_does_not_follow_how_many_decisions_there_are(story, which):
    client = login(SCORES)
    path = "/admin/decisions/" if which == "list" else f"/admin/decisions/{story['good'].pk}/"

    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(path).status_code == 200
        return len(captured)

    before = count()
    for number in range(5):
        for touchpoint in Touchpoint.objects.all():
            expect(decide(f"{number}", touchpoint, day=story["good"].day + timedelta(days=number)), "nps")
    assert count() == before <= 15


# --- Writing one down -------------------------------------------------------------------------------------------------


def form_of(touchpoint: Touchpoint, *rows: tuple[str, str, str], **fields: Any) -> dict[str, Any]:
    data = {
        "title": "Parcels by noon", "day": "2026-09-01", "touchpoints": [touchpoint.pk], "done": "", "owner": "",
        "window_days": "28", "expectations-TOTAL_FORMS": len(rows), "expectations-INITIAL_FORMS": 0, **fields,
    }  # fmt: skip
    for number, (metric, direction, by) in enumerate(rows):
        data |= {
            f"expectations-{number}-metric": metric,
            f"expectations-{number}-direction": direction,
            f"expectations-{number}-by": by,
        }
    return data


WRITES = ("metrics.view_decision", "metrics.add_decision", "metrics.change_decision", "surveys.view_touchpoint", SCORES)


def test_a_manager_writes_a_decision_down_and_sees_its_page(delivery):
    client = login(*WRITES)
    response = client.post("/admin/metrics/decision/add/", form_of(delivery, ("nps", "up", "5"), ("ttr", "down", "")))
    made = Decision.objects.get()
    assert (response.status_code, response["Location"]) == (302, f"/admin/decisions/{made.pk}/")
    assert sorted(made.expectations.values_list("metric", "direction", "by")) == [
        ("nps", "up", 5.0),
        ("ttr", "down", None),
    ]
    assert made.created_by is not None
    assert LogEntry.objects.get(object_id=str(made.pk)).change_message
    assert "Parcels by noon" in text_of(client.get(response["Location"]))


@pytest.mark.parametrize(
    ("rows", "fields", "told"),
    [
        ([], {}, "Name at least one metric that is expected to move"),
        ([("nps", "up", "-5")], {}, "Above 0 and at most 200"),
        ([("ces", "up", "6.1")], {}, "Above 0 and at most 6"),
        ([("nps", "up", ""), ("nps", "down", "")], {}, "metric"),
        ([("nps", "up", "")], {"window_days": "6"}, "greater than or equal to 7"),
        ([("nps", "up", "")], {"touchpoints": []}, "This field is required"),
    ],
)
def test_what_cannot_be_looked_for_is_refused_in_words(delivery, rows, fields, told):
    response = login(*WRITES).post("/admin/metrics/decision/add/", form_of(delivery, *rows, **fields))
    assert told in text_of(response)
    assert not Decision.objects.exists()


def test_a_form_that_is_begun_for_a_touchpoint_knows_its_metric_the_day_and_who_writes(delivery):
    page = login(*WRITES).get(f"/admin/metrics/decision/add/?touchpoints={delivery.pk}&day=2026-09-01").content.decode()
    assert 'value="2026-09-01"' in page
    assert f'<option value="{delivery.pk}" selected>' in page
    assert '<option value="nps" selected>' in page


def test_whoever_sees_scores_sees_decisions_and_only_managers_write_them(story):
    viewer = login(SCORES)
    assert viewer.get("/admin/decisions/").status_code == 200
    page = viewer.get("/admin/touchpoints/delivery/").content.decode()
    assert "Record a decision" not in page
    assert viewer.get("/admin/metrics/decision/add/").status_code == 403
    manager = login(*WRITES)
    assert "Record a decision" in manager.get("/admin/touchpoints/delivery/").content.decode()
    assert login("surveys.view_response").get("/admin/decisions/").status_code == 403


# --- The demo ---------------------------------------------------------------------------------------------------------


def test_the_demos_decisions_come_once_and_go_with_it_and_a_managers_own_stays(delivery):
    other = make_touchpoint("hotline", instrument=Instrument.objects.get(slug="csat5"))
    now = timezone.now()
    write_decisions(now, 90)
    young = next(row for row in write_decisions(now, 90) if row.title == MENU.title)
    assert Decision.objects.count() == 3
    assert list(young.touchpoints.all()) == [other]
    assert young.day == make_organisation().day_of(now) - timedelta(days=10)
    own = decide(MENU.title, other, created_by=User.objects.create_user("li"))
    assert remove_decisions() == 3
    assert list(Decision.objects.all()) == [own]


def test_the_demos_decision_that_moved_nothing_stands_on_a_day_on_which_nothing_moved(rf):
    make_organisation()
    checkout = make_touchpoint("checkout", instrument=Instrument.objects.get(slug="ces"))
    make_touchpoint("delivery")
    today = make_organisation().day_of(LATER)
    chance = {**dict.fromkeys(range(31, 41), 7), **dict.fromkeys(range(41, 51), 1)}  # by days ago; luck had it so
    for ago in range(90):
        answer(checkout, chance.get(ago, 4 + ago % 2), day=today - timedelta(days=ago))
    row = next(one for one in write_decisions(LATER, 90) if one.title == RECEIPTS.title)
    unlucky = decide("forty days ago", checkout, day=today - timedelta(days=OLD_DAYS))
    expect(unlucky, "ces")
    calm, seen = judged(rf, row, unlucky)
    assert (verdicts(calm), verdicts(seen)) == (["no_change"], ["as_expected"])
    assert [one.day for one in write_decisions(LATER, 20) if one.title == RECEIPTS.title] == [
        today - timedelta(days=10)
    ]


def test_taking_the_demo_away_takes_its_alerts_and_leaves_what_a_manager_made():
    import_programme(programme(sections=(*SETTINGS, *ROWS)))
    Organisation.objects.filter(pk=Organisation.current().pk).update(is_demo=True)
    write_decisions(timezone.now(), 90)
    own = decide("ours", *Touchpoint.objects.all())
    rules = write_alerts()
    assert [rule_faults(rule) for rule in rules] == [{}] * len(ALERT_RULES)
    with pytest.raises(DemoRefused, match="harbour-tea-app-drop"):
        write_alerts()
    Alert.objects.create(rule=rules[0], fired_at=timezone.now())
    AlertLook.objects.create(rule=rules[0], day=date(2026, 9, 1), at=timezone.now(), state="held")
    team = Team.objects.create(slug="ours")
    watched = AlertRule.objects.create(slug="ours", kind="open_longer", longer_than_s=60)
    watched.teams.set([team])
    call_command("remove_demo", stdout=StringIO())
    connection.check_constraints()
    assert list(AlertRule.objects.all()) == [watched]
    assert list(Team.objects.all()) == [team]
    assert not Alert.objects.exists()
    assert not AlertLook.objects.exists()
    assert not Touchpoint.objects.exists()
    assert list(Decision.objects.values_list("pk", "touchpoints")) == [(own.pk, None)]
