"""Each kind of fact that needs attention is told from its boundary on, and not one step before; and its link shows the same number."""

import html
import re
from datetime import UTC, timedelta

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from metrics.attention import (
    LONG_OPEN_S,
    TARGETS_OPEN,
    Halves,
    Item,
    below_target,
    compared,
    drops,
    fewer_respond,
    first_of_each,
    long_open,
    ordered,
    unsurveyed,
    waits,
)
from metrics.display.figures import of
from metrics.display.grid import Place
from metrics.queries import MatrixRow, Measured, OpenTickets, measure_histogram
from metrics.raw.funnel import Sent
from metrics.raw.unsurveyed import Asking, measure_asking
from metrics.rollup import roll_up
from surveys.models import Instrument, Invitation, InvitationRule, Response, Touchpoint
from tests.factories import NOW, make_invitation, make_organisation, make_touchpoint
from tests.metrics.raw import answer, ticket
from tests.metrics.test_views import ANSWERS, SCORES, WAITING, answers, login, text_of

ZERO = [0] * 11


def nps(detractors: int, passives: int, promoters: int) -> Measured:
    return measure_histogram(("nps", 11), [detractors, *ZERO[1:8], passives, 0, promoters])


def resolved(*buckets: int) -> Measured:
    return Measured("ttr", 0, None, len(buckets), None, None, {bucket: buckets.count(bucket) for bucket in buckets})


def row(now: Measured, before: Measured | None = None, slug: str = "shop") -> MatrixRow:
    return MatrixRow(slug, now.metric, now.points, now, before)


def places(**targets: float) -> dict[str, Place]:
    return {slug: Place(slug, slug.title(), "", "", targets) for slug in ("shop", "call", "home")}


def link(slug: str, column: tuple[str, int]) -> str:
    return f"{slug}/{column[0]}"


# --- Targets ----------------------------------------------------------------------------------------------------------


def test_a_target_is_missed_when_the_whole_interval_lies_below_it() -> None:
    low = nps(40, 20, 40)
    high = of(low).high
    assert high is not None
    [item] = below_target([row(low)], places(nps=high + 0.01), link)
    assert item.text.startswith("Shop: NPS is 0 (95% interval: ")
    assert "n = 100" in item.text
    assert item.url == "shop/nps"
    assert below_target([row(low)], places(nps=high), link) == []  # the value is far below, and it may be chance
    assert below_target([row(low)], places(csat=99), link) == []
    assert below_target([row(low, slug="elsewhere")], places(nps=99), link) == []


def test_a_time_to_resolution_misses_its_target_when_it_is_longer_for_sure() -> None:
    slow = resolved(*range(900, 930))
    low = of(slow).low
    assert low is not None
    assert below_target([row(slow)], places(ttr_hours=low / 3600), link) == []
    [item] = below_target([row(slow)], places(ttr_hours=(low - 1) / 3600), link)
    assert "longer than its target" in item.text


@pytest.mark.parametrize(("n", "told"), [(4, 0), (5, 1)])
def test_too_few_answers_miss_no_target(n: int, told: int) -> None:
    assert len(below_target([row(nps(n, 0, 0))], places(nps=90), link)) == told


def test_the_farthest_from_its_target_comes_first() -> None:
    rows = [row(nps(30, 10, 10)), row(nps(50, 0, 0), slug="call"), row(nps(20, 10, 20), slug="home")]
    assert [item.url for item in ordered(below_target(rows, places(nps=60), link))] == [
        "call/nps", "shop/nps", "home/nps",
    ]  # fmt: skip


# --- Drops ------------------------------------------------------------------------------------------------------------


def test_a_drop_is_told_when_it_is_sure_among_all_that_were_looked_at() -> None:
    fell, steady = row(nps(26, 10, 24), nps(14, 10, 36)), row(nps(20, 20, 20), nps(20, 20, 20), slug="call")
    [change] = compared([fell])
    assert 0.005 < change.p < 0.05
    [item] = drops([change], places(), link)
    assert item.text == "Shop: NPS fell by 40, from +37 (n = 60) to −3 (n = 60)."
    assert item.url == "shop/nps"
    # Beside nine that did not change it may be chance; they are tested, so they count.
    assert drops(compared([fell, *[steady] * 9]), places(), link) == []
    # What cannot be tested costs nothing.
    assert len(drops(compared([fell, *[row(nps(4, 0, 0), nps(50, 0, 0))] * 9]), places(), link)) == 1


