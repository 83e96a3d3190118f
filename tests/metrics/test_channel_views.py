"""The channels' page: one metric across channels, held against targets and each other; modes apart from them."""

import csv
import io
from datetime import UTC, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from metrics import formulas
from metrics.display import channel_pages
from metrics.display.channel_pages import Side
from metrics.queries import measure_matrix, measure_modes
from metrics.rollup import roll_up
from metrics.significance import holm
from metrics.slices import Slice
from surveys.models import Instrument, Organisation, Touchpoint
from tests.factories import make_organisation, make_touchpoint
from tests.metrics.raw import count, ticket
from tests.metrics.test_views import SCORES, login, text_of

PATH = "/admin/channels/"


def place(slug: str, channel: str, instrument: str = "csat5", **fields) -> Touchpoint:
    return make_touchpoint(slug, channel=channel, instrument=Instrument.objects.get(slug=instrument), **fields)


@pytest.fixture
def shops(db) -> None:
    """Website 90 of 120 by two touchpoints and two modes, app 30 of 60, on-site 4 answers; an NPS on the website."""
    make_organisation()
    count(place("shop", "website"), {5: 50, 1: 10})
    search = place("search", "website")
    count(search, {4: 25, 2: 15})
    count(search, {4: 15, 2: 5}, mode="web")
    count(place("app", "app"), {5: 30, 1: 30}, mode="app")
    count(place("store", "on_site"), {5: 4})
    count(place("site", "website", "nps"), {10: 6})
    roll_up()


def lines_of(client, table: str, query: str = "metric=csat5") -> dict[str, list[str]]:
    text = b"".join(client.get(f"{PATH}{table}.csv?{query}").streaming_content).decode("utf-8-sig")
    return {line[0]: line for line in csv.reader(io.StringIO(text)) if line}


def test_a_channel_pools_the_answers_of_its_touchpoints(shops):
    held = lines_of(login(SCORES), "channels")
    assert float(held["Website"][1]) == pytest.approx(75)  # 90 of 120, not the mean of 83.3 and 66.7
    assert [float(end) for end in held["Website"][2:4]] == pytest.approx(
        [100 * end for end in formulas.wilson(90, 120)]
    )
    assert held["Website"][4:6] == ["120", "2"]  # n, touchpoints
    assert held["On-site"][1:5] == ["", "", "", "4"]  # too few
    assert held["Home service"][1] == ""
    mix = lines_of(login(SCORES), "mix")
    assert (float(mix["Shop"][1]), float(mix["Shop"][5])) == (pytest.approx(83.3333, abs=1e-3), 50)


def test_the_gap_is_told_with_difference_interval_p_and_n(shops):
    shown = text_of(login(SCORES).get(f"{PATH}?metric=csat5"))
    assert "Gap between best and worst +25 n = 180 95% interval: +10 to +39 · p " in shown
    assert "Best is Website with 75%, worst App with 50%." in shown
    assert "The gap is more than chance (p " in shown
    assert (
        "pairs" not in shown.split("The gap is more than chance", 1)[1].split(")", 1)[0]
    )  # one pair needs no correction
    assert "n = 4, too few" in shown


def test_the_metric_is_chosen_by_a_tab_and_kept(shops):
    client = login(SCORES)
    page = client.get(f"{PATH}?metric=csat5&period=90d").content.decode()
    assert 'href="?metric=nps&amp;period=90d"' in page or 'href="?period=90d&amp;metric=nps"' in page
    assert '<input type="hidden" name="metric" value="csat5">' in page
    assert 'href="/admin/touchpoints/shop/?period=90d&amp;trend=csat5"' in page
    shown = text_of(client.get(PATH))  # without one, the first there is
    assert "+100 n = 6" in shown
    assert "Only Website has enough answers" in shown
    assert "+100 n = 6" in text_of(client.get(f"{PATH}?metric=ces"))  # none of it: the first there is


def test_pairs_are_corrected_for_all_that_are_looked_at(shops):
    count(place("call", "call_center"), {5: 40, 1: 20})
    roll_up()
    held = lines_of(login(SCORES), "pairs")
    pairs = ["Website – Call centre", "Website – App", "Call centre – App"]
    alone = [float(held[pair][2]) for pair in pairs]
    assert [float(held[pair][3]) for pair in pairs] == pytest.approx(holm(alone))
    shown = text_of(login(SCORES).get(f"{PATH}?metric=csat5"))
    assert "corrected for all 3 pairs" in shown
    assert "no significant difference" in shown.split("Channel against channel", 1)[1]


def test_modes_are_compared_apart_and_never_ranked(shops):
    client = login(SCORES)
    held = lines_of(client, "modes")
    assert float(held["Email"][1]) == pytest.approx(100 * 79 / 104)
    assert (float(held["Web widget"][1]), float(held["App"][1])) == (75, 50)
    shown = text_of(client.get(f"{PATH}?metric=csat5"))
    told = shown.split("By how it was collected", 1)[1]
    assert "Dillman and Christian, 2005; Jäckle, Roberts and Lynn, 2010" in told
    cross = lines_of(client, "channel-by-mode")
    assert cross["Website"][0:2] == ["Website", "75.0"]  # by email: 75 of 100
    assert [float(cross["Website"][column]) for column in (1, 5)] == pytest.approx([75, 75])
    assert cross["App"][1] == ""  # nobody of the app by email
    assert float(cross["App"][9]) == 50


