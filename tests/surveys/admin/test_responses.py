"""Answers in the admin: found, read in the wording that was answered, taken out of every metric and counted again."""

import pytest
from django.contrib.admin.models import LogEntry

from metrics.rollup import roll_up
from metrics.verify import verify
from surveys.models import Response, ScoreLedger, Segment
from tests.factories import NOW, make_customer, make_instrument, make_organisation, make_touchpoint
from tests.surveys.admin.people import READS, answer, list_url, page_url, sign_in

pytestmark = pytest.mark.django_db
EXCLUDE, ACT = list_url(Response) + "exclude/", list_url(Response) + "act/"
LIST = "/admin/responses/?from=2000-01-01"


@pytest.fixture(autouse=True)
def organisation(db):
    return make_organisation()


@pytest.fixture
def shop():
    return make_touchpoint("shop", make_instrument("nps-shop", "nps", 11), channel="on_site")


@pytest.fixture
def manager(db):
    return sign_in(*READS, "change_response")


def found(client, query):
    return {line.pk for line in client.get(f"{LIST}&{query}").context["lines"]}


@pytest.mark.parametrize(
    ("metric", "points", "edges"),
    [
        ("nps", 11, {"worst": (0, 6), "middle": (7, 8), "best": (9, 10)}),
        ("csat", 5, {"worst": (1, 2), "middle": (3, 3), "best": (4, 5)}),
        ("csat", 7, {"worst": (1, 3), "middle": (4, 5), "best": (6, 7)}),
        ("ces", 7, {"worst": (1, 3), "middle": (4, 4), "best": (5, 7)}),
    ],
)
def test_bands_are_filtered_each_by_its_own_scale(manager, metric, points, edges):
    instrument = make_instrument("", metric, points)
    touchpoint = make_touchpoint("", instrument)
    by_score = {score: answer(touchpoint, score).pk for score in instrument.scale.scores}
    skipped = answer(touchpoint, None, "only words").pk
    for band, (low, high) in edges.items():
        assert found(manager, f"band={band}") == {by_score[score] for score in range(low, high + 1)}
    assert skipped in found(manager, "")


def test_answers_are_found_by_what_a_manager_asks_for(manager, shop):
    Segment.objects.create(name="gold")
    app = make_touchpoint("app", make_instrument("ces-app", "ces", 7), channel="app")
    customer = make_customer("C-9", name="Amina Diallo", email="amina@example.com")
    cold = answer(shop, 2, "The tea was cold", customer=customer, mode="qr", segment="gold").pk
    mute = answer(app, 7, mode="app").pk
    for query, wanted in (
        *(("q=tea+cold", {cold}), ("of=C-9", {cold}), ("of=amina%40example.com", {cold}), ("of=C-8", set())),
        *(("touchpoint=shop", {cold}), ("metric=ces", {mute}), ("mode=qr", {cold}), ("language=en", {cold, mute})),
        *(("channel=app", {mute}), ("segment=gold", {cold}), ("comment=yes", {cold}), ("comment=no", {mute})),
        *(("state=counted", {cold, mute}), ("state=excluded", set()), ("score_max=6", {cold}), ("score_min=7", {mute})),
        *(("to=2026-11-20", {cold, mute}), ("to=2026-11-19", set()), ("q=nobody", set()), ("band=best", {mute})),
    ):
        assert found(manager, query) == wanted, query


def test_the_page_shows_all_answers_in_the_wording_of_the_version_that_was_answered(manager, shop):
    row = answer(shop, 9, "好喝！", language="zh-hans")
    version = shop.instrument.versions.create(number=2)
    question = shop.instrument.questions.get(key="score")
    version.wordings.create(question=question, position=0, text={"en": "A newer wording?"})
    shown = manager.get(page_url(row)).content.decode()
    assert "score?" in shown
    assert 'lang="zh-hans" dir="auto">score？' in shown
    assert "好喝！" in shown
    assert "Promoter" in shown
    assert "version 1" in shown
    assert "A newer wording?" not in shown


def test_an_exclusion_needs_a_reason_and_keeps_what_was_chosen(manager, shop):
    row = answer(shop, 3)
    asked = manager.post(ACT, {"act": "exclude", "id": [row.pk]})
    assert f'name="ids" value="{row.pk}"' in asked.content.decode()
    refused = manager.post(EXCLUDE, {"ids": str(row.pk), "reason": "   "})
    assert f'name="ids" value="{row.pk}"' in refused.content.decode()
    assert "This field is required." in refused.content.decode()
    row.refresh_from_db()
    assert row.excluded_at is None


