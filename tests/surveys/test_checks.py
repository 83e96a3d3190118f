"""What is wrong with the ways out is said at start."""

import pytest
from django.core.checks import run_checks

from cxsurvey.carriers import read_email_url
from cxsurvey.embedded import ServicesError
from cxsurvey.server import refuse_carriers


@pytest.fixture
def use(settings):
    def apply(url):
        carrier = read_email_url(url, "https://cx.example.org")
        settings.CX_EMAIL_PROVIDER, settings.CX_EMAIL_PROBLEM = carrier.provider, carrier.problem
        settings.CX_EMAIL_IS_HEARD = carrier.is_heard
        for name, value in carrier.settings.items():
            setattr(settings, name, value)

    return apply


def said():
    return [(message.id, message.is_serious()) for message in run_checks(tags=["carriers"])]


@pytest.mark.parametrize("url", ["", "smtp://mail.example.com", "mailgun://k@/", "postmark://t@/?webhook_secret=s"])
def test_nothing_is_said_where_all_is_well(use, url):
    use(url)
    assert said() == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("pigeon://k@/", ("cxsurvey.E001", True)),
        ("postmark://t@/", ("cxsurvey.W001", False)),
        ("sendgrid://k@/?tracking_webhook_verification_key=nonsense", ("cxsurvey.E002", True)),
    ],
)
@pytest.mark.filterwarnings("ignore:django-anymail has dropped")
def test_what_is_wrong_with_email_url_is_said(use, url, expected):
    use(url)
    assert said() == [expected]


@pytest.mark.parametrize("url", ["twilio://AC1@+1555", "pigeon://x", "file:///no/such/file.yaml", "twilio://["])
def test_what_is_wrong_with_sms_url_is_said(settings, url):
    settings.SMS_URL = url
    assert said() == [("cxsurvey.E003", True)]


def test_a_server_does_not_start_and_says_why(use, settings, capsys):
    use("postmark://t@/")
    refuse_carriers()
    assert "Bounces and complaints are not heard of" in capsys.readouterr().out
    settings.SMS_URL = "pigeon://x"
    settings.CX_RATE_PROBLEMS = ["SMS_RATE is a number of messages per second, such as 10 or 0.5."]
    with pytest.raises(ServicesError, match=r"SMS_RATE is a number(.|\n)*SMS_URL begins"):
        refuse_carriers()


@pytest.mark.parametrize(
    "address", ["unsubscribe", "a@example.com, b@example.com", "Tea <a@example.com>", "mailto:a@example.com?x="]
)
def test_the_address_for_unsubscribing_is_one_address(settings, address):
    settings.UNSUBSCRIBE_MAILTO = address
    assert said() == [("cxsurvey.E005", True)]
    settings.UNSUBSCRIBE_MAILTO = "unsubscribe@example.com"
    assert said() == []
