"""What providers of email report: through anymail's own webhooks, in any order, again and again, early or late."""

import itertools
import json
from datetime import timedelta

import pytest
from anymail.signals import AnymailTrackingEvent
from django.db.models import Q

from cxsurvey.carriers import PROVIDERS
from surveys.channels.email import tracking
from surveys.channels.email.tracking import report_of
from surveys.flow.addresses import address_hash
from surveys.flow.deliver import deliver_due, drain
from surveys.flow.receipts import note_receipts, settle_receipts
from surveys.flow.remind import remind_due
from surveys.flow.suppress import person_hash
from surveys.letters import Report
from surveys.models import DeliveryAttempt, Instrument, Invitation, Receipt, Reminder, Suppression
from tests.concurrency import together
from tests.factories import NOW, make_customer, make_invitation, make_organisation, make_rule, make_touchpoint
from tests.mail_api import basic, mailgun_event, mandrill_form

pytestmark = pytest.mark.django_db
PHONE = "+8613800000000"
DAY = timedelta(days=1)
PATH = "/email/status/{}/"


def make_due(customer=None, modes=("email",), **fields):
    rule = make_rule(make_touchpoint(instrument=Instrument.objects.get(slug="nps")), modes=list(modes))
    defaults = {"status": "scheduled", "attempted_at": None, "sent_at": None, "expires_at": None, "send_at": NOW}
    return make_invitation(
        rule.touchpoint, customer or make_customer(email="li@example.com"), rule=rule, **{**defaults, **fields}
    )


@pytest.fixture
def sent(mail_api, sms_server):
    """One letter that a provider has taken."""
    mail_api.settings.SMS_URL = f"twilio://AC1:tok@+15551234567?api={sms_server.url}"
    make_organisation()
    invitation = make_due()
    assert deliver_due(NOW) == (1, 1)
    return invitation


def reference(invitation):
    return DeliveryAttempt.objects.filter(invitation=invitation).latest("id").reference


def hear(invitation, *kinds, now=NOW, detail="said so"):
    for kind in kinds:
        note_receipts([Report(reference(invitation), kind, detail)], "mailgun", now)
        settle_receipts(now)


def status(invitation):
    invitation.refresh_from_db()
    return invitation.status, invitation.reason


def suppressed():
    return sorted(Suppression.objects.values_list("address_hash", "reason"))


# --- What a provider posts --------------------------------------------------------------------------------------------


def post(client, provider, body, **headers):
    return client.post(
        PATH.format(provider), json.dumps(body), content_type="application/json", headers=headers
    ).status_code


def test_a_signed_event_of_mailgun_becomes_a_receipt(client, sent):
    assert post(client, "mailgun", mailgun_event("delivered", reference(sent))) == 200
    assert Receipt.objects.values_list("provider", "reference", "kind").get() == (
        "mailgun",
        reference(sent),
        "delivered",
    )
    settle_receipts(NOW)
    assert status(sent) == ("delivered", "")
    assert post(client, "mailgun", mailgun_event("delivered", reference(sent))) == 200
    settle_receipts(NOW)
    assert (status(sent), Receipt.objects.count()) == (("delivered", ""), 0)


def test_only_the_provider_of_email_url_is_heard_and_only_with_its_proof(client, sent, mail_api):
    event = mailgun_event("delivered", reference(sent))
    assert post(client, "postmark", event, **basic()) == 404
    assert post(client, "mailgun", mailgun_event("delivered", reference(sent), key="another")) == 403
    assert post(client, "mailgun", {"event-data": {}}) == 403
    assert client.get(PATH.format("mailgun")).status_code == 405
    mail_api.use("postmark")
    bounce = {"RecordType": "Bounce", "Type": "HardBounce", "MessageID": "pm-1", "Email": "li@example.com"}
    assert post(client, "mailgun", event) == 404
    assert post(client, "postmark", bounce) == 403
    assert post(client, "postmark", bounce, **basic("guess")) == 403
    assert post(client, "postmark", ["nonsense"], **basic()) == 400
    assert client.head(PATH.format("postmark")).status_code == 200
    assert Receipt.objects.count() == 0
    assert post(client, "postmark", bounce, **basic()) == 200
    assert Receipt.objects.get().kind == "bounced"


def test_a_provider_without_a_proof_and_a_mail_server_are_not_heard(client, mail_api):
    mail_api.set_url("postmark://token@/")
    assert post(client, "postmark", {}) == 404
    mail_api.set_url("smtp://mail.example.com")
    assert post(client, "mailgun", {}) == 404
    mail_api.set_url("pigeon://k@/")
    assert post(client, "pigeon", {}) == 404


