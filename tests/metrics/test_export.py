"""A file holds what the page lists: all of it, in its order, harmless to a spreadsheet, and as flat in memory as it is long."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from openpyxl import load_workbook

from metrics import export
from metrics.export import Export, columns_of, csv_bytes, rows_of
from metrics.sheets import BOM, Value, csv_line
from surveys.flow.respond import exclude_response
from surveys.flow.search import Asked
from surveys.models import Question, Response, Wording
from tests.factories import NOW, make_customer, make_instrument, make_organisation, make_touchpoint
from tests.metrics import raw
from tests.surveys.admin.people import READS, answer, sign_in

pytestmark = pytest.mark.django_db
LIST = "?from=2000-01-01"
SHANGHAI = ZoneInfo("Asia/Shanghai")
WICKED = (
    "=1+1",
    "  @SUM(A1)",
    "\t=x",
    "-5",
    "＝x",
    "'=already",
    'say "hi", ok\nsecond line',
    "100%s {0} %(x)s",
    "\\N",
    "\\.",
)


@pytest.fixture
def rows() -> list[Response]:
    """Answers in all that a file must hold: wicked texts, other questions, states, nobody and somebody, an erased customer."""
    organisation = make_organisation()
    instrument = make_instrument("nps-x")
    shop = make_touchpoint("shop", instrument, name={"en": "=Shop", "zh-hans": "店"})
    call = make_touchpoint("call", make_instrument("ces-x", "ces", 7), channel="call_center")
    extra = Question.objects.create(instrument=instrument, key="wish", kind="verbatim")
    Wording.objects.create(version=instrument.current_version(), question=extra, position=3, text={"en": "?"})
    person = make_customer("=C-1", name="-Li", email="li@example.com", phone="+8613800000000")
    gone = make_customer("C-2")
    made = [answer(shop, 9, text, customer=person, now=NOW + timedelta(seconds=n)) for n, text in enumerate(WICKED)]
    made.append(
        answer(
            call, None, "", facts={"carrier": "SF", "say": '"='}, reference="+ord", language="zh-hans", location="@a"
        )
    )
    made.append(answer(shop, 3, "x", customer=gone, segment="gold", complete=False))
    made[0].answers.create(question=extra, text="=wish")
    made[1].answers.create(question=instrument.questions.get(key="reason"), choices=["price", "speed"])
    exclude_response(made[2].pk, "=why", None, NOW)
    gone.erased_at = NOW
    gone.save()
    assert organisation.time_zone == "Asia/Shanghai"
    return sorted(Response.objects.all(), key=lambda row: (row.responded_at, row.pk), reverse=True)


def lines_of(content: bytes) -> list[list[str]]:
    text = content.decode()
    assert text.startswith(BOM)
    assert "\r" not in text
    return list(csv.reader(io.StringIO(text.removeprefix(BOM), newline="")))


def told(value: Value) -> str:
    """A value as the CSV tells it, worked out here."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=SHANGHAI).isoformat(timespec="seconds")
    [one] = next(csv.reader([csv_line([value])])) or [""] if value is not None and "\n" not in str(value) else [None]
    if one is None:
        return next(csv.reader(io.StringIO(csv_line([value]), newline="")))[0] if value is not None else ""
    return one


def test_both_files_hold_the_same(rows):
    organisation = make_organisation()
    for asked in (Asked(), Asked(instruments=["nps-x"])):
        made = Export.of(asked, organisation, people=True)
        ids = [row.pk for row in rows if asked.instruments is None or row.touchpoint.slug == "shop"]
        found = lines_of(b"".join(csv_bytes(made, [["Answers"]])))
        assert found[:2] == [["Answers"], []]
        assert found[2] == [column.title for column in made.columns]
        assert found[3:] == [[told(value) for value in row] for row in rows_of(made, ids)]
        assert len(found[3:]) == len(ids)


def test_a_file_holds_what_was_answered(rows):
    made = Export.of(Asked(), make_organisation(), people=True)
    heads, *found = lines_of(b"".join(csv_bytes(made, [])))[1:]
    held = {line[0]: dict(zip(heads, line, strict=True)) for line in found}
    assert [line[0] for line in found] == [str(row.client_id) for row in rows]
    by_comment = {line["Comment"]: line for line in held.values()}
    for text in WICKED:
        shown = f"'{text}" if text.lstrip(" ")[0] in "=@\t-＝" else text
        line = by_comment[shown]
        assert (line["Touchpoint"], line["Name of the touchpoint"]) == ("shop", "'=Shop")
        assert (line["Score"], line["Band"], line["Metric"], line["Instrument"]) == ("9", "Promoter", "nps", "nps-x")
        assert (line["Customer"], line["Name"], line["Phone"]) == ("'=C-1", "'-Li", "'+8613800000000")
        assert line["Answered at"].startswith("2026-11-20T10:00:0")
        assert line["Answered at"].endswith("+08:00")
    assert json.loads(by_comment["'=1+1"]["Other answers"]) == {"wish": "=wish"}
    assert json.loads(by_comment["'  @SUM(A1)"]["Other answers"]) == {"reason": ["price", "speed"]}
    assert by_comment["'\t=x"]["Why excluded"] == "'=why"
    bare = by_comment[""]
    assert (bare["Score"], bare["Band"], bare["Location"], bare["Reference"]) == ("", "", "'@a", "'+ord")
    assert json.loads(bare["Facts"]) == {"carrier": "SF", "say": '"='}
    partial = by_comment["x"]
    assert (partial["Completed at"], partial["Customer"], partial["Segment"]) == ("", "", "gold")


