import html
import re
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from metrics.verify import verify
from surveys.flow.instruments import QuestionTerms, publish_version
from surveys.flow.suspect import is_scanner
from surveys.models import (
    Instrument,
    InstrumentVersion,
    Invitation,
    Organisation,
    Response,
    ScoreLedger,
    Suppression,
    Touchpoint,
)
from tests.factories import make_customer, make_invitation, make_organisation, make_touchpoint

pytestmark = pytest.mark.django_db
COMMENT = QuestionTerms("comment", "verbatim", {"en": "Why?"})


@pytest.fixture
def invitation():
    make_organisation()
    return make_invitation(
        make_touchpoint("delivery", public=True), make_customer(), expires_at=timezone.now() + timedelta(days=1)
    )


def test_looking_records_nothing_but_the_first_time(client, invitation):
    path = f"/s/{invitation.token}/?score=9"
    client.head(path)
    invitation.refresh_from_db()
    assert invitation.opened_at is None
    page = client.get(path)
    assert page.status_code == 200
    invitation.refresh_from_db()
    first = invitation.opened_at
    client.get(path)
    invitation.refresh_from_db()
    assert (invitation.status, invitation.opened_at) == ("opened", first)
    assert re.search(r'value="9" checked', page.content.decode())
    assert Response.objects.count() == ScoreLedger.objects.count() == 0


