"""The local mailbox: a letter is shown where nothing in it can do anything, and its links lead out. Notices that wait or failed."""

import pytest

from surveys.flow.compose import message_id_of
from surveys.models import SentMessage, WatcherNotice
from tests.factories import NOW, make_invitation, make_organisation, make_touchpoint
from tests.surveys.admin.people import READS, hold_everything, list_url, page_url, sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def manager(db):
    make_organisation()
    return sign_in(*READS)


def test_a_letter_is_shown_with_its_text_and_headers(manager):
    held = hold_everything()
    shown = manager.get(page_url(held.message)).content.decode()
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in shown
    assert "alert(1)" not in shown  # in the frame's own page only
    framed = manager.get(f"/admin/surveys/sentmessage/{held.message.pk}/letter/").content.decode()
    assert framed.startswith('<base target="_blank">')
    assert "<script>alert(1)</script>" in framed
    assert "Hello Li Na" in shown
    assert "Message-ID" in shown
    assert page_url(held.asked) in shown


def test_a_letter_without_html_has_no_frame(manager):
    row = SentMessage.objects.create(at=NOW, to="boss@shop.example", subject="", text="plain")
    shown = manager.get(page_url(row)).content.decode()
    assert "<iframe" not in shown
    assert "(no subject)" in shown


@pytest.mark.django_db
def test_a_reminder_leads_to_the_invitation_that_it_reminds_of(manager):
    invitation = make_invitation(make_touchpoint("delivery"))
    reminder = SentMessage.objects.create(
        at=NOW, to="li@example.com", subject="x", message_id=message_id_of(invitation, 1), html="", text="Hello"
    )
    assert page_url(invitation) in manager.get(page_url(reminder)).content.decode()


def test_the_list_does_not_read_the_letters(manager, django_assert_max_num_queries):
    hold_everything()
    with django_assert_max_num_queries(13) as captured:
        manager.get(list_url(SentMessage, "?q=li%40example"))
    assert not any('"html"' in query["sql"] for query in captured.captured_queries if "sentmessage" in query["sql"])


def test_notices_that_wait_failed_or_went_out_are_told_apart(manager):
    held = hold_everything()

    def found(state):
        return len(manager.get(list_url(WatcherNotice, f"?state={state}")).context["cl"].result_list)

    assert (found("waiting"), found("failed"), found("sent")) == (1, 1, 0)
    assert "OSError: away" in manager.get(list_url(WatcherNotice)).content.decode()
    assert "OSError: away" in manager.get(page_url(held.notice)).content.decode()
    WatcherNotice.objects.update(attempts=0)
    assert (found("waiting"), found("failed"), found("sent")) == (1, 0, 0)
    WatcherNotice.objects.update(sent_at=NOW)
    assert (found("waiting"), found("failed"), found("sent")) == (0, 0, 1)
    assert "OSError" not in manager.get(list_url(WatcherNotice)).content.decode()


@pytest.mark.django_db(transaction=True)
def test_in_a_browser_a_letter_runs_nothing_and_its_link_opens_the_form(page, live_server, settings):
    """The five-minute tour: from the mailbox to the form, by a click on the letter."""
    make_organisation()
    invitation = make_invitation(make_touchpoint("delivery"))
    url = f"{live_server.url}/s/{invitation.token}/"
    letter = SentMessage.objects.create(
        at=NOW, to="li@example.com", subject="How was it?", message_id=f"<{invitation.token}@cx>",
        html=f'<!doctype html><html><body><script>parent.document.title="run"; document.body.id="run"</script>'
        f'<img src="{live_server.url}/admin/logout/"><a href="{url}?score=9">9</a></body></html>',
    )  # fmt: skip
    client = sign_in(*READS)
    name, value = settings.SESSION_COOKIE_NAME, client.cookies[settings.SESSION_COOKIE_NAME].value
    page.context.add_cookies([{"name": name, "value": value, "url": live_server.url}])
    asked: list[str] = []
    page.on(
        "response", lambda response: asked.append(response.url)
    )  # what the policy stops is announced, and never answered
    page.goto(live_server.url + page_url(letter))
    frame = page.frame_locator("iframe.rec-letter")
    assert frame.locator("body").get_attribute("id") is None
    assert page.title() != "run"
    assert not any(url.endswith("/admin/logout/") for url in asked)
    with page.expect_popup() as opened:
        frame.locator("a").click()
    opened.value.wait_for_load_state()
    assert opened.value.url == f"{url}?score=9"
    assert opened.value.locator("input[type=radio][value='9']").is_checked()
    assert opened.value.locator("form").count() >= 1


def test_a_letters_own_page_is_held_by_a_policy_and_refused_to_whoever_may_not_read_it(manager):
    letter = SentMessage.objects.create(at=NOW, to="li@example.com", subject="x", html="<p>Hello</p>")
    url = f"/admin/surveys/sentmessage/{letter.pk}/letter/"
    shown = manager.get(url)
    assert shown.content.decode().endswith("<p>Hello</p>")
    policy = shown["Content-Security-Policy"]
    assert "sandbox allow-popups allow-popups-to-escape-sandbox" in policy
    assert {"default-src 'none'", "script-src 'none'", "img-src data:"} <= {part.strip() for part in policy.split(";")}
    assert shown["X-Frame-Options"] == "SAMEORIGIN"
    assert manager.post(url).status_code == 405
    assert manager.get("/admin/surveys/sentmessage/999999/letter/").status_code == 404
    assert sign_in("view_customer").get(url).status_code == 403
