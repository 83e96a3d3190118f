"""A team hears of an alert in its language, with the numbers and a link to the exact view; a failing address keeps nobody waiting."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings as django_settings
from django.db import IntegrityError, transaction
from django.test import Client

from metrics.alerting.evaluate import COOL_DOWN, forget_looks, look_at_counts, look_at_days
from metrics.alerting.notices import OF_ALERTS, TOLD_AT_ONCE, tell_teams
from metrics.models import Alert, AlertNotice, AlertRule, Team, TeamAddress
from surveys.flow.groups import MANAGER
from surveys.flow.tell import BACK_OFF, LEASE, claim, without_secrets
from surveys.models import Ticket, Touchpoint
from tests.concurrency import together
from tests.factories import make_instrument, make_organisation, make_touchpoint
from tests.metrics.raw import ticket
from tests.metrics.test_alert_views import text_of
from tests.metrics.test_alerts import DAY, MORNING, at, give, heard, spoil, standing, team, watch
from tests.smtp_sink import SmtpSink
from tests.surveys.admin.staff import send, sign_in_as
from tests.surveys.test_warn import Listener

pytestmark = pytest.mark.django_db
NOW = MORNING
OWN_PAGE = "/admin/touchpoints/delivery/"


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
    return make_touchpoint(
        "delivery", make_instrument("nps-x"), name={"en": "Delivery", "zh-hans": "配送"}, targets={"nps": 40}
    )


def alarm(touchpoint: Touchpoint, *addresses: str, language: str = "en", **fields: Any) -> AlertRule:
    """A rule that has fired, and a team that is to hear of it."""
    spoil(touchpoint, DAY)
    rule = watch(touchpoint, **fields)
    rule.teams.set([team(f"team-{rule.pk}", *addresses, language=language)])
    look_at_days(NOW)
    return rule


def is_wrong(page: str) -> bool:
    """The page did not understand its address."""
    return "There is no “" in page or "These are no days" in page


def link_in(text: str) -> tuple[str, dict[str, list[str]]]:
    found = re.search(r"http\S+", text)
    assert found
    parts = urlsplit(found[0])
    assert found[0].startswith(django_settings.BASE_URL)
    return parts.path, parse_qs(parts.query)


def test_a_mail_says_what_where_how_much_and_leads_to_the_exact_view(
    touchpoint: Touchpoint, mail: SmtpSink, admin_client: Client
) -> None:
    alarm(touchpoint, "care@example.com", mode="email")
    assert tell_teams(NOW) == 1
    recipient, message = mail.wait_for(1)[0]
    assert (recipient, message["Subject"].strip()) == (
        "care@example.com",
        "NPS below its target: Delivery · Email – Harbour Tea",
    )
    text = message.get_content()
    assert "−100; n = 100; 95% interval: −100 to −93; target +40" in text
    assert "12 Nov 2026 to 18 Nov 2026" in text
    path, query = link_in(text)
    wanted = {"period": "custom", "from": "2026-11-12", "to": "2026-11-18", "trend": "nps", "mode": "email"}
    assert (path, query) == ("/admin/touchpoints/delivery/", {name: [value] for name, value in wanted.items()})
    page = admin_client.get(path, wanted).content.decode()
    assert "n = 100" in page
    assert AlertNotice.objects.get().sent_at == NOW
    assert tell_teams(NOW) == 0


def test_it_is_told_in_the_teams_language(touchpoint: Touchpoint, mail: SmtpSink) -> None:
    alarm(touchpoint, "care@example.com", language="zh-hans")
    tell_teams(NOW)
    message = mail.wait_for(1)[0][1]
    assert "配送" in message["Subject"]
    assert "港湾茶" in message["Subject"]
    assert "below" not in message["Subject"]
    assert "interval" not in message.get_content()


@pytest.mark.parametrize(
    ("fields", "path", "query"),
    [
        ({"kind": "drop"}, OWN_PAGE, {"compare": ["previous"], "trend": ["nps"]}),
        ({"kind": "below_target", "target": 0, "touchpoint": None, "channel": "website"}, "/admin/", {"channel": ["website"]}),
        ({"kind": "no_answers", "longer_than_s": 86_400}, OWN_PAGE, {"from": ["2026-11-18"], "to": ["2026-11-19"]}),
        ({"kind": "open_longer", "longer_than_s": 86_400}, "/admin/surveys/ticket/", {"state": ["open"]}),
    ],
)  # fmt: skip
def test_every_kind_leads_to_a_page_that_is_there(
    touchpoint: Touchpoint,
    mail: SmtpSink,
    admin_client: Client,
    fields: dict[str, Any],
    path: str,
    query: dict[str, list[str]],
) -> None:
    give(touchpoint, DAY - timedelta(days=7), s10=100)
    spoil(touchpoint, DAY)
    ticket(touchpoint, NOW - timedelta(days=3))
    rule = watch(**{"touchpoint": touchpoint, **fields})
    AlertRule.objects.update(since=NOW - timedelta(days=9))
    rule.teams.set([team("care", "care@example.com")])
    look_at_days(NOW), look_at_counts(NOW)
    assert tell_teams(NOW) == 1
    found, asked = link_in(mail.wait_for(1)[0][1].get_content())
    assert (found, {name: asked[name] for name in query}) == (path, query)
    page = admin_client.get(found, {name: values[0] for name, values in asked.items()})
    assert (page.status_code, is_wrong(page.content.decode())) == (200, False)


def test_an_apprise_address_is_told_the_same(touchpoint: Touchpoint, listener: Listener) -> None:
    alarm(touchpoint, listener.address)
    assert tell_teams(NOW) == 1
    assert listener.heard[0]["title"] == "NPS below its target: Delivery – Harbour Tea"
    assert "target +40" in listener.heard[0]["message"]


def test_many_alerts_at_once_are_one_message(touchpoint: Touchpoint, mail: SmtpSink) -> None:
    spoil(touchpoint, DAY)
    care = team("care", "care@example.com")
    for number in range(TOLD_AT_ONCE + 2):
        watch(touchpoint, name={"en": f"Rule {number}."}).teams.set([care])
    look_at_days(NOW)
    assert tell_teams(NOW) == 1
    message = mail.wait_for(1)[0][1]
    assert message["Subject"] == f"{TOLD_AT_ONCE + 2} alerts – Harbour Tea"
    text = message.get_content()
    assert ("Rule 0." in text, f"Rule {TOLD_AT_ONCE}." in text, "… and 2 more." in text) == (True, False, True)


def test_a_failing_address_is_tried_again_is_shown_and_keeps_nobody_waiting(
    touchpoint: Touchpoint, mail: SmtpSink, listener: Listener
) -> None:
    alarm(touchpoint, listener.address, "care@example.com")
    listener.status = 500
    assert tell_teams(NOW) == 1
    assert mail.wait_for(1)[0][0] == "care@example.com"
    failing = TeamAddress.objects.get(address=listener.address)
    assert failing.last_error == "The address did not take the message."
    assert tell_teams(NOW + BACK_OFF[0] - timedelta(seconds=1)) == 0
    listener.status = 200
    assert tell_teams(NOW + BACK_OFF[0]) == 1
    failing.refresh_from_db()
    assert (failing.last_error, len(listener.heard), len(mail.messages)) == ("", 1, 1)


def test_staff_see_an_address_that_fails_until_it_is_well_again(touchpoint: Touchpoint, listener: Listener) -> None:
    """A webhook that answers 500, 500 and then 200; nobody does anything."""
    alarm(touchpoint, listener.address)
    client, care = sign_in_as(MANAGER), Team.objects.get()

    def shown() -> tuple[bool, bool, bool]:
        """On the page of alerts with its error, in the list of teams, at the team."""
        alerts, teams, one = (
            text_of(client.get(path))
            for path in ("/admin/alerts/", "/admin/metrics/team/", f"/admin/metrics/team/{care.pk}/change/")
        )
        error = "The address did not take the message."
        listed = "Addresses that could not be told" in alerts and listener.address in alerts and error in alerts
        return listed, "1 of 1 fail" in teams, error in one

    assert shown() == (False, False, False)
    listener.status = 500
    moment = NOW
    for pause in BACK_OFF[:2]:
        assert tell_teams(moment) == 0
        assert shown() == (True, True, True)
        assert tell_teams(moment + pause - timedelta(seconds=1)) == 0
        moment += pause
    listener.status = 200
    assert tell_teams(moment) == 1
    assert shown() == (False, False, False)
    assert (len(listener.heard), AlertNotice.objects.get().attempts) == (1, 3)


def test_an_address_that_is_mended_is_tried_at_once(
    touchpoint: Touchpoint, listener: Listener, django_capture_on_commit_callbacks: Any
) -> None:
    alarm(touchpoint, "env:CX_NO_SUCH_HOOK")
    AlertNotice.objects.update(attempts=4)  # its next try is eight hours away
    assert tell_teams(NOW) == 0
    assert tell_teams(NOW + timedelta(hours=1)) == 0
    team_page = f"/admin/metrics/team/{Team.objects.get().pk}/change/"
    client = sign_in_as(MANAGER)
    with django_capture_on_commit_callbacks(execute=True):
        assert send(client, team_page, slug="renamed").status_code == 302
    assert TeamAddress.objects.get().last_error
    assert tell_teams(NOW + timedelta(hours=1)) == 0
    with django_capture_on_commit_callbacks(execute=True):
        assert send(client, team_page, **{"addresses-0-address": listener.address}).status_code == 302
    assert TeamAddress.objects.get().last_error == ""
    assert tell_teams(NOW + timedelta(hours=1)) == 1
    assert len(listener.heard) == 1


def test_an_address_may_stand_in_the_environment_alone(
    touchpoint: Touchpoint, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarm(touchpoint, "env:CX_TEST_HOOK")
    assert tell_teams(NOW) == 0
    assert TeamAddress.objects.get().last_error == "The environment of the workers has no CX_TEST_HOOK."
    monkeypatch.setenv("CX_TEST_HOOK", listener.address)
    assert tell_teams(NOW + BACK_OFF[0]) == 1
    assert len(listener.heard) == 1


def test_what_a_killed_worker_held_is_told_when_its_lease_is_over(touchpoint: Touchpoint, mail: SmtpSink) -> None:
    alarm(touchpoint, "care@example.com")
    claim(OF_ALERTS, NOW)  # and then nothing: killed
    assert tell_teams(NOW + LEASE - timedelta(seconds=1)) == 0
    assert tell_teams(NOW + LEASE) == 1


def test_a_letter_that_goes_out_twice_has_one_message_id(touchpoint: Touchpoint, mail: SmtpSink, settings: Any) -> None:
    """So a mail program shows it once, whichever worker sent it; one that tells more is another letter."""
    settings.DEFAULT_FROM_EMAIL = "Care <care@tea.example>"
    alarm(touchpoint, "care@example.com")
    mail.drops = True  # taken, and never said so
    assert tell_teams(NOW) == 0
    mail.drops = False
    assert tell_teams(NOW + BACK_OFF[0]) == 1
    Alert.objects.update(cleared_at=NOW)
    AlertNotice.objects.create(
        tells="over", alert=Alert.objects.get(), address=TeamAddress.objects.get(), created_at=NOW
    )
    assert tell_teams(NOW + BACK_OFF[0]) == 1
    first, second, third = (message["Message-ID"] for _recipient, message in mail.wait_for(3))
    assert first == second != third
    assert first.endswith("@tea.example>")  # no worker's own name


@pytest.mark.django_db(transaction=True)
def test_workers_at_once_tell_each_address_once(touchpoint: Touchpoint, listener: Listener, mail: SmtpSink) -> None:
    alarm(touchpoint, listener.address, *(f"{name}@example.com" for name in "abcd"))
    together(4, lambda _index: tell_teams(NOW))
    assert sorted(recipient for recipient, _message in mail.wait_for(4)) == [f"{name}@example.com" for name in "abcd"]
    assert (len(listener.heard), AlertNotice.objects.filter(sent_at=None).count()) == (1, 0)


# --- That it is over --------------------------------------------------------------------------------------------------


def open_tickets(touchpoint: Touchpoint, *addresses: str, language: str = "en") -> AlertRule:
    """A rule on tickets that are open for an hour, and a team that is to hear of it."""
    rule = watch(touchpoint, "open_longer", longer_than_s=3600)
    rule.teams.set([team(f"team-{rule.pk}", *addresses, language=language)])
    return rule


def fire(touchpoint: Touchpoint, now: datetime, count: int = 1) -> None:
    """So many tickets are too old by now."""
    for _ in range(count):
        ticket(touchpoint, now - timedelta(hours=2))
    assert look_at_counts(now) == 1


def end(now: datetime) -> None:
    """All of them are resolved."""
    Ticket.objects.update(in_ttr=False)
    assert look_at_counts(now) == 1


def subjects(mail: SmtpSink) -> list[str]:
    """Of what came, in its order; a long one is folded on its way."""
    return [subject_of(message) for _recipient, message in mail.messages]


def subject_of(message: Any) -> str:
    return " ".join(message["Subject"].split()).removesuffix(" – Harbour Tea")


def test_who_heard_that_it_fired_hears_once_that_it_is_over(
    touchpoint: Touchpoint, mail: SmtpSink, listener: Listener, admin_client: Client
) -> None:
    rule = alarm(touchpoint, listener.address, "care@example.com", window_days=1)
    assert tell_teams(NOW) == 2
    rule.teams.set([team("later", "later@example.com")])  # who did not hear of it need not hear that it is over
    give(touchpoint, DAY + timedelta(days=1), s10=100)
    look_at_days(at(1))
    assert tell_teams(at(1)) == 2
    assert listener.heard[1]["title"] == "Over: NPS below its target: Delivery – Harbour Tea"
    recipient, message = mail.wait_for(2)[1]
    assert (recipient, subject_of(message)) == ("care@example.com", "Over: NPS below its target: Delivery")
    text = message.get_content()
    assert "Fired 19 Nov 2026, 09:00; over 20 Nov 2026, 09:00: on the right side again" in text
    assert "Now: +100; n = 100; 95% interval: +93 to +100; target +40" in text
    assert "19 Nov 2026" in text
    path, query = link_in(text)
    assert (path, query["from"], query["to"]) == (OWN_PAGE, ["2026-11-19"], ["2026-11-19"])
    assert "n = 100" in admin_client.get(path, {name: values[0] for name, values in query.items()}).content.decode()
    look_at_days(at(2)), tell_teams(at(2))
    assert (len(listener.heard), len(mail.messages)) == (2, 2)


def test_its_end_is_told_in_the_teams_language(touchpoint: Touchpoint, mail: SmtpSink) -> None:
    open_tickets(touchpoint, "care@example.com", language="zh-hans")
    fire(touchpoint, NOW), tell_teams(NOW)
    end(NOW), tell_teams(NOW)
    message = mail.wait_for(2)[1][1]
    assert subject_of(message).startswith("【已解除】")
    assert not re.search(r"[Oo]ver|Fired|Now|ticket", message["Subject"] + message.get_content().partition("http")[0])


def test_a_silence_that_is_over_tells_when_the_answer_came(touchpoint: Touchpoint, mail: SmtpSink) -> None:
    rule = watch(touchpoint, "no_answers", longer_than_s=3600)
    AlertRule.objects.update(since=NOW - timedelta(days=9))
    rule.teams.set([team("care", "care@example.com")])
    look_at_counts(NOW), tell_teams(NOW)
    heard(touchpoint, at(1))
    look_at_counts(at(1)), tell_teams(at(1))
    text = mail.wait_for(2)[1][1].get_content()
    assert "Now: newest answer 20 Nov 2026, 09:00" in text
    assert link_in(text)[1]["to"] == ["2026-11-20"]


def test_a_rule_that_is_switched_off_says_so(touchpoint: Touchpoint, mail: SmtpSink) -> None:
    open_tickets(touchpoint, "care@example.com")
    fire(touchpoint, NOW), tell_teams(NOW)
    AlertRule.objects.update(active=False)
    look_at_counts(NOW), tell_teams(NOW)
    text = mail.wait_for(2)[1][1].get_content()
    assert "was switched off" in text
    assert "When last looked at: 1 ticket" in text


def test_what_is_over_before_anybody_was_written_to_alarms_nobody(touchpoint: Touchpoint, mail: SmtpSink) -> None:
    """And so the rule has told nothing yet: when it fires again, that is news."""
    open_tickets(touchpoint, "care@example.com")
    fire(touchpoint, NOW), end(NOW)
    assert (tell_teams(NOW), Alert.objects.get().told, AlertNotice.objects.count()) == (0, False, 0)
    later = NOW + timedelta(minutes=5)
    fire(touchpoint, later)
    assert (tell_teams(later), subjects(mail)) == (1, ["1 ticket open for more than 1 h: Delivery"])


def test_an_address_that_fails_until_it_is_over_hears_both_by_one_message(
    touchpoint: Touchpoint, listener: Listener
) -> None:
    """It may have heard that it fired: a carrier that says nothing may have taken it."""
    open_tickets(touchpoint, listener.address)
    listener.status = 500
    fire(touchpoint, NOW)
    assert tell_teams(NOW) == 0
    end(NOW)
    listener.status = 200
    assert tell_teams(NOW + BACK_OFF[0] - timedelta(seconds=1)) == 0
    assert tell_teams(NOW + BACK_OFF[0]) == 1
    [told] = listener.heard
    assert told["title"].startswith("Over: ")
    assert "Fired 19 Nov 2026, 09:00; over 19 Nov 2026, 09:00: " in told["message"]
    assert TeamAddress.objects.get().last_error == ""
    assert AlertNotice.objects.count() == 2
    forget_looks(NOW + BACK_OFF[0] + timedelta(seconds=1))
    assert AlertNotice.objects.get().sent_at is not None


def test_that_it_is_over_waits_for_the_message_that_is_under_way(touchpoint: Touchpoint, mail: SmtpSink) -> None:
    open_tickets(touchpoint, "care@example.com")
    fire(touchpoint, NOW)
    claim(OF_ALERTS, NOW)  # a worker has just begun; whether it lives is not known
    end(NOW)
    assert tell_teams(NOW + LEASE - timedelta(seconds=1)) == 0
    assert tell_teams(NOW + LEASE) == 1
    assert subjects(mail) == ["Over: 1 ticket open for more than 1 h: Delivery"]


def test_one_that_flaps_tells_once_a_day_that_it_fired_unless_it_gets_worse(
    touchpoint: Touchpoint, mail: SmtpSink
) -> None:
    """It fires four times within a day; the history has all of them."""
    open_tickets(touchpoint, "care@example.com")
    for hour, count in ((0, 2), (1, 2), (2, 3), (3, 1)):
        now = NOW + timedelta(hours=hour)
        fire(touchpoint, now, count), tell_teams(now)
        end(now), tell_teams(now)
    said = "tickets open for more than 1 h: Delivery"
    assert subjects(mail) == [f"2 {said}", f"Over: 2 {said}", f"3 {said}", f"Over: 3 {said}"]
    assert list(Alert.objects.order_by("fired_at").values_list("told", flat=True)) == [True, False, True, False]
    assert standing() == []


def test_what_fires_again_within_a_day_and_stays_is_told_when_the_day_is_over(
    touchpoint: Touchpoint, mail: SmtpSink
) -> None:
    """The team was told that it is over: it must not believe so for longer than that."""
    open_tickets(touchpoint, "care@example.com")
    fire(touchpoint, NOW), tell_teams(NOW)
    end(NOW), tell_teams(NOW)
    fire(touchpoint, NOW + timedelta(hours=3))
    assert tell_teams(NOW + COOL_DOWN - timedelta(seconds=1)) == 0
    assert tell_teams(NOW + COOL_DOWN) == 1
    # A day is counted from that message on, and not from when it fired.
    end(NOW + COOL_DOWN), tell_teams(NOW + COOL_DOWN)
    fire(touchpoint, NOW + COOL_DOWN + timedelta(hours=4))
    assert tell_teams(NOW + COOL_DOWN + timedelta(hours=4)) == 0
    assert [subject[:4] for subject in subjects(mail)] == ["1 ti", "Over", "1 ti", "Over"]


def test_what_fires_and_what_is_over_are_one_message(touchpoint: Touchpoint, mail: SmtpSink) -> None:
    rule = open_tickets(touchpoint, "care@example.com")
    fire(touchpoint, NOW), tell_teams(NOW)
    silent = watch(touchpoint, "no_answers", longer_than_s=60)
    AlertRule.objects.filter(pk=silent.pk).update(since=NOW)
    silent.teams.set(rule.teams.all())
    Ticket.objects.update(in_ttr=False)
    assert look_at_counts(at(1)) == 2
    assert tell_teams(at(1)) == 1
    message = mail.wait_for(2)[1][1]
    assert subject_of(message) == "1 alert, and 1 over"
    text = message.get_content()
    assert text.index("No answers for") < text.index("Over: 1 ticket")


def test_many_that_are_over_at_once_are_one_message(touchpoint: Touchpoint, mail: SmtpSink) -> None:
    care = team("care", "care@example.com")
    for number in range(TOLD_AT_ONCE + 2):
        watch(touchpoint, "open_longer", longer_than_s=3600, name={"en": f"Rule {number}."}).teams.set([care])
    ticket(touchpoint, NOW - timedelta(hours=2))
    look_at_counts(NOW), tell_teams(NOW)
    Ticket.objects.update(in_ttr=False)
    look_at_counts(NOW)
    assert tell_teams(NOW) == 1
    message = mail.wait_for(2)[1][1]
    assert subject_of(message) == f"{TOLD_AT_ONCE + 2} alerts are over"
    assert "… and 2 more." in message.get_content()


def test_who_is_switched_off_when_it_ends_hears_nothing_of_it(touchpoint: Touchpoint, mail: SmtpSink) -> None:
    open_tickets(touchpoint, "care@example.com")
    fire(touchpoint, NOW), tell_teams(NOW)
    Team.objects.update(active=False)
    end(NOW)
    Team.objects.update(active=True)
    assert tell_teams(NOW) == 0


def test_the_database_refuses_a_second_notice_of_the_same(touchpoint: Touchpoint) -> None:
    alarm(touchpoint, "care@example.com")
    held = AlertNotice.objects.get()
    again = {"alert_id": held.alert_id, "address_id": held.address_id, "created_at": NOW}
    AlertNotice.objects.create(tells="over", **again)
    for tells in ("fired", "over"):
        with pytest.raises(IntegrityError), transaction.atomic():
            AlertNotice.objects.create(tells=tells, **again)


@pytest.mark.django_db(transaction=True)
def test_tellers_and_evaluators_at_once_tell_nobody_of_an_end_that_was_no_beginning(
    touchpoint: Touchpoint, mail: SmtpSink
) -> None:
    """Whichever comes first: a message that it fired and one that it is over, or none at all."""
    addresses = [f"{number}@example.com" for number in range(8)]
    open_tickets(touchpoint, *addresses)
    fire(touchpoint, NOW)
    Ticket.objects.update(in_ttr=False)
    together(5, lambda index: tell_teams(NOW) if index else look_at_counts(NOW))
    for minutes in (0, 5):
        tell_teams(NOW + timedelta(minutes=minutes))
    of: dict[str, list[str]] = {}
    for recipient, message in mail.messages:
        of.setdefault(recipient, []).append(subject_of(message)[:4])
    assert all(told == ["1 ti", "Over"] for told in of.values()), of
    assert standing() == []


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("care@example.com", "care@example.com"),
        ("env:CX_HOOK", "env:CX_HOOK"),
        ("json://user:pass-word@hooks.example.com/path-of-it", "json://user:****@hooks.example.com/path-of-it"),
        ("slack://TokenAAAA1/TokenBBBB2/TokenCCCCCCCCCCCCCCCCCCCCC3/#care", None),
        ("nonsense://secret", "nonsense://…"),
    ],
)
def test_secrets_of_an_address_are_left_out(address: str, shown: str | None) -> None:
    told = without_secrets(TeamAddress(address=address))
    if shown is not None:
        assert told == shown
    assert not any(secret in told for secret in ("pass-word", "TokenAAAA1", "CCCCCC"))