def test_what_is_excluded_leaves_the_metrics_says_by_whom_and_comes_back(manager, shop):
    rows = [answer(shop, score) for score in (2, 9)]
    roll_up()
    ids = ",".join(str(row.pk) for row in rows)
    shown = manager.post(EXCLUDE, {"ids": ids, "reason": "answered by staff"}, follow=True).content.decode()
    assert "2 answers are out of every metric" in shown
    assert "Excluded" in shown
    assert sum(ScoreLedger.objects.values_list("delta", flat=True)) == -2
    roll_up()
    assert verify() == []
    page = manager.get(page_url(rows[0])).content.decode()
    assert "answered by staff" in page
    assert "staff-" in page
    assert sorted(LogEntry.objects.values_list("object_id", "change_message")) == sorted(
        (str(row.pk), "Excluded from metrics: answered by staff") for row in rows
    )
    assert found(manager, "state=excluded") == {row.pk for row in rows}
    manager.post(page_url(rows[0], "include"))
    manager.post(ACT, {"act": "include", "id": [rows[1].pk]})
    assert found(manager, "state=excluded") == set()
    assert "It had been excluded: answered by staff" in LogEntry.objects.latest("id").change_message
    roll_up()
    assert verify() == []


def test_twice_is_the_same_as_once(manager, shop):
    row = answer(shop, 3)
    for _time in range(2):
        manager.post(EXCLUDE, {"ids": str(row.pk), "reason": "a test"})
    assert LogEntry.objects.count() == 1
    for _time in range(2):
        manager.post(page_url(row, "include"))
    assert LogEntry.objects.count() == 2


@pytest.mark.parametrize("ids", ["", "junk", "-1", "9" * 40, ",".join(["1"] * 5000), "%00"])
def test_ids_that_make_no_sense_exclude_nothing(manager, shop, ids):
    row = answer(shop, 3)
    assert manager.post(EXCLUDE, {"ids": ids.replace("1", "0"), "reason": "x"}).status_code == 302
    row.refresh_from_db()
    assert row.excluded_at is None


def test_only_whoever_may_change_responses_excludes_them(shop):
    row = answer(shop, 3)
    reader = sign_in(*READS)
    assert reader.post(EXCLUDE, {"ids": str(row.pk), "reason": "x"}).status_code == 403
    assert reader.post(page_url(row, "include")).status_code == 403
    assert reader.post(ACT, {"act": "exclude", "id": [row.pk]}).status_code == 403
    shown = reader.get(LIST).content.decode()
    assert "Open the answer" in shown
    assert 'type="checkbox"' not in shown.partition("<ul class=")[2]
    assert "Exclude from metrics" not in reader.get(page_url(row)).content.decode()
    changer = sign_in("change_response")  # may not see them
    assert changer.post(EXCLUDE, {"ids": str(row.pk), "reason": "x"}).status_code == 403
    assert not Response.objects.exclude(excluded_at=None).exists()


def test_nothing_of_a_response_can_be_changed_added_or_deleted_by_hand(manager, shop):
    row = answer(shop, 3)
    assert manager.get(list_url(Response) + "add/").status_code == 403
    assert manager.get(page_url(row, "delete")).status_code == 403
    manager.post(page_url(row), {"score": 10})
    row.refresh_from_db()
    assert (row.score, row.responded_at) == (3, NOW)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("?touchpoint__id__exact={shop}", "?touchpoint=shop&from=2000-01-01"),
        ("?customer__id__exact={customer}", "?of=C-9&from=2000-01-01"),
        ("?suspected=waiting&band=worst", "?band=worst&state=suspected&from=2000-01-01"),
        ("?customer__id__exact=%00&p=3", ""),
    ],
)
def test_links_to_the_list_lead_to_its_own_page(manager, shop, old, new):
    customer = make_customer("C-9")
    response = manager.get(list_url(Response, old.format(shop=shop.pk, customer=customer.pk)))
    assert (response.status_code, response.headers["Location"]) == (302, f"/admin/responses/{new}")
    assert sign_in("view_customer").get(list_url(Response)).status_code == 403
    stranger = sign_in("view_response").get(list_url(Response, f"?customer__id__exact={customer.pk}"))
    assert "C-9" not in stranger.headers["Location"]


def test_somebody_comes_back_to_the_list_they_chose_in_and_nowhere_else(manager, shop):
    row = answer(shop, 3)
    here = f"{LIST}&band=worst"
    asked = manager.post(ACT, {"act": "exclude", "id": [row.pk], "next": here}).content.decode()
    assert asked.count(here.replace("&", "&amp;")) == 2  # to cancel, and to go on
    done = manager.post(EXCLUDE, {"ids": str(row.pk), "reason": "x", "next": here})
    assert done.headers["Location"] == here
    away = manager.post(ACT, {"act": "include", "id": [row.pk], "next": "https://evil.example/"})
    assert away.headers["Location"] == "/admin/responses/"
    assert "Choose the answers first." in manager.post(ACT, {"act": "include"}, follow=True).content.decode()
    assert manager.get(ACT).status_code == 302