@pytest.mark.filterwarnings("ignore:django-anymail has dropped")
@pytest.mark.parametrize("name", sorted(name for name, provider in PROVIDERS.items() if provider.has_webhooks))
def test_each_provider_has_a_view_that_lets_nobody_in_without_its_proof(client, mail_api, name):
    provider = PROVIDERS[name]
    proof = provider.proofs[0] if provider.proofs else "webhook_secret"
    keys = ":".join("k" for _key in provider.keys) or "id:secret"
    more = "".join(f"&{key}=https://x.example.com" for key in provider.required)
    mail_api.set_url(f"{name}://{keys}@/?{proof}=s3cret{more}")
    try:
        assert tracking.view()() is not None
    except ImportError as missing:  # boto3, cryptography: theirs who use it
        pytest.skip(str(missing))
    assert mail_api.settings.CX_EMAIL_PROBLEM == ""
    assert post(client, name, {"event": "delivered"}) in (400, 403)
    assert post(client, name, {"event": "delivered"}, **basic("guess")) in (400, 403)
    assert Receipt.objects.count() == 0


def test_mandrill_signs_the_public_address(client, mail_api):
    mail_api.use("mandrill")
    form, headers = mandrill_form(
        {"event": "soft_bounce", "_id": "md-1", "msg": {"email": "a@example.com", "diag": "452 4.2.2 full"}},
        {"event": "open", "_id": "md-1", "msg": {"email": "a@example.com"}},
        {"event": "spam", "_id": "md-2", "msg": {"email": "b@example.com"}},
    )
    path = PATH.format("mandrill")
    assert client.post(path, form, headers=headers | {"X-Mandrill-Signature": "AAAA"}).status_code == 403
    assert client.post(path, form, headers=headers).status_code == 200
    assert set(Receipt.objects.values_list("reference", "kind")) == {("md-1", "soft"), ("md-2", "complained")}


def event(event_type, raw=None, **fields):
    return AnymailTrackingEvent(event_type=event_type, message_id="m1", esp_event=raw, **fields)


@pytest.mark.parametrize(
    ("event_type", "raw", "fields", "kind"),
    [
        ("delivered", {}, {}, "delivered"), ("deferred", {}, {}, "deferred"), ("failed", {}, {}, "failed"),
        ("complained", {}, {}, "complained"), ("unsubscribed", {}, {}, "unsubscribed"),
        ("opened", {}, {}, None), ("clicked", {}, {}, None), ("queued", {}, {}, None), ("sent", {}, {}, None),
        ("autoresponded", {}, {}, None), ("unknown", {}, {}, None), ("subscribed", {}, {}, None),
        # What the provider did not even try
        ("rejected", {}, {"reject_reason": "bounced"}, "bounced"), ("rejected", {}, {"reject_reason": "invalid"}, "bounced"),
        ("rejected", {}, {"reject_reason": "spam"}, "complained"), ("rejected", {}, {"reject_reason": "blocked"}, "rejected"),
        ("rejected", {}, {"reject_reason": "unsubscribed"}, "unsubscribed"), ("rejected", {}, {}, "rejected"),
        # Hard, soft, or for our sake, in each provider's own words
        ("bounced", {"bounce": {"bounceType": "Permanent"}}, {}, "bounced"),
        ("bounced", {"bounce": {"bounceType": "Transient"}}, {}, "soft"),
        ("bounced", {"event": "soft_bounce"}, {"reject_reason": "bounced"}, "soft"),
        ("bounced", {"event": "hard_bounce"}, {"mta_response": "smtp; 550 5.1.1 unknown"}, "bounced"),
        ("bounced", {"event": "hard_bounce"}, {"mta_response": "smtp; 550 5.7.1 policy"}, "failed"),
        ("bounced", {"event": "bounce", "hard_bounce": False}, {}, "soft"),
        ("bounced", {"event": "bounce", "hard_bounce": True, "error": "user unknown"}, {}, "bounced"),
        ("bounced", {"event": "bounce", "hard_bounce": True, "error": "relay/access denied"}, {}, "failed"),
        ("bounced", {"event": "bounce", "type": "blocked"}, {}, "failed"),
        ("bounced", {"event": "bounce", "type": "bounce"}, {"mta_response": "550 5.1.1 unknown"}, "bounced"),
        ("bounced", {"type": "activity.soft_bounced", "data": {"type": "soft_bounced"}}, {}, "soft"),
        ("bounced", {"type": "email.bounced", "data": {"bounce": {"type": "Transient"}}}, {}, "soft"),
        ("bounced", {"type": "email.bounced", "data": {"bounce": {"type": "Permanent"}}}, {}, "bounced"),
        ("bounced", {"Type": "SoftBounce"}, {}, "soft"), ("bounced", {"Type": "HardBounce"}, {}, "bounced"),
        ("bounced", {"msys": {"message_event": {"bounce_class": "22"}}}, {}, "soft"),
        ("bounced", {"msys": {"message_event": {"bounce_class": "10"}}}, {}, "bounced"),
        ("bounced", {"msys": {"message_event": {"bounce_class": "51"}}}, {"reject_reason": "spam"}, "failed"),
        ("bounced", {"delivery_info": {"delivery_status": "err_mailbox_full"}}, {}, "soft"),
        ("bounced", {"event-data": {"reason": "old"}}, {}, "soft"),
        ("bounced", {"event-data": {"reason": "suppress-complaint"}}, {}, "complained"),
        ("bounced", {"event-data": {"delivery-status": {"enhanced-code": "5.7.1"}}}, {}, "failed"),
        ("bounced", {"event-data": {"delivery-status": {"enhanced-code": "5.2.2"}}}, {}, "soft"),
        ("bounced", {}, {"reject_reason": "blocked"}, "failed"), ("bounced", {}, {}, "bounced"), ("bounced", None, {}, "bounced"),
    ],
)  # fmt: skip
def test_each_event_has_one_word(event_type, raw, fields, kind):
    report = report_of(event(event_type, raw, **fields))
    assert (report and report.kind) == kind


