"""The journeys' pages: what is marked, what is compared, what is missing, and what it costs."""

import csv
import io
from datetime import UTC, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from metrics.rollup import roll_up
from surveys.models import Instrument, Journey, Segment, Stage, Touchpoint
from tests.factories import make_organisation, make_rule, make_touchpoint
from tests.metrics.raw import count, ticket
from tests.metrics.test_views import SCORES, login, text_of

pytestmark = pytest.mark.django_db

PATH = "/admin/journeys/buying/"
FILE = PATH + "touchpoints.csv"


def place(slug: str, instrument: str, stage: str, position: int, **fields) -> Touchpoint:
    journey = Journey.objects.get(slug="buying")
    made = Stage.objects.get(journey=journey, slug=stage) if stage else None
    return make_touchpoint(
        slug, instrument=Instrument.objects.get(slug=instrument), journey=journey, stage=made, position=position, **fields
    )  # fmt: skip


@pytest.fixture
def buying() -> Journey:
    """Shop 80 (CSAT), checkout 25 (CES 2.5), delivery 90 (NPS +80), stages in another order than their slugs; one is empty."""
    make_organisation()
    journey = Journey.objects.create(slug="buying", name={"en": "Buying online", "zh-hans": "在线购买"})
    for position, slug in enumerate(("look", "buy", "think", "get")):
        Stage.objects.create(journey=journey, slug=slug, position=position, name={"en": f"Stage {slug}"})
    count(place("delivery", "nps", "get", 0, name={"en": "Delivery"}), {10: 8, 8: 2}, segment="gold")
    count(place("checkout", "ces", "buy", 1, name={"en": "Checkout"}), {2: 5, 3: 5}, segment="gold")
    count(place("shop", "csat5", "look", 0, name={"en": "Shop"}), {5: 8, 1: 2}, segment="silver", mode="qr")
    Segment.objects.create(name="gold")
    roll_up()
    return journey


def lines_of(client, query: str = "", path: str = FILE) -> dict[str, list[str]]:
    """The rows of a file, by their first cell."""
    text = b"".join(client.get(f"{path}?{query}").streaming_content).decode("utf-8-sig")
    return {line[0]: line for line in csv.reader(io.StringIO(text)) if line}


def test_touchpoints_stand_in_order_on_one_index_with_valley_peak_and_end(buying):
    client = login(SCORES)
    shown = text_of(client.get(PATH))
    line = shown.split("The journey’s line", 1)[1].split("Touchpoint by touchpoint", 1)[0]
    assert line.index("Shop") < line.index("Checkout") < line.index("no touchpoint") < line.index("Delivery")
    assert "80 n = 10 Shop" in line or "Shop 80 n = 10" in line
    assert "25 n = 10 Valley CES 2.5" in line
    assert "90 n = 10 Peak · End NPS +80" in line
    held = lines_of(client)
    assert held["Checkout"][1:5] == ["Stage buy", "CES", "2.5", "25.0"]
    assert float(held["Delivery"][4]) == pytest.approx(90)
    assert held["Delivery"][7] == "10"  # n
    low, high = map(float, held["Shop"][5:7])
    assert (low, high) == pytest.approx((49.0162, 94.3318), abs=1e-3)  # Wilson's of 8 of 10


def test_the_peak_end_value_stands_beside_the_plain_mean_with_what_they_are(buying):
    client = login(SCORES)
    shown = text_of(client.get(PATH))
    assert "Peak–end value 90 n = 10" in shown  # the end is the peak: it counts once
    assert "Plain mean of the indices 65 n = 30" in shown  # (80 + 25 + 90) / 3
    assert "3 touchpoints, each counts as one" in shown
    assert "No NPS is averaged" in shown
    assert "NPS (value + 100) ÷ 2" in shown
    assert "Kahneman and others, 1993" in shown
    values = lines_of(client, path=PATH + "values.csv")
    assert float(values["Valley–end value"][1]) == pytest.approx(57.5)
    assert float(values["Plain mean of the indices"][1]) == pytest.approx(65)


