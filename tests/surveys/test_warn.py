"""Bad news travels at once: one message per watcher, by mail and to any Apprise address, and none is lost or told twice."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.conf import settings as django_settings

from surveys.flow.respond import Given, Submission, exclude_response, record_response
from surveys.flow.tell import BACK_OFF, LEASE, claim
from surveys.flow.warn import OF_ANSWERS, TOLD_AT_ONCE, warn_watchers
from surveys.models import Response, Touchpoint, Watcher, WatcherNotice
from tests.concurrency import together
from tests.factories import NOW, make_customer, make_instrument, make_invitation, make_organisation, make_touchpoint
from tests.smtp_sink import SmtpSink

pytestmark = pytest.mark.django_db(transaction=True)


class Listener:
    """A real HTTP server on a free port, such as a chat's webhook; `heard` holds the bodies, `status` is its answer."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.status = 200
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if listener.status == 200:
                    listener.heard.append(json.loads(body))
                self.send_response(listener.status)
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                """Not on the console."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"json://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.stop()


@pytest.fixture
def mail(smtp_sink: SmtpSink, settings: Any) -> SmtpSink:
    """Mail goes to a real server."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", smtp_sink.port
    return smtp_sink


@pytest.fixture
def touchpoint() -> Touchpoint:
    make_organisation()
    return make_touchpoint("delivery", make_instrument("nps-x"), name={"en": "Delivery", "zh-hans": "配送"})


def watch(touchpoint: Touchpoint, address: str = "lead@example.com", **fields: Any) -> Watcher:
    return Watcher.objects.create(touchpoint=touchpoint, address=address, **fields)


def answer(touchpoint: Touchpoint, score: int = 2, comment: str = "Too slow.") -> Response:
    invitation = make_invitation(touchpoint, make_customer())
    questions = {question.key: question for question in invitation.instrument.questions.all()}
    answers = [Given(questions["score"], score=score)]
    answers += [Given(questions["comment"], text=comment)] if comment else []
    version = invitation.instrument.current_version()
    submission = Submission(
        client_id=invitation.token, touchpoint=touchpoint, version=version, mode="email", answers=answers,
        customer=invitation.customer, invitation=invitation,
    )  # fmt: skip
    return record_response(submission, NOW).response


def test_a_mail_tells_the_score_the_text_and_where_to_read_on(touchpoint, mail):
    watch(touchpoint)
    response = answer(touchpoint)
    assert warn_watchers(NOW) == 1
    recipient, message = mail.wait_for(1)[0]
    assert recipient == "lead@example.com"
    assert message["Subject"] == "1 unhappy answer: Delivery – Harbour Tea"
    text = message.get_content()
    assert "2: Too slow." in text
    assert f"{django_settings.BASE_URL}/admin/surveys/response/{response.pk}/change/" in text
    assert WatcherNotice.objects.get().sent_at == NOW


def test_it_is_told_in_the_watchers_language(touchpoint, mail):
    watch(touchpoint, language="zh-hans")
    answer(touchpoint, comment="")
    warn_watchers(NOW)
    message = mail.wait_for(1)[0][1]
    assert "配送" in message["Subject"]
    assert "港湾茶" in message["Subject"]
    assert "unhappy" not in message["Subject"]
    assert "no comment" not in message.get_content()


def test_an_apprise_address_is_told_the_same(touchpoint, listener):
    watch(touchpoint, listener.address)
    answer(touchpoint)
    assert warn_watchers(NOW) == 1
    told = listener.heard[0]
    assert told["title"] == "1 unhappy answer: Delivery – Harbour Tea"
    assert "Too slow." in told["message"]


def test_many_at_once_are_one_message_that_quotes_some_and_counts_the_rest(touchpoint, mail):
    watch(touchpoint)
    for number in range(TOLD_AT_ONCE + 3):
        answer(touchpoint, comment=f"Number {number}.")
    assert warn_watchers(NOW) == 1
    [(_recipient, message)] = mail.wait_for(1)
    assert message["Subject"].startswith(f"{TOLD_AT_ONCE + 3} unhappy answers")
    text = message.get_content()
    assert "… and 3 more." in text
    assert "Number 0." in text
    assert f"Number {TOLD_AT_ONCE - 1}." in text
    assert f"Number {TOLD_AT_ONCE}." not in text
    assert warn_watchers(NOW) == 0


def test_exactly_as_many_as_are_quoted_leave_nothing_to_count(touchpoint, mail):
    watch(touchpoint)
    for _number in range(TOLD_AT_ONCE):
        answer(touchpoint)
    warn_watchers(NOW)
    assert "more." not in mail.wait_for(1)[0][1].get_content()


def test_each_watcher_is_told_of_his_own_touchpoints_alone(touchpoint, mail):
    other = make_touchpoint("other", touchpoint.instrument)
    watch(touchpoint, "one@example.com")
    watch(touchpoint, "two@example.com")
    watch(other, "three@example.com")
    watch(touchpoint, "off@example.com", active=False)
    answer(touchpoint)
    assert warn_watchers(NOW) == 2
    assert sorted(recipient for recipient, _message in mail.wait_for(2)) == ["one@example.com", "two@example.com"]


def test_a_watcher_switched_off_meanwhile_hears_nothing_more(touchpoint, mail):
    watcher = watch(touchpoint)
    answer(touchpoint)
    Watcher.objects.filter(pk=watcher.pk).update(active=False)
    assert warn_watchers(NOW) == 0
    Watcher.objects.filter(pk=watcher.pk).update(active=True)
    assert warn_watchers(NOW) == 1