def test_an_event_without_a_message_is_nobodys_and_what_was_said_is_kept():
    assert report_of(AnymailTrackingEvent(event_type="delivered", esp_event={})) is None
    report = report_of(event("failed", description="No\n MX", mta_response="550 x"))
    assert report == Report("m1", "failed", "No MX: 550 x")


# --- What follows -----------------------------------------------------------------------------------------------------


def test_a_hard_bounce_suppresses_at_once_and_the_next_mode_serves(sent, sms_server):
    sent.rule.modes = ["email", "sms"]
    sent.rule.save()
    type(sent.customer).objects.update(phone=PHONE)
    hear(sent, "bounced", "bounced")
    assert suppressed() == [(address_hash("li@example.com"), "bounced")]
    assert deliver_due(NOW) == (1, 1)
    assert (status(sent), len(sms_server.texts)) == (("sent", ""), 1)


def test_a_hard_bounce_after_a_delivery_suppresses_all_the_same(sent):
    hear(sent, "delivered", "bounced")
    assert status(sent) == ("delivered", "")
    assert suppressed() == [(address_hash("li@example.com"), "bounced")]
    assert DeliveryAttempt.objects.get().receipt == "delivered"


@pytest.mark.parametrize("kind", ["failed", "rejected"])
def test_what_failed_for_our_sake_leaves_the_address_alone(sent, kind):
    hear(sent, kind)
    assert status(sent) == ("failed", "undeliverable")
    assert suppressed() == []


def test_a_complaint_suppresses_at_once_and_withdraws_what_waits(sent, sms_server):
    waiting = make_due(sent.customer, send_at=NOW + 40 * DAY)
    stranger = make_due(make_customer(), send_at=NOW + 40 * DAY)
    Reminder.objects.create(invitation=sent, number=1, send_at=NOW + DAY)
    hear(sent, "complained")
    hashes = [address_hash("li@example.com"), person_hash(sent.customer)]
    assert suppressed() == sorted((hashed, "complained") for hashed in hashes)
    assert status(sent) == ("delivered", "")  # who complains has got it
    assert status(waiting)[0] == "withheld"
    assert status(stranger)[0] == "scheduled"
    assert Reminder.objects.get().status == "cancelled"
    assert remind_due(NOW + DAY) == (0, 0)


def test_unsubscribing_at_the_provider_is_unsubscribing(sent):
    waiting = make_due(sent.customer, send_at=NOW + 40 * DAY)
    hear(sent, "unsubscribed")
    assert (address_hash("li@example.com"), "unsubscribed") in suppressed()
    assert status(waiting) == ("withheld", "unsubscribed")


ORDERS = list(itertools.permutations(["delivered", "complained", "bounced"]))


