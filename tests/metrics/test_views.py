"""The staff's pages on scores: who may see what, what filters do, and what they cost."""

import html
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from metrics.rollup import roll_up
from metrics.slices import Slice, starts
from surveys.models import (
    Customer,
    DeliveryAttempt,
    Instrument,
    Journey,
    QuarantinedEvent,
    Response,
    Segment,
    Touchpoint,
    WidgetCount,
)
from tests.factories import make_invitation, make_organisation, make_touchpoint
from tests.metrics.raw import answer, ticket

pytestmark = pytest.mark.django_db

SCORES = "metrics.view_scorecell"
ANSWERS = "surveys.view_response"
# Bodies in quarantine are about people, so that list asks for a customer's permission too.
WAITING = (
    "surveys.view_quarantinedevent",
    "surveys.view_customer",
    "surveys.view_invitation",
    "surveys.view_deliveryattempt",
)


def login(*permissions: str, **fields: Any) -> Client:
    """A logged-in member of staff with these permissions; `is_superuser=True` needs none."""
    user = User.objects.create_user(f"user{User.objects.count()}", is_staff=True, **{"password": "x", **fields})
    for permission in permissions:
        app, codename = permission.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def text_of(response: HttpResponse) -> str:
    """What a reader sees: without tags, spaces folded."""
    assert response.status_code == 200
    page = response.content.decode()
    title, content = re.search(r"<title>(.*?)</title>", page, re.DOTALL)[1], page.split('id="content"', 1)[1]
    content = re.sub(r"(?s)<script\b.*?</script>", " ", content)
    return re.sub(r"\s+", " ", f"{title} {re.sub(r'<[^>]+>', ' ', content)}")


def answers(touchpoint: Touchpoint, scores: list[int], days_ago: int = 1, **fields: Any) -> list[Response]:
    """Answers whose moment and day agree, so that pages of raw rows and pages of cells show the same."""
    at = timezone.now() - timedelta(days=days_ago)
    made = [answer(touchpoint, score, day=make_organisation().day_of(at), **fields) for score in scores]
    Response.objects.filter(pk__in=[one.pk for one in made]).update(responded_at=at)
    return made


@pytest.fixture
def delivery() -> Touchpoint:
    """Ten NPS answers (7 promoters, 2 passives, 1 detractor), one of them with a comment by a named customer."""
    make_organisation()
    buying = Journey.objects.create(slug="buying", name={"en": "Buying online", "zh-hans": "在线购买"})
    touchpoint = make_touchpoint(
        "delivery", name={"en": "Delivery", "zh-hans": "配送"}, journey=buying, channel="home_service",
        instrument=Instrument.objects.get(slug="nps"), targets={"nps": 50}, public=True,
    )  # fmt: skip
    made = answers(touchpoint, [10, 10, 10, 9, 9, 9, 9, 8, 7, 0], segment="gold", mode="email")
    Segment.objects.create(name="gold")
    customer = Customer.objects.create(
        external_id="C-vip", name="Wang Fang", email="wang@example.com", profile_at=timezone.now()
    )
    Response.objects.filter(pk=made[-1].pk).update(comment="Arrived <b>broken</b> & late", customer=customer)
    roll_up()
    return touchpoint


PAGES = ("/admin/", "/admin/touchpoints/delivery/")


# --- Who may see what -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_a_stranger_is_sent_to_the_login_and_back(client, delivery, path):
    response = client.get(path)
    assert (response.status_code, response["Location"]) == (302, f"/admin/login/?next={path}")


@pytest.mark.parametrize("path", PAGES)
def test_staff_who_may_not_see_scores_are_told_so(delivery, path):
    response = login(ANSWERS).get(path)
    assert response.status_code == 403
    assert "Your account may not see scores" in response.content.decode()
    assert "n = 10" not in response.content.decode()


@pytest.mark.parametrize("path", PAGES)
def test_a_viewer_sees_scores_but_no_name_address_or_verbatim(delivery, path):
    response = login(SCORES).get(path)
    page = response.content.decode()
    assert "n = 10" in text_of(response)
    for hidden in ("broken", "Wang Fang", "wang@example.com", "C-vip"):
        assert hidden not in page
    assert delivery.public_key not in page