def test_what_became_better_is_no_drop() -> None:
    assert drops(compared([row(nps(0, 10, 90), nps(90, 10, 0))]), places(), link) == []
    faster, slower = resolved(*range(700, 740)), resolved(*range(900, 940))
    assert drops(compared([row(faster, slower)]), places(), link) == []
    [item] = drops(compared([row(slower, faster)]), places(), link)
    assert item.text.startswith("Shop: TTR, median rose by ")
    assert drops(compared([row(nps(90, 10, 0))]), places(), link) == []  # nothing to compare with


def test_the_surest_drop_comes_first() -> None:
    rows = [row(nps(40, 20, 40), nps(10, 20, 70)), row(nps(90, 10, 0), nps(0, 10, 90), slug="call")]
    assert [item.url for item in ordered(drops(compared(rows), places(), link))] == ["call/nps", "shop/nps"]


# --- Tickets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("targets", "limit_s"), [({}, LONG_OPEN_S), ({"ttr_hours": 24}, TARGETS_OPEN * 24 * 3600)])
def test_a_ticket_is_open_for_long_after_three_times_its_target_or_a_week(
    targets: dict[str, float], limit_s: float
) -> None:
    def told(age_s: float) -> list[Item]:
        held = {"shop": OpenTickets(3, NOW - timedelta(seconds=age_s))}
        return long_open(held, places(**targets), link, NOW)

    assert told(limit_s) == []
    [item] = told(limit_s + 1)
    assert item.text.endswith("Open now: 3.")
    assert item.url == "shop/ttr"


def test_the_oldest_ticket_comes_first() -> None:
    held = {slug: OpenTickets(1, NOW - timedelta(days=days)) for slug, days in (("shop", 8), ("call", 30), ("home", 9))}
    assert [item.url for item in ordered(long_open(held, places(), link, NOW))] == ["call/ttr", "home/ttr", "shop/ttr"]


# --- Being asked ------------------------------------------------------------------------------------------------------


def asks(
    has_instrument: bool = True, is_public: bool = False, has_rule: bool = False, days: float | None = None
) -> Asking:
    return Asking(has_instrument, is_public, has_rule, 0, None if days is None else NOW - timedelta(days=days))


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (asks(has_instrument=False), "Shop: it has no instrument, so nobody is asked there."),
        (asks(), "Shop: nobody is asked there: no rule invites to it, and its open form is off."),
        (asks(days=30.001), "Shop: nobody is asked there: no rule invites to it, and its open form is off."),
        (asks(days=30), ""),  # another system posts its answers
        (asks(has_instrument=False, has_rule=True, days=300), ""),  # its rule brings an instrument
        (asks(has_instrument=False, is_public=True), "Shop: it has no instrument, so nobody is asked there."),
        (asks(is_public=True), "Shop: customers can answer there, and none ever did."),
        (asks(has_rule=True), "Shop: customers can answer there, and none ever did."),
        (asks(is_public=True, days=300), ""),
    ],
)
def test_a_touchpoint_is_not_surveyed_when_nobody_can_be_asked_or_nobody_ever_answered(how: Asking, told: str) -> None:
    assert [item.text for item in unsurveyed({"shop": how}, places(), str, NOW)] == ([told] if told else [])