@pytest.mark.parametrize("kinds", [*ORDERS[:2], *(pytest.param(order, marks=pytest.mark.slow) for order in ORDERS[2:])])
def test_in_any_order_and_however_often_the_end_is_the_same(sent, kinds):
    for kind in kinds:
        hear(sent, kind, kind)
    assert DeliveryAttempt.objects.get().receipt == "complained"
    reasons = {reason for hashed, reason in suppressed() if hashed == address_hash("li@example.com")}
    assert "complained" in reasons
    assert len(suppressed()) == len(set(suppressed()))
    make_due(sent.customer, send_at=NOW + 100 * DAY)
    assert deliver_due(NOW + 100 * DAY)[1] == 0


def test_an_event_that_comes_before_its_message_waits_for_it_and_a_strangers_is_dropped(mail_api):
    make_organisation()
    invitation = make_due()
    known_later = f"<{invitation.token}@testserver>"
    mail_api.settings.DEFAULT_FROM_EMAIL = "survey@testserver"
    note_receipts([Report(known_later, "bounced"), Report("<nobody@x>", "complained")], "mailgun", NOW)
    assert settle_receipts(NOW) == 0
    assert deliver_due(NOW) == (1, 1)
    assert settle_receipts(NOW) == 1
    assert suppressed() == [(address_hash("li@example.com"), "bounced")]
    settle_receipts(NOW + 3 * DAY)
    assert Receipt.objects.count() == 0


def test_a_soft_bounce_is_sent_again_with_the_pauses_of_a_failure(sent, mail_api):
    hear(sent, "soft")
    sent.refresh_from_db()
    assert (sent.status, sent.send_at, sent.sent_at) == ("scheduled", NOW + timedelta(minutes=1), None)
    assert deliver_due(NOW + timedelta(minutes=1)) == (1, 1)
    assert (status(sent), len(mail_api.letters)) == (("sent", ""), 2)
    hear(sent, "soft", now=NOW + timedelta(minutes=2))
    sent.refresh_from_db()
    assert sent.send_at == NOW + timedelta(minutes=7)
    assert suppressed() == []  # of one message a day counts as one
    assert deliver_due(NOW + timedelta(minutes=7)) == (1, 1)
    hear(sent, "delivered", now=NOW + timedelta(minutes=8))
    assert status(sent) == ("delivered", "")


def test_a_delay_is_the_providers_to_try_again_and_ends_with_its_word(sent, mail_api):
    hear(sent, "deferred", "deferred")
    assert (status(sent), DeliveryAttempt.objects.get().receipt) == (("sent", ""), "deferred")
    assert deliver_due(NOW + DAY) == (0, 0)
    hear(sent, "delivered", "deferred")
    assert (status(sent), DeliveryAttempt.objects.get().receipt) == (("delivered", ""), "delivered")
    assert len(mail_api.letters) == 1


@pytest.mark.parametrize(("third_after", "kinds", "expected"), [
    (6 * DAY, ("soft", "soft", "soft"), "bounced"),
    (6 * DAY, ("soft", "deferred", "soft"), "bounced"),
    (7 * DAY, ("soft", "soft", "soft"), ""),
    (6 * DAY, ("soft", "delivered", "soft"), ""),
])  # fmt: skip
def test_three_soft_ones_within_seven_days_are_for_good(mail_api, third_after, kinds, expected):
    """Three messages: they may have different owners, it is the address that counts."""
    make_organisation()
    for kind, at in zip(kinds, (NOW, NOW + 2 * DAY, NOW + third_after), strict=True):
        invitation = make_due(make_customer(email="Li@Example.com"), send_at=at)
        assert deliver_due(at)[1] == 1
        hear(invitation, kind, now=at)
        # Its next try is not what this test is about.
        Invitation.objects.filter(pk=invitation.pk, status="scheduled").update(status="cancelled", reason="inactive")
    assert [reason for _hash, reason in suppressed()] == ([expected] if expected else [])
    if expected:
        assert status(invitation) == ("failed", "bounced")


@pytest.mark.slow
def test_a_mailbox_that_stays_full_is_given_up_on_the_third_day_of_one_message(mail_api):
    make_organisation()
    invitation = make_due()
    now, days = NOW, []
    while not Suppression.objects.exists():
        assert deliver_due(now) == (1, 1)
        hear(invitation, "soft", now=now)
        days.append((now - NOW).days)
        invitation.refresh_from_db()
        now = invitation.send_at
        assert len(days) < 12
    assert days[-1] == 2
    assert status(invitation) == ("failed", "bounced")