@pytest.mark.parametrize("path", PAGES)
def test_comments_are_text_and_never_markup(delivery, path):
    Touchpoint.objects.filter(pk=delivery.pk).update(name={"en": "<img src=x onerror=alert(1)>"})
    page = login(SCORES, ANSWERS, "surveys.view_touchpoint").get(path).content.decode()
    assert "Arrived &lt;b&gt;broken&lt;/b&gt; &amp; late" in page
    assert "<img src=x" not in page
    assert "<b>broken" not in page


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_only_read_and_never_kept(delivery, path):
    client = login(SCORES)
    assert client.post(path).status_code == 405
    assert "no-store" in client.get(path)["Cache-Control"]


def test_the_overview_is_the_first_page_after_login(delivery):
    User.objects.create_superuser("boss", password="a-long-password-1")
    client = Client()
    response = client.post("/admin/login/", {"username": "boss", "password": "a-long-password-1"}, follow=True)
    assert response.redirect_chain == [("/admin/", 302)]
    assert "By touchpoint" in text_of(response)


# --- What the overview says -------------------------------------------------------------------------------------------


def test_a_value_stands_with_n_interval_change_and_target(delivery):
    answers(delivery, [10, 8, 0, 0, 0, 0], days_ago=40)
    roll_up()
    shown = text_of(login(SCORES).get("/admin/"))
    assert "Buying online" in shown
    assert "+60 n = 10" in shown
    assert "better" in shown
    assert "target +50 met" in shown
    page = login(SCORES).get("/admin/").content.decode()
    assert 'aria-label="95% interval: +' in page


@pytest.mark.parametrize(("count", "shown"), [(1, "n = 1, too few"), (4, "n = 4, too few"), (5, "100% n = 5")])
def test_below_five_answers_a_cell_says_too_few(delivery, count, shown):
    answers(make_touchpoint("shop", instrument=Instrument.objects.get(slug="csat5")), [5] * count)
    roll_up()
    assert shown in text_of(login(SCORES).get("/admin/"))


def test_csat_of_five_and_of_seven_points_are_columns_of_their_own(delivery):
    answers(make_touchpoint("a", instrument=Instrument.objects.get(slug="csat5")), [5] * 5)
    answers(make_touchpoint("b", instrument=Instrument.objects.get(slug="csat7")), [7] * 4 + [5] * 2)
    roll_up()
    shown = text_of(login(SCORES).get("/admin/"))
    assert shown.index("NPS") < shown.index("CSAT, 5 points") < shown.index("CSAT, 7 points")
    assert "67% n = 6" in shown


def test_tickets_without_a_touchpoint_have_a_row_of_their_own(delivery):
    opened = timezone.now().astimezone(UTC) - timedelta(days=3)
    for _number in range(6):
        ticket(None, opened, 7200)
    roll_up()
    shown = text_of(login(SCORES).get("/admin/?trend=ttr"))
    assert "Tickets without a touchpoint" in shown
    assert "2 h n = 6" in shown


def test_the_newest_answers_are_there_before_any_cell_is(delivery):
    shop = make_touchpoint("shop", instrument=Instrument.objects.get(slug="csat5"))
    answers(shop, [2], days_ago=0)  # and no roll-up
    shown = text_of(login(SCORES).get("/admin/"))
    assert "2 / 5 Dissatisfied Shop" in shown


def test_an_excluded_answer_is_not_among_the_newest(delivery):
    assert "0 / 10 Detractor" in text_of(login(SCORES).get("/admin/"))
    Response.objects.filter(score=0).update(excluded_at=timezone.now(), excluded_reason="a test")
    assert "0 / 10 Detractor" not in text_of(login(SCORES).get("/admin/"))


