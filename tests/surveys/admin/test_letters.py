"""A rule's letters as staff see and test them: nothing is written by looking, and a test is one for everybody who gets it."""

import html
import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import translation

from surveys.admin import letters
from surveys.flow.links import trial_query
from surveys.models import (
    DeliveryAttempt,
    Instrument,
    Invitation,
    InvitationRule,
    Organisation,
    Response,
    SentMessage,
    Suppression,
    WrittenAddress,
)
from surveys.phrases import PHRASES
from tests.factories import make_organisation, make_rule, make_touchpoint
from tests.staff_browser import NAME, PASSWORD, complaints_of
from tests.staff_browser import sign_in as browser_sign_in
from tests.surveys.admin.people import sign_in
from tests.surveys.admin.staff import errors_in, send, sign_in_as

pytestmark = pytest.mark.django_db
TABLES = (Invitation, DeliveryAttempt, SentMessage, Response, Suppression, WrittenAddress, LogEntry)


@pytest.fixture(autouse=True)
def organisation(settings) -> Organisation:
    settings.BASE_URL = "https://cx.example.org"
    settings.DEFAULT_FROM_EMAIL = "survey@cx.example.org"
    settings.EMAIL_BACKEND = "surveys.mailbox.MailboxBackend"
    return make_organisation(languages=["en", "zh-hans", "ar"], sender_name={"en": "Harbour Tea"})


@pytest.fixture
def rule() -> InvitationRule:
    touchpoint = make_touchpoint(
        "delivery", Instrument.objects.get(slug="csat5"), name={"en": "Delivery", "zh": "配送"}
    )
    return make_rule(
        touchpoint, slug="after", instrument=Instrument.objects.get(slug="nps"), letter={"subject": {"en": "Tea, {name}?"}}
    )  # fmt: skip


@pytest.fixture
def manager() -> Client:
    client = sign_in_as("manager")
    User.objects.filter(pk=client.user.pk).update(email="me@example.com")
    cache.delete(f"test-letters-{client.user.pk}")
    return client


@pytest.fixture
def smtp(settings, smtp_sink):
    settings.CX_LOCAL_MAILBOX = False
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", smtp_sink.port
    return smtp_sink


def page_at(rule: InvitationRule, query: str = "") -> str:
    return reverse("admin:surveys_invitationrule_letter", args=[rule.pk]) + query


def shown(rule: InvitationRule, query: str = "") -> str:
    return reverse("admin:surveys_invitationrule_letter_shown", args=[rule.pk]) + query


def rows() -> list[int]:
    return [model.objects.count() for model in TABLES]


def said_to(client: Client, rule: InvitationRule, **given: str) -> str:
    """What the page says after a test was asked for."""
    answer = client.post(page_at(rule), {"address": "me@example.com", "language": "en", **given}, follow=True)
    return " ".join(str(message) for message in answer.context["messages"])


# --- Looking ---