@pytest.mark.django_db
def test_who_can_be_asked_is_read_from_rules_forms_and_answers() -> None:
    instrument = Instrument.objects.get(slug="nps")
    bare, ruled = make_touchpoint("bare"), make_touchpoint("ruled")
    for touchpoint in (bare, ruled):
        touchpoint.instrument = None
        touchpoint.save()
    idle = make_touchpoint("idle", instrument=instrument, public=True)
    off = make_touchpoint("off", instrument=instrument)
    rules = {"modes": ["email"], "event_type": "x", "expires_s": 100, "delay_s": 20}
    InvitationRule.objects.create(slug="a", touchpoint=ruled, instrument=instrument, **rules)
    InvitationRule.objects.create(slug="b", touchpoint=bare, **rules)  # it has nothing to ask
    InvitationRule.objects.create(slug="c", touchpoint=off, active=False, **rules)
    made = answer(idle, 9)
    Response.objects.filter(pk=answer(off, 9).pk).update(excluded_at=NOW, excluded_reason="a test")
    found = measure_asking([bare, ruled, idle, off])
    assert found[bare.pk] == Asking(False, False, False, 120, None)
    assert found[ruled.pk] == Asking(False, False, True, 120, None)
    assert found[idle.pk] == Asking(True, True, False, 0, made.responded_at)
    assert found[off.pk] == Asking(True, False, False, 0, None)
    assert [found[one.pk].can_be_asked for one in (bare, ruled, idle, off)] == [False, True, True, False]


def test_a_response_rate_falls_when_it_is_sure_though_every_open_link_were_answered() -> None:
    def told(now: Sent, others: int = 0) -> list[str]:
        steady = (Sent(200, 80), Sent(200, 80))
        halves = Halves(
            {"shop": (Sent(200, 80), now), **dict.fromkeys(["call", "home"][:others], steady)},
            ("1 October", "28 October"),
        )
        return [item.text for item in fewer_respond(halves, places(), str)]

    assert told(Sent(200, 60)) == [
        "Shop: of the invitations of 1 October to 28 October, 30.0% were answered (n = 200); of those of the four weeks "
        "before, 40.0% (n = 200)."
    ]
    assert told(Sent(200, 62)) == []
    assert told(Sent(200, 60, open=2)) == []  # they could be answered yet
    assert told(Sent(200, 60), others=2) == []  # three were looked at
    assert told(Sent(200, 40), others=2) != []
    assert told(Sent(4, 0)) == []
    assert told(Sent(200, 120)) == []


# --- All of it --------------------------------------------------------------------------------------------------------


def test_kinds_stand_in_their_order_and_none_hides_the_next() -> None:
    items = [
        *waits([("Events in quarantine", 2, "/q/"), ("Nothing of these", 0, "/n/")]),
        *(Item("unsurveyed", str(place)) for place in range(7)),
        Item("response", "r"),
        Item("drop", "d"),
        Item("below", "b1", weight=1),
        Item("below", "b2", weight=2),
        Item("open", "o"),
    ]
    told = ordered(items)
    kinds = [item.kind for item in told]
    assert kinds == ["below", "below", "drop", "open", *["unsurveyed"] * 7, "response", "waits"]
    assert [item.text for item in told[:2]] == ["b2", "b1"]
    assert told[-1].text == "Events in quarantine: 2"
    shown, folded = first_of_each(told, 5)
    assert [item.text for item in folded] == ["5", "6"]
    assert [item.kind for item in shown[-2:]] == ["response", "waits"]


@pytest.fixture
def troubled(db) -> Touchpoint:
    """A touchpoint with one of each trouble: a target missed, a drop, an old ticket, fewer that respond; and one nobody is asked at."""
    cache.clear()
    make_organisation()
    instrument = Instrument.objects.get(slug="nps")
    shop = make_touchpoint(
        "shop",
        name={"en": "Shop", "zh-hans": "门店"},
        instrument=instrument,
        targets={"nps": 50, "ttr_hours": 1},
        public=True,
    )
    answers(shop, [0] * 20 + [9] * 5)
    answers(shop, [10] * 25, days_ago=45)
    opened = timezone.now().astimezone(UTC) - timedelta(days=9)
    ticket(shop, opened)
    ticket(shop, opened + timedelta(days=1))
    idle = make_touchpoint("idle", name={"en": "Idle", "zh-hans": "闲置"})
    Touchpoint.objects.filter(pk=idle.pk).update(instrument=None)
    for days, answered in ((10, 0), (40, 1)):
        at = timezone.now() - timedelta(days=days)
        for _number in range(30):
            made = make_invitation(shop, status="expired", sent_at=at, expires_at=at + timedelta(days=1))
            Invitation.objects.filter(pk=made.pk).update(decided_at=at)
            if answered:
                response = answer(shop, 10, day=make_organisation().day_of(at))
                Response.objects.filter(pk=response.pk).update(invitation=made, responded_at=at + timedelta(hours=1))
    roll_up()
    return shop