def test_one_instruments_questions_have_a_column_each(rows):
    made = Export.of(Asked(instruments=["nps-x"]), make_organisation(), people=False)
    heads, *found = lines_of(b"".join(csv_bytes(made, [])))[1:]
    assert heads[18:20] == ["reason", "wish"]
    assert {tuple(line[18:20]) for line in found} == {("price, speed", ""), ("", "'=wish"), ("", "")}
    assert "Customer" not in heads
    assert "Other answers" not in heads
    assert "Other answers" in [column.title for column in columns_of(Asked(), False)]


def downloaded(client: Any, address: str) -> bytes:
    response = client.get(address)
    assert response.status_code == 200
    assert "attachment" in response["Content-Disposition"]
    return b"".join(response.streaming_content)


def test_a_file_holds_what_the_page_lists_and_says_what_it_is(rows):
    client = sign_in(*READS)
    for query in ("", "&q=ok", "&band=worst", "&touchpoint=call", "&of=%3DC-1", "&q=nothing"):
        shown = [line.pk for line in client.get(f"/admin/responses/{LIST}{query}").context["lines"]]
        wanted = [str(row.client_id) for row in rows if row.pk in shown]
        content = lines_of(downloaded(client, f"/admin/responses.csv{LIST}{query}"))
        start = content.index([]) + 2
        assert [line[0] for line in content[start:]] == wanted, query
        sheet = load_workbook(io.BytesIO(downloaded(client, f"/admin/responses.xlsx{LIST}{query}"))).active
        assert sheet is not None
        listed = [row[0] for row in sheet.iter_rows(values_only=True)]
        assert listed[listed.index("Response") + 1 :] == wanted, query
    top = lines_of(downloaded(client, f"/admin/responses.csv{LIST}&q=cold+tea&touchpoint=call"))
    said = dict(line for line in top[: top.index([])] if len(line) == 2)
    assert (top[0], said["Organisation"], said["Search"], said["Touchpoint"]) == (
        ["Answers"], "Harbour Tea", "cold tea", "Call",
    )  # fmt: skip
    assert said["Period"].startswith("2000-01-01 – ")
    assert said["By"].startswith("staff-")
    assert "+08:00" in said["Made"]


def test_customers_leave_only_with_whoever_may_see_them_and_it_is_recorded(rows):
    manager, reader = sign_in(*READS), sign_in("view_response")
    assert b"li@example.com" in downloaded(manager, f"/admin/responses.csv{LIST}")
    own = downloaded(reader, f"/admin/responses.csv{LIST}&of=%3DC-1&fact=carrier%3DSF")
    for word in (b"li@example.com", b"C-1", b"carrier", b"+ord"):
        assert word not in own.partition(b"\n\n")[2]
    notes = list(LogEntry.objects.order_by("id").values_list("user__username", "object_repr", "change_message"))
    assert [note[2].partition(":")[0] for note in notes] == [
        "Exported as CSV, with customers",
        "Exported as CSV, without customers",
    ]
    assert notes[0][0] != notes[1][0]
    for kind in ("csv", "xlsx"):
        assert sign_in("view_customer").get(f"/admin/responses.{kind}").status_code == 403
    assert LogEntry.objects.count() == 2


def test_what_no_sheet_can_hold_is_refused_before_it_begins(rows, monkeypatch):
    monkeypatch.setattr("metrics.views.responses.MAX_ROWS", 45)  # 40 of them are kept for the head
    client = sign_in(*READS)
    refused = client.get(f"/admin/responses.xlsx{LIST}")
    shown = refused.content.decode()
    assert refused.status_code == 422
    assert "45 rows at most" in shown
    assert f'href="/admin/responses.csv{LIST}"' in shown
    assert not LogEntry.objects.exists()
    assert downloaded(client, f"/admin/responses.xlsx{LIST}&band=worst")


def test_batches_leave_as_they_are_read(monkeypatch):
    make_organisation()
    place = make_touchpoint()
    for score in range(7):
        raw.answer(place, score)
    monkeypatch.setattr(export, "BATCH", 3)
    pieces: Iterator[bytes] = csv_bytes(Export.of(Asked(), make_organisation(), False), [])
    head = next(pieces)
    assert head.startswith(BOM.encode())
    assert [piece.count(b"\n") for piece in pieces] == [3, 3, 1]
    with connection.cursor() as cursor:
        cursor.execute("SHOW TimeZone")
        assert cursor.fetchone()[0] == "UTC"