@pytest.mark.parametrize("kind", ["invitation", "reminder"])
@pytest.mark.parametrize(("language", "direction"), [("en", "ltr"), ("zh-hans", "ltr"), ("ar", "rtl")])
def test_a_letter_is_shown_in_each_language_and_nothing_is_written(manager, rule, language, direction, kind):
    before = rows()
    seen = manager.get(page_at(rule, f"?language={language}&kind={kind}"))
    assert seen.status_code == 200
    letter = seen.context["letter"]
    assert letter.sender == "Harbour Tea <survey@cx.example.org>"
    assert html.escape(letter.subject) in seen.content.decode()
    frame = manager.get(shown(rule, f"?language={language}&kind={kind}"))
    assert f'dir="{direction}"' in frame.content.decode()
    policy = frame["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox allow-popups" in policy
    assert frame["X-Frame-Options"] == "SAMEORIGIN"
    assert rows() == before


def test_what_is_chosen_changes_what_is_shown(manager, rule):
    assert manager.get(page_at(rule)).context["letter"].subject == "Tea, Li Na?"
    assert manager.get(page_at(rule, "?name=none")).context["letter"].subject == "Tea?"
    assert manager.get(page_at(rule, "?kind=reminder")).context["letter"].subject == "Reminder: Tea, Li Na?"
    assert "配送体验如何" in manager.get(page_at(rule, "?language=zh-hans")).context["letter"].subject
    assert manager.get(page_at(rule, "?language=xx&kind=yy&scheme=zz")).context["letter"].subject == "Tea, Li Na?"
    light, dark = (manager.get(shown(rule, f"?scheme={scheme}")).content.decode() for scheme in ("light", "dark"))
    assert "@media not all {" in light
    assert "@media all {" in dark
    assert 'name="color-scheme" content="dark"' in dark
    assert "prefers-color-scheme" not in light + dark


def test_the_page_tells_what_is_missing_in_a_language_and_where_to_write_it(manager, rule):
    assert manager.get(page_at(rule)).context["gaps"] == []
    places = manager.get(page_at(rule, "?language=ar")).context["gaps"]
    assert [place.title for place in places] == ["Organisation", "Touchpoint Delivery", "Rule after"]
    assert places[0].missing == ["the name", "the sender’s name"]
    assert places[2].url == reverse("admin:surveys_invitationrule_change", args=[rule.pk])
    listed = manager.get(reverse("admin:surveys_organisation_languages")).content.decode()
    assert "its own “Subject”: the standard one is said" in listed


def test_a_letter_is_shown_as_typed_and_nothing_is_saved(manager, rule):
    before = rows()
    typed = {"_typed": "1", "letter__subject__en": "Typed, {name}?", "letter__opening__zh-hans": "刚写的"}
    seen = manager.post(page_at(rule), typed, follow=True)
    assert seen.context["letter"].subject == "Typed, Li Na?"
    assert "not saved yet" in seen.content.decode()
    chinese = next(tab["query"] for tab in seen.context["languages"] if tab["tag"] == "zh-hans")
    assert "刚写的" in manager.get(shown(rule, f"?{chinese}")).content.decode()
    rule.refresh_from_db()
    assert rule.letter == {"subject": {"en": "Tea, {name}?"}}
    assert rows() == before
    draft = seen.context["chosen"].draft
    assert "sent messages" in said_to(manager, rule, draft=draft)
    assert SentMessage.objects.get().subject == "Test: Typed, Li Na?"
    other = make_rule(rule.touchpoint, slug="other")
    for query in (f"?draft={draft[:-1]}", "?draft=x"):
        assert manager.get(page_at(rule, query)).context["letter"].subject == "Tea, Li Na?"
    assert manager.get(page_at(other, f"?draft={draft}")).context["chosen"].draft == ""


def test_what_cannot_be_shown_as_typed_is_told(manager, rule):
    def told(**typed: str) -> str:
        seen = manager.post(page_at(rule), {"_typed": "1", **typed}, follow=True)
        assert seen.context["letter"].subject == "Tea, Li Na?"
        return " ".join(str(message) for message in seen.context["messages"])

    assert "{nom} is filled in by nothing" in told(letter__subject__en="{nom}")
    random = "".join(chr(0x4E00 + (number * 7919) % 20_000) for number in range(1000))
    assert "too long" in told(letter__opening__en=random, letter__closing__en=random[::-1])
    reader = sign_in("view_invitationrule")
    assert reader.post(page_at(rule), {"_typed": "1"}).status_code == 403


def test_letters_are_found_from_the_organisation_and_from_the_rule(manager, rule):
    make_rule(rule.touchpoint, slug="by-text", modes=["sms"])
    listed = manager.get(reverse("admin:surveys_organisation_letters")).content.decode()
    assert page_at(rule) in listed
    assert "by-text" not in listed
    assert "Harbour Tea &lt;" in listed
    assert page_at(rule) in manager.get(reverse("admin:surveys_invitationrule_change", args=[rule.pk])).content.decode()


def test_a_rule_that_asks_nothing_has_no_letter_yet(manager):
    rule = make_rule(make_touchpoint("empty"))
    rule.touchpoint.instrument = None
    rule.touchpoint.save()
    assert "asks nothing yet" in manager.get(page_at(rule)).content.decode()
    assert manager.get(shown(rule)).status_code == 404
    assert manager.get(shown(InvitationRule(pk=99_999))).status_code == 404
    assert manager.get(page_at(InvitationRule(pk=99_999))).status_code == 302


def test_only_those_who_may_see_rules_see_letters(rule):
    nobody = sign_in("view_journey")
    assert nobody.get(page_at(rule)).status_code == nobody.get(shown(rule)).status_code == 403
    assert nobody.post(page_at(rule), {"address": "me@example.com"}).status_code == 403
    assert nobody.get(reverse("admin:surveys_organisation_letters")).status_code == 403


# --- A test ---


def test_a_test_goes_out_by_the_real_carrier_says_so_and_leaves_nothing(manager, rule, smtp):
    before = rows()[:-1]
    assert "has accepted the test to me@example.com." in said_to(manager, rule, language="zh-hans", kind="reminder")
    ((recipient, message),) = smtp.messages
    assert recipient == "me@example.com"
    assert message["Subject"].strip() == "Test: 提醒：配送体验如何？——港湾茶"
    assert message["From"] == "Harbour Tea <survey@cx.example.org>"
    with translation.override("zh-hans"):
        said = str(PHRASES["test"])
    assert message.get_body(("plain",)).get_content().startswith(said)
    assert said in message.get_body(("html",)).get_content()
    assert rows()[:-1] == before
    assert "oneself" in LogEntry.objects.latest("pk").change_message


def test_the_link_in_a_test_opens_a_form_that_records_nothing_though_the_open_form_is_closed(manager, rule, smtp):
    said_to(manager, rule)
    body = smtp.messages[0][1].get_body(("html",)).get_content()
    links = [html.unescape(link) for link in re.findall(r'href="https://cx\.example\.org([^"]*)"', body)]
    stranger = Client()
    nine = next(link for link in links if link.endswith("score=9"))
    form = stranger.get(nine)
    assert form.status_code == 200
    assert "This is a test. Nothing is recorded." in form.content.decode()
    assert len(form.context["questions"][0].scores) == 11  # the rule's instrument, not the touchpoint's
    done = stranger.post(nine, {"score": "9", "version": form.context["version"], "complete": "1"}, follow=True)
    assert done.status_code == 200
    assert "Thank you" in done.content.decode()
    assert Response.objects.count() == 0
    unsubscribe = next(link for link in links if link.startswith("/u/"))
    assert stranger.get(unsubscribe).status_code == stranger.post(unsubscribe).status_code == 200
    assert Suppression.objects.count() == 0


def test_nobody_opens_a_closed_form_with_a_signature_of_another_touchpoint_or_of_his_own_making(rule):
    other = make_rule(make_touchpoint("visit"))
    closed = f"/t/{rule.touchpoint.public_key}/"
    stranger = Client()
    assert stranger.get(f"{closed}?{trial_query(rule, 'en')}").status_code == 200
    assert stranger.get(f"{closed}?{trial_query(rule, 'en').replace('test=1', 'test=0')}").status_code == 404
    assert stranger.get(f"{closed}?test=1").status_code == 404
    assert stranger.get(f"{closed}?{trial_query(other, 'en')}").status_code == 404
    assert stranger.get(f"{closed}?test=1&trial={rule.pk}:x:y").status_code == 404
    assert stranger.get(f"{closed}?test=1&trial=").status_code == 404


def test_what_the_mail_server_says_is_shown(manager, rule, smtp):
    smtp.drops = True
    assert "it may have arrived" in said_to(manager, rule)
    smtp.be_kind()
    smtp.refuse["me@example.com"] = "550 5.1.1 no such user"
    assert "550 5.1.1 no such user" in said_to(manager, rule)
    smtp.stop()
    assert "Not sent. The mail server said: Connection" in said_to(manager, rule)


def test_in_the_local_mailbox_a_test_is_among_the_sent_messages(manager, rule):
    assert "is among the sent messages" in said_to(manager, rule)
    row = SentMessage.objects.get()
    assert (row.to, row.subject) == ("me@example.com", "Test: Tea, Li Na?")
    opened = manager.get(reverse("admin:surveys_sentmessage_change", args=[row.pk]))
    assert opened.status_code == 200


def test_who_may_not_change_rules_writes_to_nobody_but_himself(rule):
    reader = sign_in("view_invitationrule")
    user = User.objects.get(pk=reader.session["_auth_user_id"])
    cache.delete(f"test-letters-{user.pk}")
    User.objects.filter(pk=user.pk).update(email="")
    assert "no email address" in reader.get(page_at(rule)).content.decode()
    assert reader.post(page_at(rule), {"address": "boss@example.com"}).status_code == 422
    User.objects.filter(pk=user.pk).update(email="reader@example.com")
    reader.post(page_at(rule), {"address": "boss@example.com"})
    assert [row.to for row in SentMessage.objects.all()] == ["reader@example.com"]


def test_what_is_no_address_is_refused_and_nothing_goes_out(manager, rule):
    for wrong in ("", "me", "a@example.com, b@example.com", "a@example.com\r\nBcc: b@example.com"):
        answer = manager.post(page_at(rule), {"address": wrong, "language": "en"})
        assert answer.status_code == 422, wrong
    assert SentMessage.objects.count() == 0


def test_an_hour_has_room_for_so_many_tests(manager, rule, monkeypatch):
    monkeypatch.setattr(letters, "TESTS_AN_HOUR", 2)
    for _time in range(2):
        assert "sent messages" in said_to(manager, rule, address="other@example.com")
    assert "Not sent: 2 tests an hour are enough." in said_to(manager, rule)
    assert SentMessage.objects.count() == 2


# --- Writing ---


def test_the_organisation_names_its_sender_and_a_wrong_address_is_refused(manager, settings):
    path = reverse("admin:surveys_organisation_change", args=[1])
    wrong = send(manager, path, sender_address="hello", reply_to="care@tea.example.com\nBcc: x@example.com")
    assert errors_in(wrong).count("valid email address") == 2
    saved = send(
        manager, path, sender_name__en="Harbour Tea, Ltd", sender_address="hello@tea.example.com",
        reply_to="care@tea.example.com",
    )  # fmt: skip
    assert saved.status_code == 302
    row = Organisation.current()
    assert (row.sender_name, row.sender_address) == ({"en": "Harbour Tea, Ltd"}, "hello@tea.example.com")
    assert row.reply_to == "care@tea.example.com"
    told = " ".join(str(message) for message in manager.get(path).context["messages"])
    assert "another domain" in told


def test_a_rule_words_its_letters_and_is_told_of_what_is_filled_in_by_nothing(manager, rule):
    path = reverse("admin:surveys_invitationrule_change", args=[rule.pk])
    wrong = send(manager, path, letter__subject__en="How was it, {first_name}?", letter__opening__ar="x" * 1001)
    assert "{first_name} is filled in by nothing. There are {organisation}, {touchpoint}, {name}." in errors_in(wrong)
    assert "1001 characters" in errors_in(wrong)
    saved = send(
        manager, path, letter__subject__en="  How was it, {name}?\n", letter__opening__en="Thank you for your order.",
        letter__closing__en="Thank you for your time.", letter__reminder_subject__ar="ذكرى",
    )  # fmt: skip
    assert saved.status_code == 302
    rule.refresh_from_db()
    assert rule.letter == {
        "subject": {"en": "How was it, {name}?"},
        "opening": {"en": "Thank you for your order."},
        "reminder_subject": {"ar": "ذكرى"},  # what is said anyhow is not kept: see closing
    }
    reader = sign_in("view_invitationrule")
    assert "How was it, {name}?" in reader.get(path).content.decode()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_in_a_browser_a_rule_is_shown_as_typed_and_a_score_in_the_letter_opens_the_form(
    page, live_server, settings, rule
):
    settings.BASE_URL = live_server.url
    User.objects.create_superuser(NAME, "boss@example.com", PASSWORD)
    complaints = complaints_of(page, live_server.url)
    browser_sign_in(page, live_server.url)
    page.goto(live_server.url + reverse("admin:surveys_invitationrule_change", args=[rule.pk]))
    page.fill("[name=letter__subject__en]", "As typed, {name}?")
    with page.expect_popup() as opened:
        page.get_by_role("button", name="Preview its letters as typed").click()
    preview = opened.value
    preview.set_viewport_size({"width": 1440, "height": 900})
    preview.get_by_text("As typed, Li Na?").first.wait_for()
    for at in (0, 1):  # at a phone's and a desk's width, each score in one row
        scores = preview.frame_locator("iframe").nth(at).locator("a.score")
        scores.first.wait_for()
        assert len(set(scores.evaluate_all("all => all.map((e) => e.getBoundingClientRect().top)"))) == 1
    with preview.expect_popup() as form:
        preview.frame_locator("iframe").first.locator("a.score").nth(9).click()
    form.value.wait_for_load_state()
    assert form.value.locator("input[type=radio][value='9']").is_checked()
    assert "Nothing is recorded" in form.value.content()
    preview.get_by_role("button", name="Send the test").click()
    preview.get_by_role("link", name="Open it").click()
    preview.get_by_role("heading", name="Test: As typed, Li Na?").wait_for()
    rule.refresh_from_db()
    assert rule.letter == {"subject": {"en": "Tea, {name}?"}}
    assert complaints == []