def test_what_waits_is_counted_for_those_who_may_see_it(delivery):
    now = timezone.now()
    QuarantinedEvent.objects.create(body="{}", received_at=now)
    QuarantinedEvent.objects.create(body="{}", received_at=now, state="discarded")
    failed = make_invitation(delivery, status="failed", reason="bounced")
    for _try in range(2):
        DeliveryAttempt.objects.create(invitation=failed, mode="email", at=now, result="permanent")
    old = make_invitation(delivery, status="failed", reason="bounced")
    DeliveryAttempt.objects.create(invitation=old, mode="email", at=now - timedelta(days=8), result="permanent")
    retried = make_invitation(delivery, status="scheduled")
    DeliveryAttempt.objects.create(invitation=retried, mode="email", at=now, result="temporary")
    manager = login(SCORES, *WAITING)
    response = manager.get("/admin/")
    shown = text_of(response)
    assert "Waits Events in quarantine: 1" in shown
    assert "Waits Messages not delivered in the last 7 days: 1" in shown
    assert "Waits Messages being tried again: 1" in shown
    assert "Waits" not in text_of(login(SCORES).get("/admin/"))
    links = re.findall(r'cx-item-waits">.*?href="([^"]+)"', response.content.decode())
    assert len(links) == 3
    for link in links:
        listed = manager.get(html.unescape(link), follow=True)
        assert (listed.status_code, listed.redirect_chain) == (200, []), link
        assert "does not exist" not in listed.content.decode()


@pytest.mark.parametrize("path", PAGES)
def test_answers_lead_to_their_own_pages(delivery, path):
    client = login(SCORES, ANSWERS)
    page = client.get(path).content.decode()
    links = {html.unescape(link) for link in re.findall(r'href="(/admin/(?:surveys/response|responses)/[^"]*)"', page)}
    assert len(links) > 1  # the list, and at least one answer
    for link in links:
        listed = client.get(link, follow=True)
        assert (listed.status_code, listed.redirect_chain) == (200, []), link


def test_an_empty_installation_says_what_to_do_next():
    make_organisation()
    assert not Touchpoint.objects.exists()
    assert "Nothing is measured yet" in text_of(login(is_superuser=True).get("/admin/"))


def test_touchpoints_without_answers_are_listed_with_what_to_do():
    make_organisation()
    make_touchpoint("quiet", name={"en": "Quiet corner"})
    shown = text_of(login(SCORES).get("/admin/"))
    assert "Nobody answered within these days." in shown
    assert "Quiet corner" in shown


def test_the_page_speaks_chinese(delivery):
    client = login(SCORES, ANSWERS)
    for path in PAGES:
        shown = text_of(client.get(path, headers={"accept-language": "zh-hans"}))
        assert "配送" in shown
        assert "在线购买" in shown
        assert "样本太少" in shown or "已达目标 +50" in shown
        for english in ("Overview", "answers", "touchpoint", "Show", "compared"):
            assert english not in shown


# --- Filters ----------------------------------------------------------------------------------------------------------


def test_filters_narrow_the_matrix_and_the_newest_answers(delivery):
    shop = make_touchpoint("shop", instrument=Instrument.objects.get(slug="csat5"), channel="on_site")
    answers(shop, [5] * 6, segment="silver")
    Segment.objects.create(name="silver")
    roll_up()
    client = login(SCORES)
    for query, there, gone in (
        ("channel=on_site", "Shop", "+60"),
        ("channel=home_service", "+60", "100%"),
        ("journey=buying", "+60", "100%"),
        ("segment=silver", "100%", "+60"),
    ):
        shown = text_of(client.get(f"/admin/?{query}"))
        assert there in shown, query
        assert gone not in shown, query


def test_a_period_leaves_out_what_lies_outside_it(delivery):
    answers(delivery, [0] * 7, days_ago=50)
    roll_up()
    client = login(SCORES)
    assert "n = 10" in text_of(client.get("/admin/"))
    assert "n = 17" in text_of(client.get("/admin/?period=90d"))
    day = make_organisation().day_of(timezone.now() - timedelta(days=50))
    shown = text_of(client.get(f"/admin/?period=custom&from={day}&to={day}"))
    assert "−100 n = 7" in shown
    assert "10 / 10" not in shown  # newest answers are of these days too


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    "query",
    [
        "journey=nowhere&mode=pigeon",
        "channel=telepathy&mode=pigeon",
        "segment=<script>alert(1)</script>",
        "period=soon",
        "period=custom&from=2026-02-30",
        "from=2026-03-02&to=2026-03-01",
        "from=0001-01-01&to=9999-12-31",
        "segment=%00",
    ],
)
def test_a_wrong_filter_is_left_out_and_told(delivery, path, query):
    response = login(SCORES).get(f"{path}?{query}")
    shown = text_of(response)
    assert "There is no “" in shown or "These days cannot be shown" in shown
    assert "n = 10" in shown
    assert "<script>alert" not in response.content.decode()


