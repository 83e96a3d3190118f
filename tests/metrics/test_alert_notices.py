"""A team hears of an alert in its language, with the numbers and a link to the exact view; a failing address keeps nobody waiting."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings as django_settings
from django.test import Client

from metrics.alerting.evaluate import look_at_counts, look_at_days
from metrics.alerting.notices import OF_ALERTS, TOLD_AT_ONCE, tell_teams
from metrics.models import Alert, AlertNotice, AlertRule, TeamAddress
from surveys.flow.tell import BACK_OFF, LEASE, claim, without_secrets
from surveys.models import Touchpoint
from tests.concurrency import together
from tests.factories import make_instrument, make_organisation, make_touchpoint
from tests.metrics.raw import ticket
from tests.metrics.test_alerts import DAY, MORNING, give, spoil, team, watch
from tests.smtp_sink import SmtpSink
from tests.surveys.test_warn import Listener

pytestmark = pytest.mark.django_db(transaction=True)
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


def test_an_address_may_stand_in_the_environment_alone(
    touchpoint: Touchpoint, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarm(touchpoint, "env:CX_TEST_HOOK")
    assert tell_teams(NOW) == 0
    assert TeamAddress.objects.get().last_error == "The environment of the workers has no CX_TEST_HOOK."
    monkeypatch.setenv("CX_TEST_HOOK", listener.address)
    assert tell_teams(NOW + BACK_OFF[0]) == 1
    assert len(listener.heard) == 1


def test_what_is_over_by_now_alarms_nobody(touchpoint: Touchpoint, mail: SmtpSink) -> None:
    alarm(touchpoint, "care@example.com")
    Alert.objects.update(cleared_at=NOW, cleared_why="back")
    assert tell_teams(NOW) == 0


def test_what_a_killed_worker_held_is_told_when_its_lease_is_over(touchpoint: Touchpoint, mail: SmtpSink) -> None:
    alarm(touchpoint, "care@example.com")
    claim(OF_ALERTS, NOW)  # and then nothing: killed
    assert tell_teams(NOW + LEASE - timedelta(seconds=1)) == 0
    assert tell_teams(NOW + LEASE) == 1


def test_workers_at_once_tell_each_address_once(touchpoint: Touchpoint, listener: Listener, mail: SmtpSink) -> None:
    alarm(touchpoint, listener.address, *(f"{name}@example.com" for name in "abcd"))
    together(4, lambda _index: tell_teams(NOW))
    assert sorted(recipient for recipient, _message in mail.wait_for(4)) == [f"{name}@example.com" for name in "abcd"]
    assert (len(listener.heard), AlertNotice.objects.filter(sent_at=None).count()) == (1, 0)


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