def test_whether_peak_and_valley_differ_is_told_with_all_pairs_in_mind(buying):
    shown = text_of(login(SCORES).get(PATH))
    assert "Peak and valley differ by 65 points, more than chance (95% interval +" in shown
    assert "corrected for all 3 pairs" in shown
    assert "They are measured by different metrics" in shown


def test_few_answers_that_differ_a_little_are_no_significant_difference(buying):
    Touchpoint.objects.exclude(slug="shop").update(journey=None, stage=None)
    count(place("app", "csat5", "get", 1), {5: 6, 1: 4})
    roll_up()
    shown = text_of(login(SCORES).get(PATH))
    assert "Peak and valley differ by 20 points, no significant difference (95% interval" in shown
    assert "different metrics" not in shown


def test_one_metric_can_be_chosen_and_stays_in_every_link(buying):
    client = login(SCORES)
    page = client.get(f"{PATH}?metric=ces&segment=gold").content.decode()
    shown = text_of(client.get(f"{PATH}?metric=ces"))
    assert "1 of 3 touchpoints are measured." in shown
    assert "It is not measured by this metric." in shown
    assert 'href="/admin/touchpoints/checkout/?segment=gold&amp;trend=ces"' in page
    assert '<input type="hidden" name="metric" value="ces">' in page
    assert "Each by its own" in shown
    assert "Valley CES" in text_of(client.get(f"{PATH}?metric=nonsense"))  # each by its own
    assert "Valley CES" in text_of(client.get(f"{PATH}?metric=ttr"))  # a duration has no index


def test_too_few_and_not_asked_and_nothing_there_are_told_apart(buying):
    count(place("chat", "csat5", "get", 5, name={"en": "Chat"}, public=True), {1: 4})
    place("forum", "csat5", "get", 6, name={"en": "Forum"})
    place("store", "csat5", "get", 7, name={"en": "Store"}, public=True)
    make_rule(place("post", "csat5", "get", 8, name={"en": "Post"}))
    Touchpoint.objects.filter(pk=place("blank", "csat5", "", 9, name={"en": "Blank"}).pk).update(instrument=None)
    place("gone", "csat5", "get", 4, name={"en": "Gone"}, active=False)
    roll_up()
    client = login(SCORES)
    shown = text_of(client.get(PATH))
    missing = lines_of(client, path=PATH + "coverage.csv")
    assert missing["Chat (Stage get)"][1] == "n = 4, too few"
    assert missing["Forum (Stage get)"][1].startswith("Nobody is asked")
    assert missing["Store (Stage get)"][1].startswith("Nobody answered")
    assert missing["Post (Stage get)"][1].startswith("Nobody answered")
    assert missing["Blank"][1].startswith("It has no instrument")
    assert missing["Stage think (a whole stage)"][1] == "The stage has no touchpoint."
    assert "Gone" not in shown.split("The journey’s line", 1)[1]
    assert "3 of 8 touchpoints are measured." in shown
    assert "The journey ends at Blank, which is not measured" in shown
    assert "90 n = 10 Peak · End" in shown  # four answers make no valley and no end


def test_a_switched_off_touchpoint_stays_as_long_as_it_holds_answers(buying):
    Touchpoint.objects.filter(slug="shop").update(active=False)
    assert "Shop switched off" in text_of(login(SCORES).get(PATH))
    assert "Shop" not in text_of(login(SCORES).get(f"{PATH}?segment=gold")).split("The journey’s line", 1)[1]


def test_what_moved_significantly_is_corrected_for_all_that_were_compared(buying):
    count(Touchpoint.objects.get(slug="checkout"), {6: 5, 7: 5}, days_ago=40)
    count(Touchpoint.objects.get(slug="shop"), {5: 9, 1: 1}, days_ago=40)
    roll_up()
    client = login(SCORES)
    shown = text_of(client.get(PATH))
    assert "these moved significantly: Checkout −67." in shown
    assert "↓ −67 worse" in shown
    held = lines_of(client)
    assert float(held["Checkout"][9]) == pytest.approx(-66.667, abs=1e-3)
    assert float(held["Checkout"][10]) < 0.001
    assert float(held["Shop"][10]) > 0.05
    assert held["Delivery"][9:11] == ["", ""]  # nothing before
    assert "moved significantly" not in text_of(client.get(f"{PATH}?compare=none"))


