"""What all lists of recorded rows share: who may see what of a person, wrong addresses, and how many queries a page takes."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from surveys.admin.records import COUNTED_TO, BoundedPaginator
from surveys.flow.quarantine import Unusable, quarantine
from surveys.models import (
    Customer,
    DeliveryAttempt,
    InteractionEvent,
    Invitation,
    QuarantinedEvent,
    Response,
    SentMessage,
    Suppression,
    Ticket,
    WatcherNotice,
)
from tests.factories import NOW, make_customer, make_event, make_invitation, make_organisation
from tests.surveys.admin.people import COMMENT, PERSONAL, READS, answer, hold_everything, list_url, page_url, sign_in

pytestmark = pytest.mark.django_db
MODELS = (
    *(Customer, InteractionEvent, QuarantinedEvent, Invitation, DeliveryAttempt, Suppression, Ticket, Response),
    *(SentMessage, WatcherNotice),
)
ABOUT_PEOPLE = (Customer, QuarantinedEvent, SentMessage)  # nothing of them can be told without naming somebody
ANSWERS = "/admin/responses/?from=2000-01-01"  # their list is a page of its own
WITH_ANSWERS = (Response, SentMessage, WatcherNotice)


@pytest.fixture(autouse=True)
def organisation(db):
    return make_organisation()


@pytest.fixture
def held():
    return hold_everything()


def list_page(model, query: str = "") -> str:
    return ANSWERS + query.replace("?", "&") if model is Response else list_url(model, query)


def text_of(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200, (url, response.status_code)
    return response.content.decode()


def test_whoever_may_see_all_sees_each_list_and_each_page(held):
    client = sign_in(*READS)
    for model in MODELS:
        listed = "cx-found" if model is Response else "result_list"
        assert listed in text_of(client, list_page(model)) or not model.objects.exists()
    for row in held.pages():
        assert "rec-page" in text_of(client, page_url(row)), row
        assert client.get(page_url(row, "history")).status_code == 200


@pytest.mark.parametrize("model", MODELS)
def test_without_the_permission_of_a_model_its_pages_are_refused(held, model):
    client = sign_in(*(name for name in READS if name != f"view_{model._meta.model_name}"))
    assert client.get(list_url(model)).status_code == 403
    for row in model.objects.all()[:1]:
        assert client.get(page_url(row)).status_code == 403
        assert client.get(page_url(row, "history")).status_code == 403


def test_without_customers_nobody_is_named_anywhere(held):
    client = sign_in(*(name for name in READS if name != "view_customer"))
    for model in MODELS:
        if model in ABOUT_PEOPLE:
            assert client.get(list_url(model)).status_code == 403
            continue
        shown = text_of(client, list_page(model)).replace("Asia/Shanghai", "")  # the clock of a page that is printed
        for word in PERSONAL:
            # What people write themselves may name them: that is the business of view_response.
            assert word not in shown.replace(COMMENT, ""), (model, word)
    for row in held.pages():
        if type(row) in ABOUT_PEOPLE:
            assert client.get(page_url(row)).status_code == 403
            continue
        shown = text_of(client, page_url(row)).replace(COMMENT, "")
        for word in PERSONAL:
            assert word not in shown, (row, word)


def test_without_answers_no_verbatim_is_shown_anywhere(held):
    client = sign_in(*(name for name in READS if name != "view_response"))
    for model in MODELS:
        if model in WITH_ANSWERS:
            assert client.get(list_url(model)).status_code == 403
        else:
            assert COMMENT not in text_of(client, list_page(model))
    for row in held.pages():
        if type(row) in WITH_ANSWERS:
            assert client.get(page_url(row)).status_code == 403
        else:
            assert COMMENT not in text_of(client, page_url(row))


def test_search_does_not_say_who_is_there_without_customers(held):
    client = sign_in(*(name for name in READS if name != "view_customer"))
    assert "No answer was found" in text_of(client, f"{ANSWERS}&q=C-LI")
    assert "No answer" not in text_of(client, f"{ANSWERS}&of=C-LI")  # is no filter of theirs, and narrows nothing
    for model, word in ((Ticket, "C-LI"), (InteractionEvent, "C-LI")):
        assert "Nothing matches" in text_of(client, list_url(model, f"?q={word}"))
    for model in (Invitation, Suppression):  # nothing to search by: whatever is asked, all is shown
        assert "Nothing matches" not in text_of(client, list_url(model, "?q=nobody@example.com"))
    assert "Nothing matches" in text_of(sign_in(*READS), list_url(Suppression, "?q=nobody@example.com"))


@pytest.mark.parametrize(
    ("model", "query"),
    [
        (Invitation, "?detail__contains=li"),
        (Invitation, "?token__startswith=a"),
        (InteractionEvent, "?facts__note=for+Li+Na"),
        (Suppression, "?address_hash=abc"),
        (Ticket, "?customer__phone__startswith=%2B86"),
    ],
)
def test_no_list_can_be_filtered_by_what_it_does_not_offer(held, model, query):
    response = sign_in(*READS).get(list_url(model, query), follow=True)
    assert response.redirect_chain == [(list_url(model, "?e=1"), 302)]
    assert "does not exist. Here is the whole list." in response.content.decode()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "query",
    [
        *("?q=%00", "?q=%F0%9F%98%80+%22", "?p=junk", "?p=999999", "?o=99.x.-1", "?all=", "?nothing=1"),
        *("?state__exact=junk", "?status__exact=%00", "?reason__exact=%00", "?result__exact=", "?mode=%00&band=junk"),
        *("?touchpoint__id__exact=junk", "?touchpoint__id__exact=99999999999999999999", "?rule__id__exact=%00"),
        *("?segment=%00", "?metric=junk", "?excluded=perhaps", "?has_comment=%00", "?reach=moon", "?type=%00"),
        *("?day_from=junk&day_to=%00", "?day_from=0001-01-01&day_to=9999-12-31", "?at_from=9999-12-31"),
        *("?time_to=9999-12-31&time_from=0001-01-01", "?customer__id__exact=x", "?customer__id__exact=%00"),
        *("?touchpoint__channel__exact=%00", "?event__id__exact=-1", "?decided_at_from=2026-13-45"),
    ],
)
def test_a_wrong_address_is_never_an_error_of_ours(held, model, query):
    client = sign_in(*READS)
    for address in {list_url(model, query), list_page(model, query)}:
        assert client.get(address, follow=True).status_code == 200


@pytest.mark.parametrize("model", MODELS)
def test_an_unknown_row_leads_away_with_a_message(held, model):
    client = sign_in(*READS)
    for id in ("0", "junk", "99999999999999999999", "a%00b"):
        response = client.get(list_url(model) + f"{id}/change/")
        assert response.status_code == 302, id


@pytest.mark.parametrize(("model", "bound"), [(model, 15 if model is Response else 13) for model in MODELS])
def test_a_list_takes_few_queries_however_long_it_is(held, model, bound, django_assert_max_num_queries):
    for number in range(30):
        customer = make_customer(name=f"Customer {number}")
        event = make_event(customer, touchpoint=held.touchpoint)
        invitation = make_invitation(held.touchpoint, customer, event=event)
        DeliveryAttempt.objects.create(invitation=invitation, mode="email", at=NOW, result="sent")
        answer(held.touchpoint, number % 11, "tea", customer=customer, invitation=invitation)
    quarantine([Unusable("1", "{}", ({"pointer": "/id", "detail": "no"},))] * 30, "shop", NOW)
    client = sign_in(*READS)
    with django_assert_max_num_queries(bound):
        assert client.get(list_page(model)).status_code == 200


def test_a_list_counts_only_so_far(monkeypatch):
    monkeypatch.setattr("surveys.admin.records.COUNTED_TO", 3)
    for _number in range(4):
        make_customer()
    assert BoundedPaginator(Customer.objects.order_by("id"), 2).count == 3
    assert "more than 3 customers" in " ".join(text_of(sign_in("view_customer"), list_url(Customer)).split())
    assert COUNTED_TO >= 10_000


def test_an_empty_list_says_what_it_will_hold():
    client = sign_in(*READS)
    assert "Answers appear here within seconds" in text_of(client, ANSWERS)
    assert "No answer within these days" in text_of(client, f"{ANSWERS}&q=nothing")


def test_times_are_told_on_the_organisations_clock(held):
    """NOW is 10:00 in Shanghai."""
    assert "20 Nov 2026, 10:00" in text_of(sign_in(*READS), page_url(held.response))


def test_every_page_is_there_in_chinese(held):
    client = sign_in(*READS)
    client.cookies["django_language"] = "zh-hans"
    User.objects.update(is_superuser=True)
    for row in held.pages():
        shown = text_of(client, page_url(row))
        assert "配送" in shown or type(row) in (SentMessage, Suppression)
    assert "没有找到回答" in text_of(client, f"{ANSWERS}&q=nothing")