def test_the_page_sets_no_cookie_and_asks_nobody_else(client, invitation):
    page = client.get(f"/s/{invitation.token}/")
    assert page.cookies == {}
    assert page["Referrer-Policy"] == "no-referrer"
    assert page["Cache-Control"] == "no-store"
    assert page["X-Robots-Tag"] == "noindex"
    policy = page["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', page.content.decode())


def test_sending_the_form_is_an_answer(client, invitation):
    path = f"/s/{invitation.token}/"
    answered = client.post(path, {"version": "1", "score": "10", "reason": ["price", "speed"], "comment": " Kind. "})
    assert answered.status_code == 303
    assert "Thank you" in client.get(answered["Location"]).content.decode()
    response = Response.objects.get()
    assert (response.score, response.comment, response.mode) == (10, "Kind.", "email")
    assert response.answers.get(question__key="reason").choices == ["price", "speed"]
    again = client.get(path).content.decode()
    assert re.search(r'value="10" checked', again)
    assert "Kind." in again


@pytest.mark.parametrize(
    "fields",
    [{}, {"score": "11"}, {"score": "x"}, {"score": "9", "reason": "weather"}, {"score": "9", "comment": "x" * 5001}],
)
def test_a_wrong_answer_is_shown_again_with_what_was_typed(client, invitation, fields):
    page = client.post(f"/s/{invitation.token}/", {"version": "1", "comment": "Typed.", **fields})
    assert page.status_code == 422
    html = page.content.decode()
    assert 'role="alert"' in html
    if "comment" not in fields:
        assert "Typed." in html
    assert Response.objects.count() == 0


@pytest.mark.parametrize("path", ["/s/unknown/", "/t/unknown/", "/u/unknown/"])
@pytest.mark.parametrize(("language", "words"), [("en", "We cannot find this survey"), ("zh-CN", "")])
def test_an_unknown_link_is_a_polite_page_in_the_readers_language(client, path, language, words):
    make_organisation()
    page = client.get(path, headers={"Accept-Language": language})
    assert page.status_code == 404
    assert words in page.content.decode()
    assert f'lang="{"en" if language == "en" else "zh-hans"}"' in page.content.decode()


def test_an_expired_link_is_gone(client, invitation):
    Invitation.objects.update(expires_at=timezone.now())
    for answer in (client.get(f"/s/{invitation.token}/"), client.post(f"/s/{invitation.token}/", {"score": "9"})):
        assert answer.status_code == 410
    assert Response.objects.count() == 0


@pytest.mark.parametrize(
    ("via", "mode"), [("", "link"), ("qr", "qr"), ("kiosk", "kiosk"), ("web", "web"), ("fax", "link")]
)
def test_an_open_form_tells_how_it_was_reached(client, invitation, via, mode):
    path = f"/t/{invitation.touchpoint.public_key}/?via={via}&loc=till-3"
    form = re.search(r'name="form" value="([^"]+)"', client.get(path).content.decode()).group(1)
    for score in ("9", "8"):
        assert client.post(path, {"version": "1", "form": form, "score": score}).status_code == 303
    response = Response.objects.get()
    assert (response.mode, response.location, response.score) == (mode, "till-3", 8)
    assert response.client_id == uuid.UUID(form)


@pytest.mark.parametrize("fields", [{"public": False}, {"active": False}])
def test_an_open_form_that_is_closed_is_not_found(client, invitation, fields):
    type(invitation.touchpoint).objects.update(**fields)
    assert client.get(f"/t/{invitation.touchpoint.public_key}/").status_code == 404


def test_only_allowed_origins_may_frame_an_open_form(client, invitation):
    type(invitation.touchpoint).objects.update(allowed_origins=["https://shop.example.com"])
    page = client.get(f"/t/{invitation.touchpoint.public_key}/?via=web")
    assert "frame-ancestors https://shop.example.com" in page["Content-Security-Policy"]
    assert "X-Frame-Options" not in page


def test_the_readers_own_choice_of_language_wins(client, invitation):
    path = f"/s/{invitation.token}/"
    assert "score?" in client.get(path, headers={"Accept-Language": "zh"}).content.decode()
    assert "score？" in client.get(path + "?lang=zh-hans").content.decode()


def test_an_answer_is_held_against_the_version_that_was_shown(client, invitation):
    instrument = invitation.instrument
    old = instrument.current_version()
    new = instrument.versions.create(number=2)
    for wording in old.wordings.all():
        wording.pk, wording.version = None, new
        wording.options = {} if wording.question.key != "reason" else {"late": {"en": "Late"}}
        wording.save()
    client.post(f"/s/{invitation.token}/", {"version": old.pk, "score": "9", "reason": "price"})
    assert Response.objects.get().version == old


def test_unsubscribing_takes_a_press_and_twice_is_once(client, invitation):
    path = f"/u/{invitation.token}/"
    page = client.get(path)
    assert page.status_code == 200
    assert Suppression.objects.count() == 0
    for _twice in range(2):
        answer = client.post(path, {"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200
        assert answer.cookies == {}
    held = Suppression.objects.values_list("reason", "scope", "of_person")
    assert sorted(held, key=lambda row: row[2]) == [
        ("unsubscribed", "all_surveys", is_person) for is_person in (False, True)
    ]


def test_one_click_needs_no_csrf_token_and_takes_multipart_and_form_encoding(invitation):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    path = f"/u/{invitation.token}/"
    assert strict.post(path, {"List-Unsubscribe": "One-Click"}).status_code == 200
    encoded = "application/x-www-form-urlencoded"
    assert strict.post(path, "List-Unsubscribe=One-Click", content_type=encoded).status_code == 200


@pytest.mark.parametrize("path", ["/s/a%00b/", "/t/a%00b/", "/u/a%00b/", "/s/%ED%A0%80/"])
def test_an_address_that_no_database_can_hold_is_a_polite_page(client, path):
    make_organisation()
    for method in (client.get, client.post):
        assert "We cannot find this survey" in method(path).content.decode()


def test_a_picked_key_that_is_a_part_of_another_marks_only_itself(client, invitation):
    version = invitation.instrument.versions.get()
    wording = version.wordings.get(question__key="reason")
    wording.question.kind = "choice"
    wording.question.save()
    wording.options = {"late": {"en": "Late"}, "late_box": {"en": "Late and damaged"}}
    wording.save()
    page = client.post(f"/s/{invitation.token}/", {"version": str(version.pk), "reason": "late_box"}).content.decode()
    assert re.findall(r'value="(\w+)" checked', page) == ["late_box"]


# --- What a page records by itself -----------------------------------------------------------------------------------


def open_form(touchpoint) -> str:
    return f"/t/{touchpoint.public_key}/"


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("is_open", [True, False])
def test_a_touch_is_recorded_without_a_page_and_send_adds_to_it(client, invitation, fast, is_open):
    path = open_form(invitation.touchpoint) if is_open else f"/s/{invitation.token}/"
    version = invitation.instrument.current_version()
    fields = {"version": version.pk, "form": str(uuid.uuid4()), "language": "en"}
    if fast:
        version.answered = True
        version.save()
        client.get(path)  # the process has seen the version now
    now = int(timezone.now().timestamp() * 1000)
    touched = client.post(path, {**fields, "score": "4", "partial": "1", "edit": now})
    assert (touched.status_code, touched.content) == (204, b"")
    response = Response.objects.get()
    assert (response.score, response.completed_at, response.edit) == (4, None, now)
    sent = client.post(path, {**fields, "score": "4", "comment": "Late.", "edit": now + 1})
    assert sent.status_code == 303
    late = client.post(path, {**fields, "score": "9", "partial": "1", "edit": now})
    assert late.status_code == 204
    response.refresh_from_db()
    assert (response.score, response.comment, response.completed_at is None) == (4, "Late.", False)
    assert list(ScoreLedger.objects.values_list("score", "delta")) == [(4, 1)]
    assert verify() == []


@pytest.mark.parametrize("fields", [{}, {"score": "11"}, {"comment": "  "}])
def test_a_touch_that_says_nothing_is_not_recorded_and_shows_no_error_page(client, invitation, fields):
    page = client.post(f"/s/{invitation.token}/", {"version": "1", "partial": "1", **fields})
    assert (page.status_code, page.content) == (422, b"")
    assert not Response.objects.exists()


@pytest.mark.parametrize(("network", "suspected"), [("203.0.113.0/24", True), ("198.51.100.0/24", False)])
@pytest.mark.parametrize(
    "visitor",
    [{"REMOTE_ADDR": "203.0.113.9"}, {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "8.8.8.8, 203.0.113.9"}],
)
@pytest.mark.parametrize("is_open", [True, False])
def test_a_touch_out_of_a_scanners_network_is_left_out_until_send_is_pressed(
    client, invitation, settings, network, suspected, visitor, is_open
):
    settings.CX_SCANNER_NETWORKS = [network]
    is_scanner.cache_clear()
    path = open_form(invitation.touchpoint) if is_open else f"/s/{invitation.token}/"
    fields = {"version": "1", "score": "0", "form": str(uuid.uuid4())}
    now = int(timezone.now().timestamp() * 1000)
    client.post(path, {**fields, "partial": "1", "edit": now}, **visitor)
    response = Response.objects.get()
    assert (response.excluded_reason == "suspected_bot") is suspected
    client.post(path, {**fields, "edit": now + 1}, **visitor)
    response.refresh_from_db()
    assert (response.score, response.excluded_at, response.completed_at is None) == (0, None, False)
    assert verify() == []
    is_scanner.cache_clear()


def test_the_notice_that_was_shown_is_stored_even_if_there_is_another_meanwhile(client, invitation):
    organisation = make_organisation(privacy={"en": "Kept for a year."})
    shown = organisation.privacy_notice
    posted = re.search(r'name="privacy" value="(\d+)"', client.get(f"/s/{invitation.token}/").content.decode())[1]
    make_organisation(privacy={"en": "Kept for a month."})
    client.post(f"/s/{invitation.token}/", {"version": "1", "score": "9", "privacy": posted})
    assert Response.objects.get().privacy_notice == shown
    client.post(f"/s/{invitation.token}/", {"version": "1", "score": "3", "privacy": "999999999999"})
    assert Response.objects.get().privacy_notice == shown


# --- Languages ---------------------------------------------------------------------------------------------------------


def test_what_was_typed_stays_when_the_language_is_switched_after_an_error(client, invitation):
    path = f"/s/{invitation.token}/?lang=en"
    fields = {"version": "1", "language": "en", "reason": ["price"], "comment": "Typed."}
    page = client.post(path, {**fields, "score": "11"}).content.decode()
    assert 'name="switch" value="zh-hans"' in page
    switched = client.post(path, {**fields, "score": "7", "switch": "zh-hans"})
    page = switched.content.decode()
    assert switched.status_code == 200
    assert ('lang="zh-hans"' in page, "score？" in page, "Typed." in page, 'role="alert"' in page) == (True,) * 3 + (
        False,
    )
    assert set(re.findall(r'value="(\w+)" checked', page)) == {"7", "price"}
    assert not Response.objects.exists()
    # The form now says that it is Chinese, whatever its address still says.
    again = client.post(path, {**fields, "score": "11", "language": "zh-hans"})
    assert "score？" in again.content.decode()
    client.post(path, {**fields, "score": "7", "language": "zh-hans"})
    assert Response.objects.get().language == "zh-hans"


# --- Follow-ups --------------------------------------------------------------------------------------------------------


def word_by_band(instrument) -> None:
    wording = instrument.current_version().wordings.get(question__key="comment")
    wording.by_band = {"detractors": {"en": "What went wrong at {touchpoint}?"}, "promoters": {"en": "What was best?"}}
    wording.save()


@pytest.mark.parametrize(
    ("score", "text"),
    [("", "comment?"), ("6", "What went wrong at Delivery?"), ("7", "comment?"), ("9", "What was best?")],
)
def test_a_follow_up_is_worded_for_the_score_that_is_known(client, invitation, score, text):
    word_by_band(invitation.instrument)
    page = client.get(f"/s/{invitation.token}/?score={score}").content.decode()
    assert re.search(r'<label class="legend" for="a-comment">([^<]*)', page)[1].strip() == text


def test_no_more_is_asked_and_nothing_more_required_than_the_manager_set(client, invitation):
    instrument = invitation.instrument
    instrument.max_questions = 2
    instrument.save()
    instrument.current_version().wordings.filter(question__key="comment").update(required=True)
    path = f"/s/{invitation.token}/"
    page = client.get(path).content.decode()
    assert re.findall(r'data-key="(\w+)"', page) == ["score", "reason"]
    version = instrument.current_version()
    version.answered = True
    version.save()
    client.get(path)
    assert client.post(path, {"version": version.pk, "score": "9"}).status_code == 303
    instrument.max_questions = 0
    instrument.save()
    assert client.post(path, {"version": version.pk, "score": "9"}).status_code == 422


# --- The thank-you page, and trying it out ----------------------------------------------------------------------------

THANKS = {
    "any": {"title": {"en": "Thanks from {organisation}"}, "text": {"en": "For all of it."}},
    "detractors": {
        "title": {"en": "We are sorry"},
        "links": [
            {"label": {"en": "Talk to us"}, "url": "https://shop.example.com/help"},
            {"label": {"en": "Not this"}, "url": "javascript:alert(1)"},
        ],
    },
}
SHARE = {"label": {"en": "Tell others"}, "url": "https://reviews.example.com/harbour-tea"}


@pytest.mark.parametrize(
    ("score", "title", "links"),
    [
        ("6", "We are sorry", ["https://shop.example.com/help", SHARE["url"]]),
        ("7", "Thanks from Harbour Tea", [SHARE["url"]]),
        ("10", "Thanks from Harbour Tea", [SHARE["url"]]),
        ("", "Thanks from Harbour Tea", [SHARE["url"]]),
    ],
)
@pytest.mark.parametrize("test", [False, True])
def test_thanks_are_by_band_and_the_share_link_is_for_everyone(client, invitation, score, title, links, test):
    type(invitation.instrument).objects.update(thanks=THANKS, share=SHARE)
    invitation.instrument.current_version().wordings.update(required=False)
    path = f"{open_form(invitation.touchpoint)}?via=qr&loc=till-3{'&test=1' * test}"
    sent = client.post(path, {"version": "1", "score": score, "comment": "So."})
    page = client.get(sent["Location"]).content.decode()
    assert re.search(r"<h1>(.*)</h1>", page)[1] == title
    assert "For all of it." in page
    assert re.findall(r'href="(http[^"]*)"', page) == links
    assert "javascript:" not in page
    assert ("This is a test. Nothing is recorded." in page) is test
    assert Response.objects.exists() is not test
    back = client.get(html.unescape(re.search(r'href="(/t/[^"]*)"', page)[1]))
    assert ("So." in back.content.decode()) is not test
    assert ("This is a test. Nothing is recorded." in back.content.decode()) is test


def test_without_words_of_the_managers_the_thanks_are_ours(client, invitation):
    sent = client.post(f"/s/{invitation.token}/", {"version": "1", "score": "9"})
    page = client.get(sent["Location"]).content.decode()
    assert "Your answer has arrived." in page
    assert "_blank" not in page


def test_a_test_records_nothing_however_it_is_sent(client, invitation):
    path = f"{open_form(invitation.touchpoint)}?test=1"
    form = {"form": str(uuid.uuid4()), "version": "1"}
    assert client.post(path, {**form, "score": "3", "partial": "1", "edit": "5"}).status_code == 204
    assert client.post(path, {**form, "score": "11"}).status_code == 422
    assert client.post(path, {**form, "score": "3"}).status_code == 303
    assert not Response.objects.exists()
    # A customer's own link is no place to try things out.
    client.post(f"/s/{invitation.token}/?test=1", {"version": "1", "score": "3"})
    assert Response.objects.count() == 1


# --- Forms that are rendered once -------------------------------------------------------------------------------------


@pytest.fixture
def links(invitation) -> list[str]:
    """Addresses of links to the same touchpoint, whose version is frozen."""
    InstrumentVersion.objects.update(answered=True)
    ends = timezone.now() + timedelta(days=1)
    more = [make_invitation(invitation.touchpoint, make_customer(), expires_at=ends) for _number in range(3)]
    return [f"/s/{one.token}/" for one in (invitation, *more)]


def shown(client, address: str, **headers) -> str:
    page = client.get(address, headers=headers)
    assert page.status_code == 200
    return page.content.decode()


def without_clock(page: str) -> str:
    return re.sub(r'"now": \d+', "", page)


def test_people_who_are_asked_the_same_get_the_same_page_with_the_time_at_which_they_look(client, links):
    first, second = shown(client, links[0]), shown(client, links[1])
    assert without_clock(first) == without_clock(second)
    before, after = (int(re.search(r'"now": (\d+)', page)[1]) for page in (first, second))
    assert before <= after
    assert abs(after - timezone.now().timestamp() * 1000) < 60_000
    assert set(Invitation.objects.filter(opened_at__isnull=False).values_list("token", flat=True)) == {
        address.split("/")[2] for address in links[:2]
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda: Touchpoint.objects.update(name={"en": "Parcels"}),
        lambda: Organisation.objects.update(name={"en": "Another Name"}),
        lambda: Organisation.objects.update(privacy={"en": "Another notice."}),
        lambda: Organisation.objects.update(phrases={"en": {"send": "Off it goes"}}),
        lambda: Organisation.objects.update(accent="#123456"),
        lambda: Organisation.objects.update(scheme="dark"),
        lambda: Organisation.objects.update(languages=["en", "fr"]),
        lambda: Instrument.objects.update(max_questions=1),
    ],
)
def test_a_change_is_seen_at_the_next_look(client, links, change):
    publish_version(
        Touchpoint.objects.get().instrument, [QuestionTerms("score", "scale", {"en": "How was {touchpoint}?"}), COMMENT]
    )
    InstrumentVersion.objects.update(answered=True)
    before = shown(client, links[0])
    assert without_clock(shown(client, links[1])) == without_clock(before)
    change()
    assert without_clock(shown(client, links[2])) != without_clock(before)


def test_what_an_address_says_and_what_was_answered_is_on_its_own_page_alone(client, links):
    plain = shown(client, links[0])
    assert "checked" not in plain
    assert 'value="9" checked' in shown(client, f"{links[1]}?score=9")
    assert 'value="3" checked' in shown(client, f"{links[1]}?score=3")
    assert 'lang="zh-hans"' in shown(client, f"{links[1]}?lang=zh-hans")[:200]
    client.post(links[2], {"score": "7"})
    assert 'value="7" checked' in shown(client, links[2])
    assert without_clock(shown(client, links[3])) == without_clock(plain)
