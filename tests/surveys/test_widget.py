"""The widget's endpoints: who may ask, what is decided and recorded, and that every view is counted once."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from django.test import Client
from django.utils import timezone

from surveys import widget
from surveys.flow.addresses import address_hash
from surveys.flow.erase import erase_customer, export_customer
from surveys.flow.identify import drop_former_secret, renew_secret
from surveys.flow.invite import invite_customer
from surveys.flow.pace import Pace
from surveys.models import Customer, IdentitySecret, Invitation, Response, Suppression, Touchpoint, WidgetCount
from tests.concurrency import together
from tests.factories import NOW, make_customer, make_invitation, make_organisation, make_touchpoint

pytestmark = pytest.mark.django_db
SHOP = "https://shop.example.com"
OURS = "http://testserver"


@pytest.fixture(autouse=True)
def fresh_paces(monkeypatch):
    """Each test has its own minute."""
    monkeypatch.setattr(widget, "asks", Pace(30))
    monkeypatch.setattr(widget, "views", Pace(600))


@pytest.fixture
def shop() -> Touchpoint:
    make_organisation()
    renew_secret(timezone.now() - timedelta(days=1))
    return make_touchpoint("checkout", public=True, allowed_origins=[SHOP, "https://m.example.com"])


def sign(sub: Any = "C-1", seconds: int = 600, **claims: Any) -> str:
    at = int(timezone.now().timestamp())
    return jwt.encode({"sub": sub, "exp": at + seconds, **claims}, IdentitySecret.objects.first().secret, "HS256")


def post(touchpoint: Touchpoint, body: Any = None, *, origin: str | None = SHOP, client: Client | None = None) -> Any:
    """As embed.js posts: text, without a cookie."""
    text = body if isinstance(body, str | bytes) else json.dumps(body if body is not None else {"token": sign()})
    headers = {} if origin is None else {"Origin": origin}
    path = f"/w/{touchpoint.public_key}/ask/"
    return (client or Client()).post(path, text, content_type="text/plain;charset=UTF-8", headers=headers)


def ask(touchpoint: Touchpoint, sub: str = "C-1", **claims: Any) -> dict[str, Any]:
    answer = post(touchpoint, {"token": sign(sub, **claims)})
    assert answer.status_code == 200
    return answer.json()


# --- A customer who may be asked --------------------------------------------------------------------------------------


def test_a_known_customer_is_given_a_link_and_the_row_says_sent(shop):
    customer = make_customer("C-1", language="zh-hans")
    before = timezone.now()
    answer = ask(shop)
    row = Invitation.objects.get()
    assert answer == {"show": True, "url": f"http://127.0.0.1:8000/s/{row.token}/"}
    assert (row.customer, row.touchpoint, row.instrument) == (customer, shop, shop.instrument)
    assert (row.mode, row.status, row.reason, row.language, row.event) == ("web", "sent", "", "zh-hans", None)
    assert before <= row.decided_at == row.send_at == row.attempted_at == row.sent_at <= timezone.now()
    assert row.expires_at - row.sent_at == timedelta(days=14)


def test_a_customer_nobody_knew_is_made_from_the_id_alone(shop):
    assert ask(shop, "N-1")["show"]
    row = Customer.objects.get()
    assert (row.external_id, row.email, row.phone, row.name, row.attributes) == ("N-1", "", "", "", {})
    assert Invitation.objects.get().language == ""  # the page's own


def test_an_answer_through_the_link_is_a_web_answer_of_that_customer_with_what_the_page_said(shop):
    url = ask(shop)["url"]
    path = url.removeprefix("http://127.0.0.1:8000")
    form = {
        "score": "9",
        "version": str(shop.instrument.current_version().pk),
        "reference": "cart-7",
        "facts": '{"items": 3}',
    }
    assert Client().post(f"{path}?via=web&origin={SHOP}", form).status_code == 303
    row = Response.objects.get()
    assert (row.mode, row.score, row.reference, row.facts) == ("web", 9, "cart-7", {"items": 3})
    assert (row.customer.external_id, row.invitation.status) == ("C-1", "answered")
    assert ask(shop) == {"show": False, "reason": "resting_same"}


def test_the_place_that_the_page_names_goes_with_the_invitation(shop):
    post(shop, {"token": sign(), "location": "sh-014\x00", "reference": "cart-7", "facts": {"items": 3}})
    assert Invitation.objects.get().location == "sh-014"


@pytest.mark.parametrize(
    ("own", "page", "expected"),
    [
        ("zh-hans", "en", "zh-hans"),  # what is known of the customer goes before the page
        ("", "en-GB", "en"),
        ("", "zh-CN", "zh-hans"),
        ("", "xx", ""),
        ("", "  \x00<b>", ""),
        ("", "", ""),
        ("", None, ""),
    ],
)
def test_the_language_is_the_customers_then_the_pages(shop, own, page, expected):
    make_customer("C-1", language=own)
    assert post(shop, {"token": sign(), "lang": page}).status_code == 200
    assert Invitation.objects.get().language == expected


def test_an_open_invitation_is_given_again_and_no_second_one(shop):
    first = ask(shop)
    Client().get(first["url"].removeprefix("http://127.0.0.1:8000"))
    assert Invitation.objects.get().status == "opened"
    assert ask(shop) == first
    assert Invitation.objects.count() == 1


def test_one_that_is_over_is_not_given_again(shop):
    ask(shop)
    Invitation.objects.update(expires_at=timezone.now())
    assert ask(shop) == {"show": False, "reason": "resting_same"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("known", [True, False])
def test_tabs_that_ask_at_the_same_moment_get_the_same_invitation(shop, known):
    if known:
        make_customer("C-1")
    signed = sign()
    answers = together(8, lambda _index: post(shop, {"token": signed}).json())
    assert {answer["url"] for answer in answers} == {f"http://127.0.0.1:8000/s/{Invitation.objects.get().token}/"}
    assert Customer.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_touchpoints_at_the_same_moment_ask_once(shop):
    other = make_touchpoint("search", public=True, allowed_origins=[SHOP])
    make_customer("C-1")
    answers = together(8, lambda index: post([shop, other][index % 2]).json())
    shown = {answer.get("url") for answer in answers if answer["show"]}
    assert len(shown) == 1
    assert {answer["reason"] for answer in answers if not answer["show"]} == {"resting_any"}
    assert sorted(Invitation.objects.values_list("status", "reason")) == [("sent", ""), ("withheld", "resting_any")]


@pytest.mark.django_db(transaction=True)
def test_asking_while_being_erased_leaves_a_link_of_nobody_or_of_somebody_new(shop):
    make_customer("C-1")
    ask(shop)

    def work(index: int) -> dict[str, Any] | None:
        if index == 0:
            return erase_customer("C-1", timezone.now())
        return ask(shop)

    answers = [answer for answer in together(6, work) if answer]
    assert all(answer["show"] for answer in answers)
    erased = Customer.objects.get(erased_at__isnull=False)
    assert not erased.invitations.exclude(token=None).exists()
    assert erased.invitations.filter(status="cancelled", reason="erased").count() == 1


# --- One who may not --------------------------------------------------------------------------------------------------


def test_the_floor_the_resting_and_the_reasons_are_those_of_every_other_means(shop):
    organisation = make_organisation(resting_same_s=0, resting_any_s=0)
    customer = make_customer("C-1")
    other = make_touchpoint()
    at = timezone.now() - timedelta(hours=2)
    make_invitation(other, customer, attempted_at=at, decided_at=at)
    for span, reason in (("floor_s", "floor_24h"), ("resting_any_s", "resting_any")):
        setattr(organisation, span, 86_400)
        organisation.save()
        assert ask(shop) == {"show": False, "reason": reason}
        row = Invitation.objects.get(status="withheld", reason=reason)
        assert (row.mode, row.touchpoint, row.token, row.attempted_at) == ("web", shop, None, None)
        assert row.detail == f"until {(at + timedelta(days=1)).isoformat(timespec='seconds')}"
    organisation.floor_s = organisation.resting_any_s = 7200 - 60
    organisation.save()
    assert ask(shop)["show"]


def test_who_answered_an_open_form_of_another_touchpoint_rests(shop):
    customer = make_customer("C-1")
    invitation = make_invitation(make_touchpoint(), customer, attempted_at=None, expires_at=None)
    assert Client().post(f"/s/{invitation.token}/", {"score": "3", "version": "1"}).status_code == 303
    assert ask(shop) == {"show": False, "reason": "resting_any"}


@pytest.mark.parametrize("field", ["email", "phone"])
@pytest.mark.parametrize("reason", ["unsubscribed", "complained"])
def test_who_unsubscribed_by_any_address_is_not_asked_here_either(shop, field, reason):
    make_customer("C-1", email="li@example.com", phone="+8613800000000")
    address = {"email": "li@example.com", "phone": "+8613800000000"}[field]
    Suppression.objects.create(address_hash=address_hash(address), reason=reason, created_at=NOW)
    assert ask(shop) == {"show": False, "reason": "unsubscribed"}
    assert Invitation.objects.get().reason == "unsubscribed"


def test_an_address_that_bounced_or_is_missing_does_not_matter_on_the_web(shop):
    make_customer("C-1", email="li@example.com")
    Suppression.objects.create(address_hash=address_hash("li@example.com"), reason="bounced", created_at=NOW)
    assert ask(shop, "C-1")["show"]
    make_customer("C-2", email="")
    assert ask(shop, "C-2")["show"]


def test_who_unsubscribes_is_not_given_the_open_invitation_again(shop):
    make_customer("C-1", email="li@example.com")
    assert ask(shop)["show"]
    Suppression.objects.create(address_hash=address_hash("li@example.com"), reason="unsubscribed", created_at=NOW)
    assert ask(shop) == {"show": False, "reason": "unsubscribed"}


def test_a_web_invitation_counts_for_the_rest_of_letters(shop):
    customer = make_customer("C-1")
    ask(shop)
    other = make_touchpoint()
    assert invite_customer(customer, other, other.instrument, timezone.now()).reason == "resting_any"


def test_a_repeated_refusal_writes_one_row_a_day_and_reason(shop):
    make_invitation(shop, make_customer("C-1"), attempted_at=timezone.now() - timedelta(days=40))
    for _time in range(5):
        assert ask(shop) == {"show": False, "reason": "resting_same"}
    withheld = Invitation.objects.filter(status="withheld")
    assert withheld.count() == 1
    withheld.update(decided_at=timezone.now() - timedelta(hours=23, minutes=59))
    ask(shop)
    assert withheld.count() == 1
    withheld.update(decided_at=timezone.now() - timedelta(hours=24))
    ask(shop)
    assert withheld.count() == 2
    make_customer("C-2", email="c-1@example.com")
    Suppression.objects.create(address_hash=address_hash("c-1@example.com"), reason="unsubscribed", created_at=NOW)
    assert ask(shop) == {"show": False, "reason": "unsubscribed"}  # another reason is news
    assert withheld.count() == 3
    other = make_touchpoint("search", public=True, allowed_origins=[SHOP])
    ask(other)
    assert withheld.count() == 4  # and so is another touchpoint


@pytest.mark.django_db(transaction=True)
def test_refusals_at_the_same_moment_write_one_row(shop):
    make_invitation(shop, make_customer("C-1"), attempted_at=timezone.now())
    signed = sign()
    answers = together(8, lambda _index: post(shop, {"token": signed}).json())
    assert answers == [{"show": False, "reason": "resting_same"}] * 8
    assert Invitation.objects.filter(status="withheld").count() == 1


# --- Who may ask at all -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin",
    [None, "", "null", "https://evil.example.com", "http://shop.example.com", f"{SHOP}:8443", f"{SHOP}.evil.com", OURS],
)
def test_a_page_of_another_origin_learns_nothing_and_leaves_nothing(shop, origin):
    answer = post(shop, origin=origin)
    assert answer.status_code == 403
    assert "Access-Control-Allow-Origin" not in answer
    assert "s/" not in answer.content.decode()
    assert not Invitation.objects.exists()
    assert not Customer.objects.exists()


def test_an_allowed_page_may_read_the_answer_and_no_cookie_is_involved(shop):
    answer = post(shop, origin="https://m.example.com")
    assert answer["Access-Control-Allow-Origin"] == "https://m.example.com"
    assert "Origin" in answer["Vary"]
    assert "Access-Control-Allow-Credentials" not in answer
    assert answer["Cache-Control"] == "no-store"
    assert not answer.cookies
    assert "Set-Cookie" not in answer


def test_only_post_is_answered_and_a_csrf_token_is_not_asked_for(shop):
    client = Client(enforce_csrf_checks=True)
    assert post(shop, client=client).status_code == 200
    for name in ("ask", "seen"):
        for method in ("get", "head", "put", "delete", "options"):
            assert getattr(client, method)(f"/w/{shop.public_key}/{name}/").status_code == 405
        assert client.post(f"/w/unknown/{name}/").status_code == 404
        assert client.post(f"/w/%00/{name}/").status_code == 404
    assert Invitation.objects.count() == 1


@pytest.mark.parametrize("fields", [{"public": False}, {"active": False}, {"instrument": None}])
def test_a_touchpoint_that_is_closed_asks_nobody(shop, fields):
    Touchpoint.objects.update(**fields)
    assert post(shop).json() == {"show": False, "reason": "inactive"}
    assert not Customer.objects.exists()


def test_bad_tokens_get_their_reason_and_leave_no_row(shop):
    good = sign()
    for token, reason in (
        (good[:-1], "unknown_token"),
        (jwt.encode({"sub": "C-1", "exp": 9e9}, None, "none"), "unknown_token"),
        (jwt.encode({"sub": "C-1", "exp": 9e9}, "x" * 43, "HS256"), "unknown_token"),
        (sign(aud="another"), "unknown_token"),
        (sign(seconds=25 * 3600), "unknown_token"),
        (sign(seconds=-120), "expired_token"),
    ):
        answer = post(shop, {"token": token})
        assert (answer.status_code, answer.json()["show"], answer.json()["reason"]) == (200, False, reason)
        assert answer["Access-Control-Allow-Origin"] == SHOP
    assert not Customer.objects.exists()
    assert ask(shop, aud=shop.public_key)["show"]


def test_a_former_secret_names_customers_until_it_is_dropped(shop):
    former = sign()
    renew_secret(timezone.now())
    assert post(shop, {"token": former}).json()["show"]
    drop_former_secret()
    assert post(shop, {"token": former}).json()["reason"] == "unknown_token"
    assert post(shop).json()["show"]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "null",
        '"token"',
        "{}",
        '{"token": 7}',
        '{"token": ""}',
        '{"token": null}',
        b"\xff\xfe",
        "[" * 8000,
    ],
)
def test_a_body_of_another_shape_is_told_so(shop, body):
    answer = post(shop, body)
    assert (answer.status_code, answer.json()["reason"]) == (400, "malformed")


def test_a_body_is_at_most_8_kilobytes(shop):
    frame = {"token": sign(), "facts": {"x": ""}}
    room = 8 * 1024 - len(json.dumps(frame))
    assert post(shop, {**frame, "facts": {"x": "y" * room}}).status_code == 200
    answer = post(shop, {**frame, "facts": {"x": "y" * (room + 1)}})
    assert (answer.status_code, answer.json()["reason"]) == (413, "too_large")


def test_a_page_that_asks_in_a_loop_is_stopped_for_its_customer_alone(shop, monkeypatch):
    monkeypatch.setattr(widget, "asks", Pace(3))
    at = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: at)
    for _time in range(3):
        assert ask(shop)["show"]
    answer = post(shop)
    assert (answer.status_code, answer.json()["reason"], answer["Retry-After"]) == (429, "too_often", "60")
    assert ask(shop, "C-2")["show"]


def test_a_pace_is_by_the_minute_and_forgets():
    pace = Pace(2)
    assert [pace.allows("a", NOW) for _time in range(3)] == [True, True, False]
    assert pace.allows("b", NOW)
    assert pace.allows("a", NOW + timedelta(minutes=1))
    assert len(pace._counts) == 1


def test_what_is_held_of_a_customer_says_that_they_were_asked(shop):
    ask(shop)
    held = export_customer("C-1")
    assert [row["mode"] for row in held["invitations"]] == ["web"]
    erase_customer("C-1", timezone.now())
    row = Invitation.objects.get()
    assert (row.token, row.status, row.reason) == (None, "cancelled", "erased")


# --- Views ------------------------------------------------------------------------------------------------------------


def see(touchpoint: Touchpoint, event: str = "shown", *, origin: str | None = OURS, **meta: Any) -> Any:
    headers = {} if origin is None else {"Origin": origin}
    return Client().post(f"/w/{touchpoint.public_key}/seen/", {"event": event}, headers=headers, **meta)


def counts() -> dict[str, int]:
    return dict(WidgetCount.objects.values_list("event", "count"))


def test_each_event_has_its_counter(shop):
    for event in ("shown", "shown", "started", "dismissed", "shown"):
        answer = see(shop, event)
        assert (answer.status_code, answer.content, answer["Cache-Control"]) == (204, b"", "no-store")
        assert not answer.cookies
    assert counts() == {"shown": 3, "started": 1, "dismissed": 1}


def test_a_day_is_the_organisations(shop, monkeypatch):
    for at in (datetime(2026, 11, 20, 15, 59, tzinfo=UTC), datetime(2026, 11, 20, 16, 0, tzinfo=UTC)):
        monkeypatch.setattr(timezone, "now", lambda at=at: at)
        see(shop)
    days = [day.isoformat() for day in WidgetCount.objects.order_by("day").values_list("day", flat=True)]
    assert days == ["2026-11-20", "2026-11-21"]  # midnight in Shanghai


@pytest.mark.django_db(transaction=True)
def test_views_at_the_same_moment_are_all_counted(shop):
    other = make_touchpoint("search", public=True)

    def look(index: int) -> None:
        for turn in range(15):
            assert see([shop, other][turn % 2], ["shown", "started", "dismissed"][index % 3]).status_code == 204

    together(9, look)
    found = {(row.touchpoint_id, row.event): row.count for row in WidgetCount.objects.all()}
    assert found == {
        (touchpoint.pk, event): 3 * count
        for touchpoint, count in ((shop, 8), (other, 7))
        for event in ("shown", "started", "dismissed")
    }


@pytest.mark.parametrize("origin", [None, "", "null", SHOP, "http://testserver.evil.com", "https://testserver"])
def test_views_are_told_by_our_own_frame_alone(shop, origin):
    assert see(shop, origin=origin).status_code == 403
    assert not WidgetCount.objects.exists()


def test_the_public_address_is_ours_too(shop, settings):
    settings.BASE_URL = "https://survey.example.com"
    assert see(shop, origin="https://survey.example.com").status_code == 204


@pytest.mark.parametrize("event", ["", "answered", "Shown", "x" * 9000])
def test_another_event_is_not_counted(shop, event):
    assert see(shop, event).status_code in (400, 413)
    assert not WidgetCount.objects.exists()


@pytest.mark.parametrize("fields", [{"public": False}, {"active": False}])
def test_a_touchpoint_that_is_closed_counts_nothing(shop, fields):
    Touchpoint.objects.update(**fields)
    assert see(shop).status_code == 204
    assert not WidgetCount.objects.exists()


def test_one_address_cannot_count_without_end_and_a_proxys_is_not_everybodys(shop, monkeypatch):
    monkeypatch.setattr(widget, "views", Pace(2))
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    public, proxy = {"REMOTE_ADDR": "93.184.216.34"}, {"REMOTE_ADDR": "10.0.0.1"}
    assert [see(shop, **public).status_code for _time in range(3)] == [204, 204, 429]
    # What a stranger claims of others is not believed; what our proxy saw is.
    assert see(shop, **public, HTTP_X_FORWARDED_FOR="93.184.217.1").status_code == 429
    for last in (1, 2, 3):
        assert see(shop, **proxy, HTTP_X_FORWARDED_FOR=f"1.1.1.1, 93.184.217.{last}").status_code == 204
    assert counts() == {"shown": 5}


def test_a_touchpoint_goes_with_its_counters(shop):
    see(shop)
    shop.delete()
    assert not WidgetCount.objects.exists()
