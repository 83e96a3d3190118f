"""The page of unsubscribing and the one click: who looks changes nothing, who posts is heard, whatever the body looks like."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from surveys.flow.addresses import address_hash
from surveys.flow.erase import erase_customer
from surveys.flow.suppress import suppress
from surveys.flow.unsubscribe import complain, stop_number
from surveys.models import Consent, Customer, Invitation, Scope, Suppression, SuppressionLift
from tests.factories import NOW, make_customer, make_invitation, make_organisation, make_touchpoint

pytestmark = pytest.mark.django_db
FORM = "application/x-www-form-urlencoded"
ONE_CLICK = "List-Unsubscribe=One-Click"
PHONE = "+8613800000000"
MULTIPART = (
    '--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n',
    "multipart/form-data; boundary=x",
)


@pytest.fixture
def invitation():
    make_organisation()
    touchpoint = make_touchpoint("delivery", name={"en": "Delivery", "zh-hans": "配送"})
    return make_invitation(touchpoint, make_customer("C-1", email="li@example.com"))


@pytest.fixture
def path(invitation):
    return f"/u/{invitation.token}/"


def scopes():
    return set(Suppression.objects.values_list("scope", flat=True))


@pytest.mark.parametrize("method", ["get", "head", "options", "put", "delete"])
def test_only_a_post_changes_anything(client, path, method):
    assert getattr(client, method)(f"{path}?scope=all_messages&undo=1&List-Unsubscribe=One-Click").cookies == {}
    assert not Suppression.objects.exists()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (ONE_CLICK, FORM),
        (ONE_CLICK, f"{FORM}; charset=utf-8"),
        MULTIPART,
        # None of these is a form of ours. Whoever sends them means the same.
        ("", ""),
        ("", FORM),
        (ONE_CLICK, ""),
        (ONE_CLICK, "text/plain"),
        ('{"List-Unsubscribe": "One-Click"}', "application/json"),
        (ONE_CLICK, f"{FORM}; charset=gbk"),
        ("--y\r\nbroken", "multipart/form-data; boundary=x"),
        ("x", "multipart/form-data"),
        (MULTIPART[0][:40], MULTIPART[1]),
        ("&".join(f"a{number}=1" for number in range(1500)), FORM),
        ("scope=everything", FORM),
        ("%ff%fe=%00", FORM),
    ],
    ids=[
        *("one click", "utf-8", "multipart", "nothing", "empty form", "no type", "text", "json", "gbk"),
        *("broken multipart", "no boundary", "cut off", "too many fields", "unknown scope", "no text"),
    ],
)
def test_one_click_needs_nothing_but_the_post_and_says_the_same_twice(path, body, kind):
    client = Client(enforce_csrf_checks=True, headers={"Origin": "https://mail.example.org"})
    answers = [client.generic("POST", path, body, content_type=kind) for _twice in range(2)]
    for answer in answers:
        assert (answer.status_code, answer.cookies, answer.get("Location")) == (200, {}, None)
        assert answer["Cache-Control"] == "no-store"
    assert answers[0].content == answers[1].content
    assert scopes() == {"all_surveys"}
    assert Suppression.objects.count() == 2  # the address and the person


@pytest.mark.parametrize("status", ["scheduled", "expired", "answered", "withheld", "cancelled", "failed"])
def test_whatever_became_of_the_invitation_its_link_unsubscribes(client, invitation, path, status):
    fields = {"status": status, "expires_at": NOW - timedelta(days=300), "send_at": NOW}
    Invitation.objects.update(**fields, reason="" if status in ("scheduled", "expired", "answered") else "bounced")
    assert "No more surveys?" in client.get(path).content.decode()
    assert client.post(path).status_code == 200
    assert scopes() == {"all_surveys"}


def test_a_link_that_nobody_knows_is_a_polite_page_and_an_erased_persons_changes_nothing(client, invitation, path):
    for token in ("nobody", "a%00b", "%ED%A0%80", "x" * 200):
        assert client.post(f"/u/{token}/", {"List-Unsubscribe": "One-Click"}).status_code == 404, token
    Invitation.objects.update(status="answered")
    erase_customer("C-1", NOW)
    page = client.post(path)
    assert (page.status_code, "You are unsubscribed" in page.content.decode()) == (200, True)
    assert not Suppression.objects.exists()


@pytest.mark.parametrize(
    ("chosen", "told", "wider"),
    [
        ("this_survey", "We will not send you this survey again: Delivery.", ["all_surveys", "all_messages"]),
        ("all_surveys", "You will get no more surveys from us.", ["all_messages"]),
        ("all_messages", "no messages about your answers", []),
    ],
)
def test_the_page_offers_three_scopes_and_shows_what_stands(client, path, chosen, told, wider):
    page = client.get(path).content.decode()
    assert [scope for scope in Scope.values if f'value="{scope}"' in page] == list(Scope.values)
    assert page.count(" checked") == 1
    assert 'value="all_surveys" checked' in page
    for shown in (client.post(path, {"scope": chosen}), client.get(path)):
        page = shown.content.decode()
        assert told in page
        assert [scope for scope in Scope.values if f'value="{scope}"' in page] == wider
        assert "You may ask me again" in page
    assert scopes() == {chosen}


def test_a_form_comes_back_in_the_language_in_which_it_was_shown(client, path):
    page = client.get(f"{path}?lang=zh-hans").content.decode()
    assert "仅此问卷：配送" in page
    assert "这份问卷：配送" in client.post(path, {"scope": "this_survey", "language": "zh-hans"}).content.decode()


def test_a_press_can_be_taken_back_and_twice_is_the_same(client, path):
    client.post(path, {"scope": "this_survey"})
    client.post(path, {"scope": "all_messages"})
    pages = [client.post(path, {"undo": "1"}) for _twice in range(2)]
    assert pages[0].content == pages[1].content
    assert "You are back: we may ask you again." in pages[0].content.decode()
    assert not Suppression.objects.exists()
    assert SuppressionLift.objects.filter(source="page").count() == 4
    assert "No more surveys?" in client.get(path).content.decode()


def test_what_is_taken_back_and_given_again_keeps_the_words_that_were_read(client, invitation, path):
    given = {"mode": "email", "purpose": "surveys", "given": True, "at": NOW, "recorded_at": NOW, "source": "api"}
    Consent.objects.create(customer=invitation.customer, **given)
    client.post(path, {"List-Unsubscribe": "One-Click"})
    client.post(path, {"undo": "1", "language": "zh-hans"})
    client.post(path, {"scope": "all_surveys", "language": "en"})
    acts = Consent.objects.filter(source="page").order_by("at").values_list("given", "wording")
    assert list(acts) == [
        (False, ONE_CLICK), (True, "可以再次询问我"), (False, "No more surveys? All surveys from you")
    ]  # fmt: skip


def test_what_staff_lifted_leaves_the_withdrawal_that_the_page_can_give_again(client, invitation, path):
    given = {"mode": "email", "purpose": "surveys", "given": True, "at": NOW, "recorded_at": NOW, "source": "api"}
    Consent.objects.create(customer=invitation.customer, **given)
    client.post(path)
    Suppression.objects.all().delete()
    assert "You may ask me again" in client.get(path).content.decode()
    client.post(path, {"undo": "1"})
    assert Consent.objects.latest("at").given


def test_a_complaint_is_nothing_that_the_page_takes_back(client, invitation, path):
    complain(invitation, NOW)
    for page in (client.get(path), client.post(path, {"undo": "1"})):
        assert "You are unsubscribed" in page.content.decode()
        assert "You may ask me again" not in page.content.decode()
    assert set(Suppression.objects.values_list("reason", flat=True)) == {"complained"}


def test_a_number_that_wrote_stop_is_told_to_write_start(client, invitation):
    Customer.objects.update(phone=PHONE)
    texted = make_invitation(invitation.touchpoint, invitation.customer, mode="sms")
    stop_number(PHONE, None, NOW)
    page = client.post(f"/u/{texted.token}/", {"undo": "1"}).content.decode()
    assert "Reply START to get them again." in page
    assert "You may ask me again" not in page
    # By email the person is back: the link is theirs.
    assert "No more surveys?" in client.get(f"/u/{invitation.token}/").content.decode()


def test_a_bounce_is_not_what_anybody_asked_for(client, invitation, path):
    suppress([address_hash("li@example.com")], "bounced", NOW)
    assert "No more surveys?" in client.get(path).content.decode()


def test_a_press_stands_in_the_very_moment(client, path):
    before = timezone.now()
    client.post(path)
    assert before <= Suppression.objects.latest("id").created_at <= timezone.now()
