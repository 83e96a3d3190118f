"""The staff's pages on invitations: who may see them, what filters do, what they cost, and that a file holds what the page holds."""

import csv
import io
import re
from datetime import timedelta

import openpyxl
import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from metrics import reports
from metrics.display.funnel_pages import percent_text
from metrics.display.tables import BOM
from metrics.views import invitations
from surveys.models import Segment, Suppression
from surveys.words import MINUS
from tests.factories import make_organisation, make_rule, make_touchpoint
from tests.metrics.invited import answer, customer_of, refuse, remind, send, wait
from tests.metrics.test_views import ANSWERS, SCORES, login, text_of

pytestmark = pytest.mark.django_db

PAGES = ("", "rates/", "missing/", "load/")


@pytest.fixture
def programme():
    """Of a rule 40 emails and 20 texts sent, in two segments and languages; what was refused, and what waits; a wicked name."""
    make_organisation()
    Segment.objects.bulk_create([Segment(name="gold"), Segment(name="new")])
    touchpoint = make_touchpoint("delivery", name={"en": "=Delivery", "zh-hans": "配送"})
    rule = make_rule(touchpoint, slug="after-delivery", reminders_s=[3 * 86_400])
    now = timezone.now()
    for number in range(60):
        made = send(
            touchpoint, at=now - timedelta(days=1 + number % 28), rule=rule, mode=["email", "email", "sms"][number % 3],
            report=[None, None, "delivered"][number % 3], language=["en", "zh-hans"][number % 2],
            customer=customer_of(["gold", "new"][number % 2]),
        )  # fmt: skip
        if number % 4 == 0:
            answer(made, complete=number % 8 == 0)
    remind(send(touchpoint, at=now - timedelta(days=9), rule=rule))
    for reason in ("resting_any", "resting_any", "sampled_out", "no_address"):
        refuse(touchpoint, reason, at=now - timedelta(days=2), rule=rule)
    wait(touchpoint, at=now - timedelta(hours=1))
    Suppression.objects.create(address_hash="x", reason="unsubscribed", created_at=now - timedelta(days=2))
    return touchpoint


def tables_of(response) -> dict[str, list[list[str]]]:
    """The rows of each table of a page, as a reader sees them; by the key of its file."""
    found = {}
    for section in response.content.decode().split('class="cx-files"')[1:]:
        key = re.search(r'href="[^"]*/([\w-]+)\.csv', section)[1]
        rows = re.findall(r"(?s)<tr[^>]*>(.*?)</tr>", section.split("<tbody", 1)[1].split("</tbody>", 1)[0])
        found[key] = [
            [
                re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", cell)).strip()
                for cell in re.findall(r"(?s)<t[hd].*?</t[hd]>", row)
            ]
            for row in rows
        ]
    return found


def test_the_pages_are_for_those_who_may_see_scores(client, programme):
    member, other = login(SCORES), login(ANSWERS)
    people = programme.invitations.values_list("customer__external_id", flat=True)[:3]
    for path in (*(f"/admin/response/{page}" for page in PAGES), "/admin/response/funnel/funnel.csv"):
        assert client.get(path).status_code == 302
        assert other.get(path).status_code == 403
        assert member.post(path).status_code == 405
        response = member.get(path)
        assert "no-store" in response["Cache-Control"]
        assert not any(customer in response.getvalue().decode() for customer in people)


def test_the_pages_stay_within_fifteen_queries(programme):
    member = login(SCORES)
    for page in PAGES:
        with CaptureQueriesContext(connection) as queries:
            member.get(f"/admin/response/{page}")
        assert len([one for one in queries if not one["sql"].startswith(("SAVEPOINT", "RELEASE"))]) <= 15, page


def test_the_pages_speak_the_readers_language(programme):
    member = login(SCORES)
    for language, words in (("en", ("Response rates", "CSV")), ("zh-hans", ("回答率", "CSV"))):
        for page in PAGES:
            text = text_of(member.get(f"/admin/response/{page}", headers={"accept-language": language}))
            assert all(word in text for word in words), page


def test_the_funnel_tells_its_answer_first(programme):
    text = text_of(login(SCORES).get("/admin/response/"))
    assert re.search(r"Response rate 24.6% n = 61", text)
    assert "Most often withheld: Asked recently – 2 of 66 decisions (3.0%)." in text
    assert "of 20 that carriers report on; of 61 sent" in text
    assert re.search(r"Invitations decided on from .+ sent or not, in the organisation’s days \(Asia/Shanghai\)", text)


def test_filters_are_in_the_address_and_reach_every_table(programme):
    member = login(SCORES)
    text = text_of(member.get("/admin/response/?mode=sms&by=language"))
    assert "n = 20" in text
    narrowed = member.get("/admin/response/?mode=sms&by=language").content.decode()
    assert "/admin/response/by-language.csv?mode=sms&amp;by=language" in narrowed
    assert '<input type="hidden" name="by" value="language">' in narrowed
    assert "There is no “fax” to filter by." in text_of(member.get("/admin/response/?mode=fax"))
    assert "n = 1, too few" not in text_of(member.get("/admin/response/?rule=~"))
    assert "Nobody was to be invited within these days and filters" in text_of(
        member.get("/admin/response/?language=zh-hans&from=2001-01-01&to=2001-02-01")
    )
    # The load is a customer's, whatever it was about: only the segment narrows it; the rest is carried along.
    assert (
        'href="/admin/response/load/?mode=sms&amp;segment=gold"'
        in member.get("/admin/response/?mode=sms&segment=gold").content.decode()
    )