def test_an_unknown_trend_shows_the_first_metric(delivery):
    for key in ("nothing", "ces", "csat9", ""):
        assert "Promoters less detractors" in text_of(login(SCORES).get(f"/admin/?trend={key}"))


def test_links_keep_the_filters_that_are_chosen(delivery):
    page = login(SCORES).get("/admin/?segment=gold&period=90d").content.decode()
    assert 'href="/admin/touchpoints/delivery/?segment=gold&amp;period=90d"' in page
    assert 'href="?segment=gold&amp;period=7d"' in page
    assert '<option value="gold" selected>' in page


# --- A touchpoint's page ----------------------------------------------------------------------------------------------


def test_a_touchpoint_shows_its_spread_and_its_bands(delivery):
    shown = text_of(login(SCORES, ANSWERS).get("/admin/touchpoints/delivery/"))
    assert "+60 n = 10" in shown
    assert "Promoters 70% 7" in shown
    assert "Detractors 10% 1" in shown
    assert "10 30% 3" in shown  # score, share, n
    assert "Arrived &lt;b&gt;broken" in shown


def test_a_touchpoint_is_compared_by_mode_segment_and_location(delivery):
    answers(delivery, [0] * 5, mode="sms", segment="gold", location="sh-014")
    answers(delivery, [10], mode="qr")
    roll_up()
    shown = text_of(login(SCORES).get("/admin/touchpoints/delivery/"))
    # Each against all others: email's 7 of 10 against one promoter and five detractors.
    assert "Email +60 10 +127 better than the rest" in shown
    assert "SMS −100 5 −164 worse than the rest" in shown
    assert "QR code n = 1, too few 1 – too few to tell" in shown
    assert "sh-014 −100 5 −164 worse than the rest" in shown
    narrowed = text_of(login(SCORES).get("/admin/touchpoints/delivery/?mode=sms"))
    assert "−100 n = 5" in narrowed
    assert "+60" not in narrowed


def test_a_ticket_has_no_mode_so_the_mode_hides_its_times(delivery):
    opened = timezone.now().astimezone(UTC) - timedelta(days=3)
    for number in range(6):
        ticket(delivery, opened, 7200, segment=["gold", ""][number % 2])
    ticket(delivery, opened)
    roll_up()
    client = login(SCORES)
    shown = text_of(client.get("/admin/touchpoints/delivery/?trend=ttr"))
    assert "2 h n = 6" in shown
    assert "Open now 1" in shown
    assert "By how it was collected" not in shown
    assert "2 h" not in text_of(client.get("/admin/touchpoints/delivery/?trend=ttr&mode=email"))


def test_link_qr_code_and_snippet_are_for_those_who_may_see_the_touchpoint(delivery):
    page = login(SCORES, "surveys.view_touchpoint").get("/admin/touchpoints/delivery/").content.decode()
    assert f"/t/{delivery.public_key}/" in page
    assert "<svg" in page.split("cx-qr", 1)[1]
    assert "&lt;iframe src=" in page


@pytest.mark.parametrize(
    ("fields", "said"), [({"public": False}, "open form is off"), ({"active": False}, "is switched off")]
)
def test_a_form_that_nobody_can_open_says_why(delivery, fields, said):
    Touchpoint.objects.filter(pk=delivery.pk).update(**fields)
    assert said in text_of(login(SCORES, "surveys.view_touchpoint").get("/admin/touchpoints/delivery/"))