def test_a_reminder_that_bounces_for_now_is_sent_again_and_its_invitation_is_left_alone(mail_api):
    make_organisation()
    invitation = make_due()
    invitation.rule.reminders_s = [3 * 86_400]
    invitation.rule.save()
    deliver_due(NOW)
    hear(invitation, "delivered")
    assert remind_due(NOW + 3 * DAY) == (1, 1)
    hear(invitation, "soft", now=NOW + 3 * DAY)
    reminder = Reminder.objects.get()
    assert (reminder.status, reminder.send_at) == ("scheduled", NOW + 3 * DAY + timedelta(minutes=1))
    assert remind_due(reminder.send_at) == (1, 1)
    assert (status(invitation), len(mail_api.letters)) == (("delivered", ""), 3)


@pytest.mark.django_db(transaction=True)
def test_workers_that_settle_at_once_suppress_once(mail_api):
    make_organisation()
    customers = [make_customer(email=f"c{number % 3}@example.com") for number in range(12)]
    for number, customer in enumerate(customers):
        make_due(customer, send_at=NOW + number * DAY)
        deliver_due(NOW + number * DAY)
    for attempt in DeliveryAttempt.objects.all():
        note_receipts(
            [Report(attempt.reference, kind) for kind in ("bounced", "complained", "unsubscribed")], "mailgun", NOW
        )
    assert Receipt.objects.count() == 36
    together(4, lambda _index: [settle_receipts(NOW, limit=3) for _batch in range(12)])
    while settle_receipts(NOW):
        pass
    mine = [hashed for hashed, reason in suppressed() if reason == "complained"]
    assert len({address_hash(f"c{number}@example.com") for number in range(3)} & set(mine)) == 3
    assert len(mine) == len(set(mine))


# --- Plain SMTP -------------------------------------------------------------------------------------------------------


@pytest.fixture
def smtp(settings, smtp_sink):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", smtp_sink.port
    return smtp_sink


def test_soft_refusals_of_a_mail_server_count_like_reports(smtp):
    make_organisation()
    for day in range(3):
        invitation = make_due(make_customer(email="li@example.com"), send_at=NOW + day * DAY)
        smtp.refuse["li@example.com"] = "452 4.2.2 mailbox full"
        assert suppressed() == []
        assert deliver_due(NOW + day * DAY, among=Q(pk=invitation.pk)) == (1, 0)
    assert suppressed() == [(address_hash("li@example.com"), "bounced")]
    assert status(invitation) == ("failed", "bounced")
    assert DeliveryAttempt.objects.filter(receipt="soft").count() == 3


@pytest.mark.parametrize(
    "reply",
    [
        "451 4.7.1 try later",
        "550 5.7.1 relaying denied",
        pytest.param("554 5.7.1 spam", marks=pytest.mark.slow),
        pytest.param("552 5.3.4 too large", marks=pytest.mark.slow),
    ],
)
def test_what_a_mail_server_says_of_us_never_suppresses(smtp, reply):
    make_organisation()
    invitation = make_due()
    smtp.refuse_all = reply
    for day in range(4):
        Invitation.objects.filter(pk=invitation.pk).update(send_at=NOW + day * DAY)
        assert deliver_due(NOW + day * DAY) == (1, 0)
    assert (status(invitation)[0], suppressed()) == ("scheduled", [])
    smtp.refuse_all = ""
    assert deliver_due(NOW + 5 * DAY) == (1, 1)


# --- One way out does not wait for another ----------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["pigeon://x", "twilio://AC1:t@+1555?api=http://127.0.0.1:9"])
def test_a_broken_way_for_texts_keeps_no_mail_from_leaving(settings, smtp, url):
    settings.SMS_URL = url
    make_organisation()
    texts = [make_due(make_customer(phone=f"+86138000000{n:02}"), modes=["sms"], mode="sms") for n in range(4)]
    letters = [make_due(make_customer()) for _number in range(3)]
    assert drain(lambda: NOW, limit=2) == 3
    assert len(smtp.messages) == 3
    assert {status(row)[0] for row in letters} == {"sent"}
    assert {status(row)[0] for row in texts} == {"scheduled"}


def test_a_mail_server_that_is_away_keeps_no_text_from_leaving(sms, smtp_sink):
    smtp_sink.stop()
    make_organisation()
    for number in range(4):
        make_due(make_customer())
        make_due(
            make_customer(phone=f"+86138000000{number:02}"),
            modes=["sms"],
            mode="sms",
            send_at=NOW + timedelta(seconds=1),
        )
    assert drain(lambda: NOW + timedelta(seconds=1), limit=2) == 4
    assert len(sms.texts) == 4
    smtp_sink.start()
