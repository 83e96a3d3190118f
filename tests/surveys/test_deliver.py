import contextlib
import re
from datetime import timedelta

import pytest
from django.core.mail import EmailMessage
from django.db import connection
from django.test.utils import CaptureQueriesContext

from surveys import tasks
from surveys.flow.deliver import DOUBT, LEASE, deliver_due, drain
from surveys.models import Customer, DeliveryAttempt, Invitation, Reminder, SentMessage, Suppression
from surveys.shift import SHIFT_S
from tests.concurrency import together
from tests.factories import NOW, make_customer, make_invitation, make_organisation, make_rule, make_touchpoint

pytestmark = pytest.mark.django_db


def make_due(customer=None, touchpoint=None, **fields):
    defaults = {"status": "scheduled", "attempted_at": None, "sent_at": None, "expires_at": None, "send_at": NOW}
    return make_invitation(touchpoint, customer, **{**defaults, **fields})


@pytest.fixture
def smtp(settings, smtp_sink):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", smtp_sink.port
    settings.BASE_URL = "https://cx.example.org"
    settings.DEFAULT_FROM_EMAIL = "Harbour Tea <survey@cx.example.org>"
    return smtp_sink


def test_a_due_invitation_goes_out_once(smtp):
    make_organisation()
    customer = make_customer(name="Li Na", language="zh-hans")
    invitation = make_due(
        customer, make_touchpoint("delivery", name={"en": "Delivery", "zh-hans": "配送"}), language="zh-hans"
    )
    assert deliver_due(NOW) == (1, 1)
    assert deliver_due(NOW) == (0, 0)
    recipient, mail = smtp.messages[0]
    assert (len(smtp.messages), recipient) == (1, customer.email)
    assert mail["Message-ID"] == f"<{invitation.token}@cx.example.org>"
    assert mail["List-Unsubscribe"] == f"<https://cx.example.org/u/{invitation.token}/>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    html, text = (mail.get_body((kind,)).get_content() for kind in ("html", "plain"))
    links = re.findall(r'href="(https://cx\.example\.org/s/[^"]+)"', html)
    assert links == [f"https://cx.example.org/s/{invitation.token}/?score={score}" for score in range(11)] + [
        f"https://cx.example.org/s/{invitation.token}/"
    ]
    assert "score？" in html
    assert f"https://cx.example.org/s/{invitation.token}/" in text
    invitation.refresh_from_db()
    assert (invitation.status, invitation.sent_at, invitation.expires_at) == ("sent", NOW, NOW + timedelta(days=14))
    attempt = DeliveryAttempt.objects.get()
    assert (attempt.result, attempt.message_id) == ("sent", mail["Message-ID"])


def test_a_batch_uses_one_connection(smtp):
    for _number in range(5):
        make_due()
    assert deliver_due(NOW) == (5, 5)
    assert (len(smtp.messages), smtp.connections) == (5, 1)


def test_each_letter_more_is_one_statement_more(smtp):
    statements = []
    make_due()
    deliver_due(NOW)  # the statements that are planned once are
    for count in (2, 6):
        for _number in range(count):
            make_due()
        with CaptureQueriesContext(connection) as queries:
            assert deliver_due(NOW) == (count, count)
        statements.append(len(queries))
    assert statements[1] - statements[0] == 4