def test_a_long_period_is_cut_and_it_is_said(programme):
    text = text_of(login(SCORES).get("/admin/response/?from=2001-01-01&to=2026-01-01"))
    assert "This page shows 366 days at most" in text
    assert "decided on from 1 Jan 2025 to 1 Jan 2026" in text


def test_a_file_holds_what_the_page_holds(programme):
    member = login(SCORES)
    found = [(page, tables_of(member.get(f"/admin/response/{page}/"))) for page in invitations.TABS]
    assert [len(page) for _path, page in found] == [3, 3, 3, 4]
    for path, key, shown in [(path, key, shown) for path, page in found for key, shown in page.items()]:
        response = member.get(reverse(f"response_{path}_csv", args=[key]))
        assert response["Content-Type"] == "text/csv; charset=utf-8"
        assert response.streaming
        assert re.fullmatch(
            rf'attachment; filename="response-{path}-{key}-\d{{4}}-\d\d-\d\d-\d{{4}}-\d\d-\d\d\.csv"',
            response["Content-Disposition"],
        )
        text = b"".join(response.streaming_content).decode()
        assert text.startswith(BOM)
        lines = list(csv.reader(io.StringIO(text.removeprefix(BOM))))
        head = lines.index([]) + 1
        rows = lines[head + 1 : head + 1 + len(shown)]
        assert len(rows) == len(shown)
        for row, cells in zip(rows, shown, strict=True):
            held = [value for value, title in zip(row, lines[head], strict=True) if "(95%)" not in title]
            compared = slice(1, 3) if key == "aapor" else slice(None)  # its names are folded on the page
            for value, cell in zip(held[compared], cells[compared], strict=True):
                assert says_the_same(value, cell), (key, value, cell)


def says_the_same(value: str, cell: str) -> bool:
    """A file's value and a page's text: the number that the page rounded, or the same words."""
    try:
        number = float(value)
    except ValueError:
        return value.lstrip("'").replace("(", "").replace(")", "") == cell.replace("(", "").replace(")", "") or (
            value == "" and ("too few" in cell or cell in ("", "–"))
        )
    texts = (f"{number:,.0f}", percent_text(number), percent_text(number)[:-1], "+" + percent_text(number)[:-1])
    return any(re.match(re.escape(text) + r"(?![\d.])", cell.replace("-", MINUS)) for text in texts)


def test_a_file_is_narrowed_as_its_page_and_runs_nothing(programme):
    member = login(SCORES)
    response = member.get("/admin/response/funnel/by-touchpoint.csv?by=touchpoint&mode=sms&segment=gold")
    lines = list(csv.reader(io.StringIO(b"".join(response.streaming_content).decode())))
    assert ["Collected by", "SMS"] in lines
    assert ["Segment", "gold"] in lines
    row = next(line for line in lines if line and line[0] == "'=Delivery")
    assert row[3] == "10"
    chinese = member.get("/admin/response/funnel/withheld.csv", headers={"accept-language": "zh-hans"})
    assert "未发出的原因" in b"".join(chinese.streaming_content).decode()


def test_a_workbook_holds_what_the_csv_file_holds(programme):
    member = login(SCORES)
    for key in ("rates", "aapor", "cases"):
        response = member.get(f"/admin/response/rates/{key}.xlsx")
        assert response["Content-Type"].endswith("spreadsheetml.sheet")
        assert response["Content-Disposition"].endswith('.xlsx"')
        book = openpyxl.load_workbook(io.BytesIO(b"".join(response.streaming_content)))
        held = [[cell for cell in row if cell is not None] for row in book.active.iter_rows(values_only=True)]
        text = b"".join(member.get(f"/admin/response/rates/{key}.csv").streaming_content).decode().removeprefix(BOM)
        lines = [[cell for cell in line if cell] for line in csv.reader(io.StringIO(text))]
        moment = next(place for place, line in enumerate(lines) if line and line[0] == "Made")
        del held[moment], lines[moment]
        assert len(held) == len(lines) > 5
        for one, other in zip(held, lines, strict=True):
            assert [as_number(cell) for cell in one] == [as_number(cell) for cell in other]


def as_number(cell):
    try:
        return round(float(cell), 9)
    except ValueError:
        return cell.removeprefix("'")


def test_what_does_not_exist_is_not_found():
    member = login(SCORES)
    for path in ("nothing/", "funnel/nothing.csv", "nothing/funnel.csv", "load/funnel.csv"):
        assert member.get(f"/admin/response/{path}").status_code == 404, path


def test_an_empty_programme_says_what_to_do_next():
    make_organisation()
    member = login(SCORES, "surveys.view_invitationrule")
    for page in PAGES:
        text = text_of(member.get(f"/admin/response/{page}"))
        assert "A rule decides on each event of its type" in text
        assert "Invitation rules" in text


def test_what_takes_too_long_is_given_up_politely(programme, monkeypatch):
    def wait_for_long(*_args, **_fields):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(5)")

    monkeypatch.setattr(reports, "PATIENCE_MS", 20)
    monkeypatch.setattr(invitations, "measure_passages", wait_for_long)
    member = login(SCORES)
    for path in ("", "funnel/funnel.csv"):
        response = member.get(f"/admin/response/{path}")
        assert response.status_code == 503
        assert "This took too long" in response.content.decode()

    def break_down(*_args, **_fields):
        raise OperationalError("the connection is gone")

    monkeypatch.setattr(invitations, "measure_passages", break_down)
    assert "This took too long" not in member.get("/admin/response/").content.decode()


def test_the_sidebar_leads_here(programme):
    page = login(SCORES).get("/admin/response/rates/").content.decode()
    assert "Invitations &amp; response" in page
    assert 'href="/admin/response/"' in page
    assert 'href="/admin/response/"' not in login(ANSWERS).get("/admin/surveys/response/").content.decode()