def test_each_trouble_is_told_and_its_link_leads_to_the_same_numbers(troubled: Touchpoint) -> None:
    client = login(SCORES, ANSWERS, "surveys.view_touchpoint", *WAITING)
    page = client.get("/admin/?period=30d").content.decode()
    items = re.findall(r'cx-item-(\w+)"><span class="cx-kind">[^<]*</span>\s*<a href="([^"]+)">([^<]+)</a>', page)
    assert [kind for kind, _url, _text in items] == ["below", "drop", "open", "unsurveyed", "response"]
    texts = {kind: html.unescape(text) for kind, _url, text in items}
    shown = {kind: text_of(client.get(html.unescape(url), follow=True)) for kind, url, _text in items}
    assert texts["below"].startswith("Shop: NPS is −60 (95% interval: ")
    assert "−60 n = 25" in shown["below"]
    assert "target +50 missed" in shown["below"]
    assert texts["drop"] == "Shop: NPS fell by 160, from +100 (n = 55) to −60 (n = 25)."
    assert "−160 worse" in shown["drop"]
    assert texts["open"] == "Shop: the oldest open ticket has waited for 9 d. Open now: 2."
    assert "Open now 2" in shown["open"]
    assert "Oldest open ticket 9 d" in shown["open"]
    assert texts["unsurveyed"] == "Idle: it has no instrument, so nobody is asked there."
    assert "Idle" in shown["unsurveyed"]
    assert "0.0% were answered (n = 30)" in texts["response"]
    assert "0.0% n = 30" in shown["response"]


def test_nothing_to_look_at_is_a_calm_page(db) -> None:
    cache.clear()
    shop = make_touchpoint("shop", instrument=Instrument.objects.get(slug="nps"), public=True)
    answers(shop, [10] * 9)
    roll_up()
    assert "Nothing: no target is missed for sure" in text_of(login(SCORES).get("/admin/"))


def test_the_overview_speaks_of_trouble_in_chinese(troubled: Touchpoint) -> None:
    shown = text_of(login(SCORES).get("/admin/", headers={"accept-language": "zh-hans"}))
    assert "未达目标 门店：NPS为 −60" in shown
    assert "闲置：没有问卷" in shown


def test_weights_change_what_counts_and_are_shown(db) -> None:
    cache.clear()
    instrument = Instrument.objects.get(slug="nps")
    busy, calm = (make_touchpoint(slug, instrument=instrument, public=True) for slug in ("busy", "calm"))
    Touchpoint.objects.filter(pk=calm.pk).update(weight=3)
    answers(busy, [0] * 90, segment="gold")
    answers(calm, [10] * 10)
    make_organisation(segment_weights={"gold": 1, "": 1})
    roll_up()
    client = login(SCORES)
    assert "NPS −80 n = 100" in text_of(client.get("/admin/"))
    weighted = text_of(client.get("/admin/?weights=touchpoint"))
    assert "NPS +50 n = 100" in weighted
    assert "NPS Calm 3 75% +100 10" in weighted
    assert "NPS Busy 1 25% −100 90" in weighted
    Touchpoint.objects.filter(pk=busy.pk).update(weight=1)
    assert "NPS −80 n = 100" in text_of(client.get("/admin/?weights=telepathy"))
    assert client.get("/admin/weights.csv?weights=touchpoint").status_code == 200
    assert client.get("/admin/weights.csv").status_code == 404


def test_the_matrix_is_a_file_of_all_its_numbers(troubled: Touchpoint) -> None:
    client = login(SCORES)
    lines = b"".join(client.get("/admin/matrix.csv").streaming_content).decode().splitlines()
    [shop] = [line for line in lines if ",Shop," in line and ",NPS," in line]
    assert ",-60.0," in shop
    assert ",25," in shop
    assert ",worse,50" in shop
    assert client.get(reverse("overview_csv", args=["trends"])).status_code == 200