@pytest.mark.parametrize("model", [Invitation, Reminder])
def test_what_is_due_stands_in_the_index_in_the_order_of_sending(model):
    """Else a worker that wants a hundred sorts all that are due at ten o'clock."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute("SET LOCAL enable_sort = off")  # of a table that is known to be empty, sorting costs as little
    plan = model.objects.filter(status="scheduled", send_at__lte=NOW).order_by("send_at", "id")[:100].explain()
    assert f"Index Scan using {model.__name__.lower()}_due" in plan
    assert "Sort" not in plan


def test_what_is_not_due_waits(smtp):
    make_due(send_at=NOW + timedelta(seconds=1))
    assert deliver_due(NOW) == (0, 0)
    assert deliver_due(NOW + timedelta(seconds=1)) == (1, 1)


def test_a_temporary_failure_is_tried_again_later_with_the_same_message_id(smtp):
    invitation = make_due()
    smtp.refuse_all = "451 4.7.1 try later"
    assert deliver_due(NOW) == (1, 0)
    assert deliver_due(NOW + timedelta(seconds=59)) == (0, 0)
    smtp.refuse_all = ""
    assert deliver_due(NOW + timedelta(seconds=60)) == (1, 1)
    assert [row.result for row in DeliveryAttempt.objects.order_by("id")] == ["temporary", "sent"]
    assert smtp.messages[0][1]["Message-ID"].startswith(f"<{invitation.token}@")


def test_a_permanent_failure_suppresses_the_address(smtp):
    invitation = make_due()
    smtp.refuse[invitation.customer.email] = "550 5.1.1 no such user"
    assert deliver_due(NOW) == (1, 0)
    invitation.refresh_from_db()
    assert (invitation.status, invitation.reason) == ("failed", "bounced")
    assert Suppression.objects.get().reason == "bounced"
    make_due(invitation.customer)
    deliver_due(NOW + timedelta(days=100))
    assert Invitation.objects.last().reason == "bounced"


def test_a_server_that_is_away_costs_one_call_per_batch_and_loses_nothing(smtp):
    for _number in range(3):
        make_due()
    smtp.stop()
    assert deliver_due(NOW) == (3, 0)
    assert set(Invitation.objects.values_list("status", flat=True)) == {"scheduled"}
    smtp.start()
    assert deliver_due(NOW + timedelta(minutes=1)) == (3, 3)


def test_a_lease_of_a_worker_that_died_runs_out(smtp):
    invitation = make_due(attempted_at=NOW, lease_until=NOW + LEASE, attempts=1)
    assert deliver_due(NOW + LEASE - timedelta(seconds=1)) == (0, 0)
    assert deliver_due(NOW + LEASE) == (1, 1)
    assert smtp.messages[0][1]["Message-ID"].startswith(f"<{invitation.token}@")


def test_eligibility_is_decided_again_when_the_moment_has_come(smtp):
    customer = make_customer()
    first, second = make_due(customer), make_due(customer)
    assert deliver_due(NOW) == (2, 1)
    second.refresh_from_db()
    assert (second.status, second.reason) == ("withheld", "resting_any")
    first.refresh_from_db()
    assert first.status == "sent"


@pytest.mark.parametrize("switched_off", ["rule", "touchpoint"])
def test_what_was_switched_off_meanwhile_is_cancelled(smtp, switched_off):
    rule = make_rule()
    make_due(touchpoint=rule.touchpoint, rule=rule)
    switched = rule if switched_off == "rule" else rule.touchpoint
    switched.active = False
    switched.save()
    deliver_due(NOW)
    assert Invitation.objects.values_list("status", "reason").get() == ("cancelled", "inactive")
    assert smtp.messages == []


def test_the_mailbox_takes_mail_while_no_server_is_named(settings):
    settings.EMAIL_BACKEND = "surveys.mailbox.MailboxBackend"  # pytest-django had put its own in the place of ours
    make_due()
    assert deliver_due(NOW) == (1, 1)
    message = SentMessage.objects.get()
    assert message.to == Customer.objects.get().email
    assert message.subject == f"How was it? {Invitation.objects.get().touchpoint.label} – My organisation"
    assert ["Subject", message.subject] in message.headers
    assert "/s/" in message.text
    assert "?score=10" in message.html
    assert ["List-Unsubscribe-Post", "List-Unsubscribe=One-Click"] in message.headers


def test_the_mailbox_shows_a_subject_as_people_read_it(settings):
    settings.EMAIL_BACKEND = "surveys.mailbox.MailboxBackend"
    EmailMessage("1 条差评：配送 – 港湾茶", "…", to=["li@example.com"]).send()
    assert SentMessage.objects.get().subject == "1 条差评：配送 – 港湾茶"


@pytest.mark.django_db(transaction=True)
def test_workers_that_send_at_once_send_each_invitation_once(smtp):
    for _number in range(40):
        make_due()
    sent = together(4, lambda _index: sum(deliver_due(NOW, limit=7)[1] for _batch in range(4)))
    while deliver_due(NOW)[0]:
        pass
    assert sum(sent) <= 40
    assert len(smtp.messages) == 40
    assert len({mail["Message-ID"] for _to, mail in smtp.messages}) == 40
    assert set(Invitation.objects.values_list("status", flat=True)) == {"sent"}


@pytest.mark.django_db(transaction=True)
def test_two_workers_never_write_to_one_customer_twice(smtp):
    for _number in range(10):
        customer = make_customer()
        make_due(customer)
        make_due(customer)
    together(4, lambda _index: [deliver_due(NOW, limit=3) for _batch in range(8)])
    while deliver_due(NOW)[0]:
        pass
    assert len(smtp.messages) == 10
    assert Invitation.objects.filter(status="sent").count() == 10
    assert Invitation.objects.filter(status="withheld", reason="resting_any").count() == 10


def test_when_the_shift_is_over_the_rest_is_given_back_as_if_it_had_not_been_claimed(smtp):
    for _number in range(3):
        make_due()
    tried_before = make_due(attempted_at=NOW - timedelta(minutes=5), attempts=1, send_at=NOW)
    assert deliver_due(NOW, over=lambda: len(smtp.messages) == 1) == (4, 1)
    rest = Invitation.objects.filter(status="scheduled").exclude(pk=tried_before.pk)
    assert set(rest.values_list("lease_until", "attempted_at", "attempts")) == {(None, None, 0)}
    tried_before.refresh_from_db()
    assert (tried_before.lease_until, tried_before.attempted_at, tried_before.attempts) == (
        None,
        NOW - timedelta(minutes=5),
        1,
    )
    assert deliver_due(NOW) == (3, 3)
    assert len({mail["Message-ID"] for _to, mail in smtp.messages}) == 4


def test_a_drain_ends_with_its_shift_and_a_carrier_that_is_away_is_not_asked_for_each_of_the_rest(smtp):
    for _number in range(4):
        make_due()
    assert drain(lambda: NOW, limit=2, over=lambda: len(smtp.messages) >= 2) == 2
    assert len(smtp.messages) == 2
    smtp.stop()
    assert drain(lambda: NOW, limit=2, over=lambda: True) == 0
    assert Invitation.objects.filter(status="scheduled", lease_until=None).count() == 2
    smtp.start()


def test_a_failure_in_the_middle_keeps_the_lease_of_the_one_that_may_have_gone_out_alone(smtp, monkeypatch):
    for _number in range(3):
        make_due()

    def cut_off(*_arguments):
        raise RuntimeError("such as a soft time limit, or a database that has gone away")

    monkeypatch.setattr("surveys.flow.deliver._settle", cut_off)
    with pytest.raises(RuntimeError):
        deliver_due(NOW)
    monkeypatch.undo()
    assert len(smtp.messages) == 1
    assert Invitation.objects.filter(lease_until=NOW + LEASE).count() == 1


@pytest.mark.parametrize("reply", ["550 5.1.1 no such user", "451 4.7.1 try later"])
def test_an_answer_that_came_before_the_servers_word_stands(smtp, reply):
    """A first mail went out, its worker died; the second is refused while the customer answers the first."""
    invitation = make_due(attempted_at=NOW - timedelta(days=5), attempts=1)

    def answered():
        Invitation.objects.filter(pk=invitation.pk).update(status="answered", lease_until=None)
        return False

    smtp.refuse_all = reply
    deliver_due(NOW, over=answered)
    assert Invitation.objects.get().status == "answered"


def test_a_sending_task_may_end_its_slowest_message_before_its_lease_is_over(settings):
    connect_greet_hello_tls_shake_hello_user_password_sender_recipient_data_body_quit = 13
    slowest = connect_greet_hello_tls_shake_hello_user_password_sender_recipient_data_body_quit * 15
    for task in (tasks.deliver_due, tasks.remind_due):
        assert SHIFT_S + slowest < task.soft_time_limit < LEASE.total_seconds()


def test_whoever_may_have_got_it_twice_is_not_written_to_again(smtp):
    """The server takes each message and closes the connection without a word."""
    smtp.drops = True
    first, second = make_due(), make_due(send_at=NOW + timedelta(seconds=1))
    assert deliver_due(NOW + timedelta(seconds=1)) == (2, 0)
    assert list(DeliveryAttempt.objects.order_by("id").values_list("invitation", "result")) == [
        (first.pk, "unknown"),
        (second.pk, "temporary"),  # nothing was said about it, so there is nothing to be in doubt of
    ]
    again = NOW + DOUBT + timedelta(seconds=1)
    assert deliver_due(again - timedelta(seconds=1)) == (1, 0)  # the second's turn, after a minute
    assert deliver_due(again) == (1, 0)
    first.refresh_from_db()
    assert (first.status, first.reason, first.lease_until) == ("failed", "undeliverable", None)
    assert [mail["Message-ID"].split("@")[0][1:] for _to, mail in smtp.messages] == [
        first.token,
        second.token,
        first.token,
    ]
    smtp.drops = False
    assert drain(lambda: NOW + timedelta(days=1)) == 1
    second.refresh_from_db()
    assert second.status == "sent"
    assert len(smtp.messages) == 4
    assert not Suppression.objects.exists()


@pytest.mark.parametrize("command", ["EHLO", "MAIL", "RCPT"])
def test_before_the_message_is_handed_over_nothing_is_in_doubt(smtp, command):
    smtp.drops_at = command
    make_due()
    for minutes in (0, 1, 6):
        assert deliver_due(NOW + timedelta(minutes=minutes)) == (1, 0)
    smtp.drops_at = ""
    assert deliver_due(NOW + timedelta(minutes=36)) == (1, 1)
    assert set(DeliveryAttempt.objects.values_list("result", flat=True)) == {"temporary", "sent"}
    assert len(smtp.messages) == 1


def test_a_message_that_ends_whoever_sends_it_goes_out_a_handful_of_times_and_not_for_ever(smtp, monkeypatch):
    """Each time it has gone out, and nothing is written. The leases grow, and after four days it is given up."""
    make_due()

    def cut_off(*_arguments):
        raise RuntimeError

    monkeypatch.setattr("surveys.flow.deliver._settle", cut_off)
    now = NOW
    spans = []
    while now < NOW + timedelta(days=8):
        with contextlib.suppress(RuntimeError):
            deliver_due(now)
        lease_until = Invitation.objects.values_list("lease_until", flat=True).get()
        if lease_until is None:
            break
        assert deliver_due(lease_until - timedelta(seconds=1)) == (0, 0)
        spans.append(lease_until - now)
        now = lease_until
    assert spans[:3] == [LEASE, 2 * LEASE, 4 * LEASE]
    assert len(smtp.messages) == len(spans) <= 12
    assert Invitation.objects.values_list("status", "reason").get() == ("failed", "undeliverable")
    assert len({mail["Message-ID"] for _to, mail in smtp.messages}) == 1


def test_tries_of_which_the_result_is_known_leave_the_lease_as_it_is(smtp):
    invitation = make_due()
    smtp.refuse_all = "451 4.7.1 try later"
    for minutes in (0, 1, 6):
        deliver_due(NOW + timedelta(minutes=minutes))
    held = []
    again = NOW + timedelta(minutes=36)

    def seen():
        held.append(Invitation.objects.get(pk=invitation.pk).lease_until)
        return False

    deliver_due(again, over=seen)
    assert held[0] == again + LEASE