def test_times_stand_beside_and_in_no_index(buying):
    opened = timezone.now().astimezone(UTC) - timedelta(days=3)
    for _number in range(6):
        ticket(Touchpoint.objects.get(slug="shop"), opened, 7200)
    roll_up()
    held = lines_of(login(SCORES))
    assert held["Shop"][11] == "2 h · n = 6, low n"
    assert "Plain mean of the indices 65 n = 30" in text_of(login(SCORES).get(PATH))


def test_filters_narrow_the_line(buying):
    client = login(SCORES)
    gold = text_of(client.get(f"{PATH}?segment=gold"))
    assert "Plain mean of the indices 58 n = 20" in gold  # 57.5
    assert "Shop" in gold  # it is there, and not measured
    stage = text_of(client.get(f"{PATH}?stage=buying/buy")).split("The journey’s line", 1)[1]
    assert "Checkout" in stage
    assert "Delivery" not in stage
    assert "One touchpoint alone is measured" in text_of(client.get(f"{PATH}?stage=buying/buy"))
    assert "Plain mean of the indices 80" in text_of(client.get(f"{PATH}?mode=qr"))
    assert "No touchpoint has enough answers" in text_of(client.get(f"{PATH}?period=7d&from=&segment=gold&mode=qr"))


def test_the_list_holds_every_journey_and_leads_to_it_with_the_filters(buying):
    Journey.objects.create(slug="helping", name={"en": "Getting help"})
    Journey.objects.create(slug="old", name={"en": "Old ways"}, active=False)
    client = login(SCORES)
    response = client.get("/admin/journeys/?segment=gold&period=90d&metric=ces")
    shown, page = text_of(response), response.content.decode()
    assert "Getting help" in shown
    assert "Old ways" not in shown
    assert 'href="/admin/journeys/buying/?segment=gold&amp;period=90d&amp;metric=ces"' in page
    held = lines_of(client, path="/admin/journeys/journeys.csv")
    assert held["Buying online"][1] == "3"
    assert held["Buying online"][2].replace("\xa0", " ") == "Checkout, 25 (n = 10)"
    assert "Getting help" not in text_of(client.get("/admin/journeys/?journey=buying"))


def test_an_installation_without_journeys_says_what_one_is():
    make_organisation()
    assert "There is no journey yet" in text_of(login(SCORES).get("/admin/journeys/"))


def test_an_unknown_journey_is_a_page_that_says_so(buying):
    response = login(SCORES).get("/admin/journeys/nowhere/")
    assert response.status_code == 404
    assert "There is no journey “nowhere”" in response.content.decode()


def test_only_those_who_may_see_scores_see_journeys(buying, client):
    assert login().get(PATH).status_code == 403
    assert login().get(FILE).status_code == 403
    assert client.get(PATH).status_code == 302


def test_the_pages_speak_chinese(buying):
    client = login(SCORES)
    for path in (PATH, "/admin/journeys/"):
        shown = text_of(client.get(path, headers={"accept-language": "zh-hans"}))
        assert "峰值 · 终点" in shown
        for english in ("Peak", "touchpoint", "Index", "journey", "measured"):
            assert english not in shown


@pytest.mark.parametrize("path", [PATH, "/admin/journeys/"])
def test_a_page_costs_few_queries_however_many_touchpoints_there_are(buying, path):
    client = login(SCORES)
    client.get(path)

    def cost() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(path).status_code == 200
        return len(queries)

    before = cost()
    for number in range(4):
        count(place(f"more-{number}", "csat5", "get", 10 + number), {5: 1})
    roll_up()
    assert cost() == before <= 15