def test_a_touchpoint_without_answers_says_what_to_do(delivery):
    make_touchpoint("quiet")
    shown = text_of(login(SCORES, "surveys.view_touchpoint").get("/admin/touchpoints/quiet/"))
    assert "give customers the link below" in shown


def test_below_five_answers_no_share_is_shown(delivery):
    answers(make_touchpoint("shop", instrument=Instrument.objects.get(slug="csat5")), [5, 5, 5, 5])
    roll_up()
    shown = text_of(login(SCORES).get("/admin/touchpoints/shop/"))
    assert "n = 4, too few" in shown
    assert "100%" not in shown


def test_an_unknown_touchpoint_is_a_page_that_leads_back(delivery):
    response = login(SCORES).get("/admin/touchpoints/nowhere/")
    assert response.status_code == 404
    assert "There is no touchpoint “nowhere”" in response.content.decode()
    assert 'href="/admin/"' in response.content.decode()


def test_times_are_told_in_the_organisations_zone(delivery):
    moment = datetime.now(UTC).replace(hour=20, minute=17) - timedelta(days=2)
    Response.objects.update(responded_at=moment)
    assert "04:17" in text_of(login(SCORES).get("/admin/?period=7d"))  # Shanghai is eight hours ahead
    assert "20:17" not in text_of(login(SCORES).get("/admin/?period=7d"))


def points_of(response: HttpResponse) -> list[str]:
    return re.findall(
        r'<tr><th scope="row">([^<]+)</th>', response.content.decode().split("cx-details", 1)[1].split("</table>")[0]
    )


def test_a_trend_is_cut_as_the_address_says(delivery):
    client = login(SCORES)
    today = make_organisation().day_of(timezone.now())
    window = Slice(day_from=today - timedelta(days=89), day_to=today)
    pages = {
        interval: client.get(f"/admin/touchpoints/delivery/?period=90d&interval={interval}")
        for interval in ("quarter", "week", "day", "fortnight")
    }
    for interval in ("quarter", "week", "day"):
        assert len(points_of(pages[interval])) == len(starts(interval, window, ()))
        assert "n = 10" in text_of(pages[interval])
    assert len(points_of(pages["fortnight"])) == len(starts("month", window, ()))  # as fits ten answers
    page = pages["week"].content.decode()
    assert re.search(r'interval=week[^"]*" aria-current="true"', page)
    assert re.search(r'href="[^"]*interval=day', page)
    assert 'name="interval" value="week"' in page  # the form of filters keeps it


def test_languages_are_counted_from_raw_answers_when_asked_for(delivery):
    Response.objects.filter(score__gte=9).update(language="en")
    Response.objects.filter(score__lt=9).update(language="zh-hans")
    answers(delivery, [0] * 9, days_ago=400)
    Response.objects.filter(language="").update(language="fr")
    roll_up()
    client = login(SCORES)
    assert "By language" not in text_of(client.get("/admin/touchpoints/delivery/"))
    shown = text_of(client.get("/admin/touchpoints/delivery/?by=language"))
    assert "English +100 7" in shown
    assert "Counted answer by answer: no sum is kept by language." in shown
    assert "French" not in shown
    narrowed = text_of(client.get("/admin/touchpoints/delivery/?by=language&mode=sms"))
    assert "By language" not in narrowed  # all came by email
    day = make_organisation().day_of(timezone.now())
    years = f"period=custom&from={day - timedelta(days=800)}&to={day}"
    shown = text_of(client.get(f"/admin/touchpoints/delivery/?by=language&{years}"))
    assert "Counted answer by answer, so only the last 366 days of the period." in shown
    assert "English +100 7" in shown
    assert "French" not in shown
    lines = b"".join(client.get("/admin/touchpoints/delivery/by-language.csv?by=language").streaming_content).decode()
    assert "English,100.0," in lines


def test_bands_over_time_stand_in_a_file(delivery):
    client = login(SCORES)
    lines = b"".join(client.get("/admin/touchpoints/delivery/bands.csv").streaming_content).decode().splitlines()
    head = next(number for number, line in enumerate(lines) if line.startswith("From,"))
    assert lines[head] == "From,Promoters %,Passives %,Detractors %,n"
    assert any(line.endswith(",70.0,20.0,10.0,10") for line in lines[head:])