def test_an_answer_taken_out_before_it_was_told_is_not_told(touchpoint, mail, admin_user):
    """Staff who excluded it know it already; what was wrong must not alarm anybody."""
    watch(touchpoint)
    excluded, kept = answer(touchpoint, comment="A test."), answer(touchpoint, comment="Meant.")
    exclude_response(excluded.pk, "a test", admin_user, NOW)
    assert warn_watchers(NOW) == 1
    text = mail.wait_for(1)[0][1].get_content()
    assert ("A test." in text, "Meant." in text) == (False, True)
    assert kept.notices.get().sent_at == NOW


def test_an_answer_changed_for_the_better_before_it_was_told_is_not_told(touchpoint, mail):
    watch(touchpoint)
    for better, told in ((7, 0), (3, 1)):
        response = answer(touchpoint)
        changed = Given(response.invitation.instrument.questions.get(key="score"), score=better)
        submission = Submission(
            client_id=response.client_id, touchpoint=touchpoint, version=response.version, mode="email", answers=[changed],
            invitation=response.invitation,
        )  # fmt: skip
        assert record_response(submission, NOW).changed
        assert warn_watchers(NOW) == told


@pytest.mark.parametrize("attempt", range(len(BACK_OFF) + 2))
def test_a_failure_is_tried_again_later_and_later(touchpoint, listener, attempt):
    watcher = watch(touchpoint, listener.address)
    answer(touchpoint)
    WatcherNotice.objects.update(attempts=attempt)
    listener.status = 500
    assert warn_watchers(NOW) == 0
    watcher.refresh_from_db()
    assert watcher.last_error
    pause = BACK_OFF[min(attempt, len(BACK_OFF) - 1)]
    listener.status = 200
    assert warn_watchers(NOW + pause - timedelta(seconds=1)) == 0
    assert warn_watchers(NOW + pause) == 1
    watcher.refresh_from_db()
    assert watcher.last_error == ""
    assert len(listener.heard) == 1


def test_a_mail_server_that_refuses_or_is_away_is_an_error_that_staff_see(touchpoint, mail):
    watcher = watch(touchpoint)
    answer(touchpoint)
    mail.refuse_all = "550 5.7.1 not from here"
    assert warn_watchers(NOW) == 0
    watcher.refresh_from_db()
    assert "not from here" in watcher.last_error
    mail.stop()
    assert warn_watchers(NOW + BACK_OFF[0]) == 0
    watcher.refresh_from_db()
    assert "refused" in watcher.last_error.lower()
    mail.refuse_all = ""
    mail.start()
    assert warn_watchers(NOW + BACK_OFF[0] + BACK_OFF[1]) == 1


def test_one_address_that_fails_holds_up_nobody_else(touchpoint, mail):
    bad, good = watch(touchpoint, "nonsense://nowhere"), watch(touchpoint, "lead@example.com")
    answer(touchpoint)
    assert warn_watchers(NOW) == 1
    assert mail.wait_for(1)[0][0] == "lead@example.com"
    bad.refresh_from_db()
    assert "does not know this kind of address" in bad.last_error
    assert good.notices.get().sent_at == NOW
    assert bad.notices.get().sent_at is None


def test_what_a_killed_worker_held_is_told_when_its_lease_is_over(touchpoint, mail):
    watch(touchpoint)
    answer(touchpoint)
    claim(OF_ANSWERS, NOW)  # and then nothing: killed
    assert warn_watchers(NOW + LEASE - timedelta(seconds=1)) == 0
    assert warn_watchers(NOW + LEASE) == 1
    assert len(mail.wait_for(1)) == 1


def test_two_workers_at_once_tell_each_answer_once(touchpoint, listener):
    watch(touchpoint, listener.address)
    for number in range(12):
        answer(touchpoint, comment=f"Number {number}.")
    together(4, lambda _index: warn_watchers(NOW))
    text = "\n".join(told["message"] for told in listener.heard)
    assert [text.count(f"Number {number}.") for number in range(12)] == [1] * 12
    assert WatcherNotice.objects.filter(sent_at=None).count() == 0


def test_good_news_and_an_answer_without_a_watcher_wait_for_nobody(touchpoint, mail):
    answer(touchpoint, 2)
    watch(touchpoint)
    answer(touchpoint, 7)
    assert warn_watchers(NOW) == 0
    assert not mail.messages


def test_what_people_write_cannot_become_a_header(touchpoint, mail):
    touchpoint.name = {"en": "Delivery\nBcc: all@example.com"}
    touchpoint.save()
    watcher = watch(touchpoint)
    answer(touchpoint, comment="A\r\n.\r\nBcc: all@example.com")
    warn_watchers(NOW)
    assert all(recipient == "lead@example.com" for recipient, _message in mail.messages)
    watcher.refresh_from_db()
    assert mail.messages or watcher.last_error


def test_when_the_shift_is_over_the_other_watchers_wait_unleased(touchpoint, mail):
    for name in ("first", "second", "third"):
        watch(touchpoint, f"{name}@example.com")
    answer(touchpoint)
    assert warn_watchers(NOW, over=lambda: len(mail.messages) >= 1) == 1
    assert WatcherNotice.objects.filter(sent_at=None, lease_until=None, attempts=0).count() == 2
    assert warn_watchers(NOW) == 2
    assert len({recipient for recipient, _message in mail.messages}) == 3
