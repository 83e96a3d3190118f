"""The page of answers: what is asked for stands in its address, each page costs the same, and REST finds the very same."""

import html
import re
from datetime import timedelta

import pytest
from django.db import OperationalError, connection

from metrics.views import responses
from metrics.views.responses import EXCERPT, excerpt
from surveys.flow import search
from surveys.flow.index import index_waiting
from surveys.models import Response
from surveys.terms import read_query
from tests.factories import NOW, make_customer, make_instrument, make_organisation, make_touchpoint
from tests.metrics import raw
from tests.rest import Api
from tests.surveys.admin.people import READS, answer, sign_in

pytestmark = pytest.mark.django_db
LIST = "/admin/responses/?from=2000-01-01"


@pytest.fixture
def shop():
    make_organisation()
    return make_touchpoint("shop", make_instrument("nps-x"))


def listed(client, query: str = "") -> list[int]:
    return [line.pk for line in client.get(LIST + query).context["lines"]]


def test_a_line_shows_what_was_looked_for_and_whose_it_is(shop):
    customer = make_customer("C-1", name="Li Na")
    row = answer(shop, 9, "送货 <b>太慢了</b>, too Slow", customer=customer, language="zh-hans", location="=x")
    shown = sign_in(*READS).get(f"{LIST}&q=太慢+slo").content.decode()
    assert "送货 &lt;b&gt;<mark>太慢</mark>了&lt;/b&gt;, too <mark>Slow</mark>" in shown
    for text in ("9 / 10", "Promoter", "Li Na", "简体中文", "=x", f"/admin/surveys/response/{row.pk}/change/"):
        assert text in shown
    assert f'href="/admin/surveys/customer/{customer.pk}/change/"' in shown
    assert "1 answer</h2>" in shown
    blind = sign_in("view_response").get(LIST).content.decode()
    assert "Li Na" not in blind
    assert 'name="of"' not in blind
    assert "may not ask for customers" in sign_in("view_response").get(f"{LIST}&of=C-1").content.decode()


def test_pages_lead_on_and_back_and_keep_what_is_asked_for(shop, monkeypatch):
    monkeypatch.setattr(responses, "PER_PAGE", 3)
    rows = [answer(shop, 3, "slow", now=NOW + timedelta(minutes=number // 2)).pk for number in range(8)][::-1]
    client = sign_in(*READS)
    pages, address = [], f"{LIST}&q=slow&band=worst"
    while address:
        page = client.get(address)
        pages.append([line.pk for line in page.context["lines"]])
        last, address = page, page.context["older"] and f"/admin/responses/{page.context['older']}"
    assert [pk for page in pages for pk in page] == rows
    assert [len(page) for page in pages] == [3, 3, 2]
    back = client.get(f"/admin/responses/{last.context['newer']}")
    assert [line.pk for line in back.context["lines"]] == pages[1]
    first = client.get(f"/admin/responses/{back.context['newer']}")
    assert [line.pk for line in first.context["lines"]] == pages[0]
    assert first.context["newer"] == ""
    assert "q=slow" in first.context["older"]
    assert listed(client, "&older=junk") == rows[:3]


def test_it_says_how_many_as_far_as_anybody_wants_to_know(shop, monkeypatch):
    monkeypatch.setattr(responses, "COUNTED_TO", 4)
    monkeypatch.setattr(responses, "PER_PAGE", 2)
    client = sign_in(*READS)
    for number in range(5):
        answer(shop, 3)
        told = client.get(LIST).context["told"]
        assert told == ("1 answer" if number == 0 else f"{number + 1} answers" if number < 4 else "More than 4 answers")


@pytest.mark.parametrize("is_indexed", [True, False])
def test_the_page_and_rest_find_the_same(shop, is_indexed):
    call = make_touchpoint("call", make_instrument("csat-x", "csat", 5), channel="call_center")
    for number in range(12):
        place = call if number % 3 == 0 else shop
        comment = ("", "slow 太慢", "quick", "Slowly, but 很快")[number % 4]
        fields = {"mode": ("qr", "link")[number % 2], "location": ("a", "b")[number // 6]}
        answer(place, number % 5 + 1, comment, now=NOW + timedelta(minutes=number), **fields)
    if is_indexed:
        index_waiting()
    api, client = Api("responses:read"), sign_in(*READS)
    ids = dict(Response.objects.values_list("client_id", "pk"))
    for query in ("", "&q=slow", "&q=慢", "&touchpoint=call", "&channel=call_center&q=快", "&metric=nps&score_max=3",
                  "&mode=qr&location=b", "&to=2026-11-19", "&q=nothing"):  # fmt: skip
        found = api.get(f"/api/v1/responses/?from=2000-01-01{query}")["results"]
        assert listed(client, query) == [ids[key] for row in found for key in ids if str(key) == row["id"]], query


def test_what_makes_no_sense_is_said_and_narrows_nothing(shop):
    row = answer(shop, 3, "slow")
    client = sign_in(*READS)
    for query, told in (
        ("&fact=carrier", "A fact is asked for as"),
        ("&band=junk", "There is no “junk” to filter by."),
        ("&score_min=99", "There is no “99” to filter by."),
    ):
        assert told in html.unescape(client.get(LIST + query).content.decode())
        assert listed(client, query) == [row.pk]
    shown = html.unescape(client.get(f"{LIST}&q=?!").content.decode())
    assert "There is no word to look for in “?!”." in shown
    assert "No answer was found" in shown


def test_what_takes_too_long_is_given_up_with_a_page_that_says_so(shop, monkeypatch):
    def run_out(*_args, **_kwargs):
        monkeypatch.setattr(search, "PATIENCE_MS", 1)
        with search._patience(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(9)")

    def lose(*_args, **_kwargs):
        raise OperationalError("server closed the connection unexpectedly")

    client = sign_in(*READS)
    for fault, told in ((run_out, "This took too long"), (lose, "We cannot reach our records")):
        monkeypatch.setattr(responses, "find_responses", fault)
        page = client.get(LIST)
        assert page.status_code == 503
        assert told in page.content.decode()


def test_a_backlog_is_told(shop, monkeypatch):
    answer(shop, 3, "slow")
    client = sign_in(*READS)
    assert "still being made ready" not in client.get(LIST).content.decode()
    monkeypatch.setattr("surveys.flow.index.BACKLOG", 0)
    assert "still being made ready" in client.get(LIST).content.decode()


def test_only_whoever_may_read_answers_sees_the_page(shop):
    raw.answer(shop, 3)
    for codenames in (("view_customer",), ("change_response",)):
        refused = sign_in(*codenames).get(LIST)
        assert refused.status_code == 403
        assert "may not read answers" in refused.content.decode()
    shown = sign_in("view_response", "change_response").get(LIST).content.decode()
    assert re.search(r'<button name="act" value="exclude">', shown)


def test_a_long_text_is_cut_around_what_was_looked_for():
    text = "a " * 600 + "needle" + " b" * 600
    pieces = excerpt(text, read_query("needle"))
    assert ("needle", True) in pieces
    assert pieces[0] == ("… ", False)
    assert pieces[-1] == (" …", False)
    assert sum(len(piece) for piece, _hit in pieces[1:-1]) == EXCERPT
    assert excerpt("short", None) == [("short", False)]
    assert excerpt("x" * 501, None) == [("x" * 500, False), (" …", False)]