def test_the_response_rate_is_that_of_the_page_it_leads_to(delivery):
    at = timezone.now() - timedelta(days=3)
    for number in range(8):
        made = make_invitation(delivery, status="answered" if number < 2 else "sent", sent_at=at, token=f"t{number}")
        type(made).objects.filter(pk=made.pk).update(decided_at=at, expires_at=at + timedelta(days=14))
        if number < 2:
            [response] = answers(delivery, [9], days_ago=2)
            Response.objects.filter(pk=response.pk).update(invitation=made)
    roll_up()
    client = login(SCORES)
    response = client.get("/admin/touchpoints/delivery/?period=7d")
    assert "25.0% n = 8, low n" in text_of(response)
    assert "Links that still work: 6." in text_of(response)
    [link] = re.findall(r'href="(/admin/response/\?[^"]*touchpoint=delivery[^"]*)"', response.content.decode())
    assert "25.0% n = 8, low n" in text_of(client.get(html.unescape(link)))
    assert "25.0%" not in text_of(client.get("/admin/touchpoints/delivery/?period=7d&location=sh-014"))


# --- What they cost ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?trend=ttr", "?segment=gold&journey=buying", "?period=90d&trend=csat5"])
@pytest.mark.parametrize("superuser", [True, False])
def test_the_overview_stays_within_fifteen_queries(delivery, django_assert_max_num_queries, query, superuser):
    opened = timezone.now().astimezone(UTC) - timedelta(days=3)
    for number, slug in enumerate(("csat5", "csat7", "ces", "nps", "csat5", "csat7")):
        touchpoint = make_touchpoint(instrument=Instrument.objects.get(slug=slug))
        answers(touchpoint, [5] * 6, segment="gold", location=f"sh-{number}")
        for _ticket in range(6):
            ticket(touchpoint, opened, 600)
    roll_up()
    client = login(is_superuser=True) if superuser else login(SCORES, ANSWERS, "surveys.view_touchpoint", *WAITING)
    with django_assert_max_num_queries(15):
        assert client.get(f"/admin/{query}").status_code == 200


@pytest.mark.parametrize(
    "query", ["", "?trend=ttr", "?by=language", "?segment=gold&interval=quarter", "?period=365d&trend=csat5"]
)
@pytest.mark.parametrize("superuser", [True, False])
def test_a_touchpoints_page_stays_within_fifteen_queries(delivery, django_assert_max_num_queries, query, superuser):
    opened = timezone.now().astimezone(UTC) - timedelta(days=3)
    for number, slug in enumerate(("csat5", "csat7", "ces", "nps")):
        question = Instrument.objects.get(slug=slug).questions.get(key="score")
        for mode in ("web", "email"):
            answers(delivery, [5] * 6, question=question, mode=mode, segment="gold", location=f"sh-{number}")
    for _ticket in range(6):
        ticket(delivery, opened, 600, segment="gold")
    ticket(delivery, opened, segment="gold")
    WidgetCount.objects.create(
        touchpoint=delivery, day=make_organisation().day_of(timezone.now()), event="shown", count=9
    )
    for _invitation in range(3):
        make_invitation(delivery, status="sent", sent_at=timezone.now(), decided_at=timezone.now())
    Customer.objects.update(segment="gold")
    roll_up()
    client = login(is_superuser=True) if superuser else login(SCORES, ANSWERS, "surveys.view_touchpoint", *WAITING)
    with django_assert_max_num_queries(15):
        shown = text_of(client.get(f"/admin/touchpoints/delivery/{query}"))
    assert "Response rate" in shown
    assert ("The widget" in shown) == ("segment" not in query)


def test_the_cost_of_a_touchpoints_page_does_not_follow_its_answers(delivery):
    client = login(SCORES, ANSWERS)

    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get("/admin/touchpoints/delivery/").status_code == 200
        return len(captured)

    before = count()
    answers(delivery, [10] * 30, segment="silver", mode="sms", location="sh-014")
    roll_up()
    assert count() == before <= 15