def test_times_have_no_mode_and_the_fastest_is_the_best(shops):
    opened = timezone.now().astimezone(UTC) - timedelta(days=3)
    for number in range(12):
        ticket(Touchpoint.objects.get(slug="app"), opened, 3600 + number)
        ticket(Touchpoint.objects.get(slug="shop"), opened, 3 * 3600 + number)
        ticket(None, opened, 60)
    roll_up()
    client = login(SCORES)
    shown = text_of(client.get(f"{PATH}?metric=ttr"))
    assert "Best is App with 1 h, worst Website with 3 h." in shown
    assert "Gap between best and worst +2 h n = 24" in shown
    assert "A ticket has no mode" in shown
    assert "By how it was collected" not in shown
    assert "Tickets without a touchpoint have no channel: 12." in shown


def test_a_change_is_corrected_for_the_channels_that_were_compared(shops):
    count(Touchpoint.objects.get(slug="app"), {5: 55, 1: 5}, days_ago=40, mode="app")
    count(Touchpoint.objects.get(slug="shop"), {5: 50, 1: 10}, days_ago=40)
    roll_up()
    held = lines_of(login(SCORES), "channels")
    assert float(held["App"][6]) == pytest.approx(50 - 100 * 55 / 60)
    assert float(held["App"][7]) < 0.001
    assert float(held["Website"][7]) > 0.05
    assert lines_of(login(SCORES), "channels", "metric=csat5&compare=none")["App"][6] == ""


def test_filters_narrow_the_page(shops):
    client = login(SCORES)
    assert float(lines_of(client, "channels", "metric=csat5&mode=web")["Website"][1]) == 75
    assert list(lines_of(client, "channels", "metric=csat5&channel=app")).count("Website") == 0
    assert "Only App has enough answers" in text_of(client.get(f"{PATH}?metric=csat5&channel=app"))
    assert "Nobody answered within these days and filters." in text_of(client.get(f"{PATH}?channel=home_service"))


@pytest.mark.django_db
def test_modes_add_up_to_the_matrix(shops):
    now = timezone.now()
    rows = measure_matrix(Slice(), None, now=now)
    by_mode = measure_modes(Slice())
    for row in rows:
        parts = [one.now for one in by_mode if one.touchpoint == row.touchpoint]
        assert channel_pages.pooled(parts) == dict(row.now.distribution), row.touchpoint
    assert {one.mode for one in measure_modes(Slice(modes=frozenset({"web"})))} == {"web"}


def test_equal_channels_have_a_gap_of_nothing():
    sides = [Side(key, key, ("csat", 5), {5: 30, 1: 30}) for key in ("a", "b")]
    found = channel_pages.stand(("csat", 5), sides)
    assert found.gap is not None
    assert (found.gap.told.change.value, found.gap.p_all) == (0, 1)


def test_a_target_is_met_or_missed_in_words():
    sides = [
        Side("a", "Website", ("csat", 5), {5: 45, 1: 15}, targets={"csat": 80}),
        Side("b", "App", ("csat", 5), {5: 55, 1: 5}, targets={"csat": 80}),
        Side("c", "On-site", ("csat", 5), {5: 2}, targets={"csat": 80}),
    ]
    found = channel_pages.stand(("csat", 5), sides)
    told = [row.cells[-1].text for row in channel_pages.channels_table(found).rows]
    assert told == ["target 80% missed", "target 80% met", "80%"]
    assert "Below target: Website." in channel_pages.sentences(found)
    assert found.figure(sides[0]).whisker.target == 80


def test_a_channel_is_held_against_the_target_that_the_organisation_gave_it(shops):
    Organisation.objects.update(channel_targets={"app": {"csat": 80}, "website": {"nps": 10}})
    held = lines_of(login(SCORES), "channels")
    assert held["App"][-1] == "target 80% missed"
    assert held["Website"][-1] == "–"


def test_only_those_who_may_see_scores_see_channels(shops, client):
    assert login().get(PATH).status_code == 403
    assert client.get(PATH).status_code == 302


def test_the_page_speaks_chinese(shops):
    shown = text_of(login(SCORES).get(f"{PATH}?metric=csat5", headers={"accept-language": "zh-hans"}))
    assert "最好的是网站（75%），最差的是" in shown
    for english in ("Channel", "mode", "interval", "touchpoint"):
        assert english not in shown


def test_the_page_costs_few_queries_however_much_there_is(shops):
    client = login(SCORES)
    client.get(PATH)

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"{PATH}?metric=csat5").status_code == 200
        return len(queries)

    before = cost()
    for number in range(4):
        count(place(f"more-{number}", "home_service"), {5: 1}, mode="sms")
    roll_up()
    assert cost() == before <= 15
