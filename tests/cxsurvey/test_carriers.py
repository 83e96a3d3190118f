import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import anymail.backends
import pytest
from django.core.mail import get_connection

from cxsurvey.carriers import OTHER_NAMES, PROVIDERS, read_email_url, read_rate

BASE_URL = "https://cx.example.org"
KEYS = {
    "amazon_ses": "ID:SECRET@/?region=eu-west-1",
    "mailjet": "KEY:SECRET@/",
    "postal": "KEY@/?api_url=https://postal.example.com",
    "scaleway": "KEY@/?project_id=p1",
    "unisender_go": "KEY@/?api_url=https://go1.unisender.ru/ru/transactional/api/v1/",
}


def read(url):
    return read_email_url(url, BASE_URL)


def test_every_provider_of_anymail_has_its_form():
    shipped = {module.name for module in pkgutil.iter_modules(anymail.backends.__path__)}
    assert shipped - {"base", "base_requests", "console", "test"} == PROVIDERS.keys() | (
        {"sendinblue"} & OTHER_NAMES.keys()
    )


@pytest.mark.filterwarnings("ignore:django-anymail has dropped")
@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_anymail_takes_what_is_read(settings, name):
    """Its own backend is built from it: it refuses where a setting is missing or misspelt."""
    carrier = read(f"{name}://{KEYS.get(name, 'KEY@/')}")
    assert (carrier.problem, carrier.provider) == ("", name)
    for setting, value in carrier.settings.items():
        setattr(settings, setting, value)
    if name == "amazon_ses":
        pytest.importorskip("boto3")
    backend = get_connection(carrier.settings["EMAIL_BACKEND"])
    assert "KEY" in vars(backend).values()
    assert backend.timeout == (15, 15)
    watching = {"track_opens": False, "track_clicks": False}
    assert backend.send_defaults == (watching if PROVIDERS[name].may_track else {})


def test_a_url_is_read_into_anymails_settings():
    carrier = read("mailgun://key-1%2F2@/?sender_domain=mg.example.com&webhook_secret=s3cret")
    assert carrier.settings["EMAIL_BACKEND"] == "anymail.backends.mailgun.EmailBackend"
    given = carrier.settings["ANYMAIL"]
    assert given["MAILGUN_API_KEY"] == "key-1/2"
    assert given["MAILGUN_SENDER_DOMAIN"] == "mg.example.com"
    assert given["WEBHOOK_SECRET"] == "cxsurvey:s3cret"
    assert read("postmark://T@/?webhook_secret=me:s3cret").settings["ANYMAIL"]["WEBHOOK_SECRET"] == "me:s3cret"


def test_amazon_takes_two_keys_or_none():
    given = read("ses://ID:SE%2FCRET@/?region=eu-west-1").settings["ANYMAIL"]["AMAZON_SES_CLIENT_PARAMS"]
    assert (given["aws_access_key_id"], given["aws_secret_access_key"]) == ("ID", "SE/CRET")
    assert given["region_name"] == "eu-west-1"
    assert "aws_access_key_id" not in read("ses://?region=eu-west-1").settings["ANYMAIL"]["AMAZON_SES_CLIENT_PARAMS"]


@pytest.mark.parametrize(
    ("url", "is_heard"),
    [
        ("postmark://T@/", False), ("postmark://T@/?webhook_secret=x", True), ("mailgun://K@/", True),
        ("mandrill://K@/?webhook_secret=x", False), ("mandrill://K@/?webhook_key=x", True),
        ("scaleway://K@/?project_id=p&webhook_secret=x", False), ("resend://K@/?signing_secret=whsec_x", True),
    ],
)  # fmt: skip
def test_a_provider_is_heard_only_where_its_webhooks_can_be_told_from_forged_ones(url, is_heard):
    assert read(url).is_heard is is_heard


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mailgun", "EMAIL_URL is"),
        ("pigeon://k@/", "names pigeon, which nobody here knows. Known: smtp"),
        ("mailgun://@/", "mailgun lacks its key: mailgun://API_KEY@/"),
        ("mailgun://k", "only the key stands before the query"),
        ("mailgun://k@mg.example.com/", "only the key stands before the query"),
        ("mailgun://a/b@/", "/ in it is %2F"),
        ("mailjet://k@/", "mailjet lacks its key: mailjet://API_KEY:SECRET_KEY@/"),
        ("mailgun://k@/?domain=x", "names unknown here: domain. Known: api_url, sender_domain"),
        ("mailgun://k@/?sender_domain=", "lacks sender_domain"),
        ("scaleway://k@/", "lacks project_id"),
        ("postal://k@/", "lacks api_url"),
        ("postal://k@/?api_url=postal.example.com", "is no address"),
        ("ses://ID@/", "lacks a part of its key"),
        ("smtp://", "names no mail server"),
        ("smtp+tls://user:pa/ss@mail.example.com:587", "has a port that is none"),
        ("smtp://[::1", "Invalid IPv6"),
    ],
)
def test_what_nobody_understands_is_a_problem_and_mail_waits(settings, url, words):
    carrier = read(url)
    assert words in carrier.problem
    settings.CX_EMAIL_PROBLEM = carrier.problem
    backend = get_connection(carrier.settings["EMAIL_BACKEND"])
    with pytest.raises(OSError, match=r"EMAIL_URL|Invalid"):
        backend.open()


@pytest.mark.parametrize(
    ("url", "port", "tls", "ssl"),
    [
        ("smtp://mail.example.com", 25, None, None), ("smtp+tls://u:p%40@mail.example.com", 587, True, None),
        ("smtps://u:p@mail.example.com", 465, None, True), ("smtps://mail.example.com:1465", 1465, None, True),
    ],
)  # fmt: skip
def test_smtp_is_read_as_ever(url, port, tls, ssl):
    found = read(url).settings
    assert (found["EMAIL_HOST"], found["EMAIL_PORT"], found["EMAIL_TIMEOUT"]) == ("mail.example.com", port, 15)
    assert (found.get("EMAIL_USE_TLS"), found.get("EMAIL_USE_SSL")) == (tls, ssl)


def test_without_a_url_letters_stay_in_the_mailbox():
    assert read("").settings == {"EMAIL_BACKEND": "surveys.mailbox.MailboxBackend"}


@pytest.mark.parametrize(("text", "rate"), [("", 0), ("10", 10), ("0.5", 0.5)])
def test_a_rate_is_messages_per_second(text, rate):
    assert read_rate("EMAIL_RATE", text) == (rate, "")


@pytest.mark.parametrize("text", ["0", "-1", "fast", "1e9", "10/s"])
def test_another_rate_is_a_problem(text):
    assert "EMAIL_RATE is a number" in read_rate("EMAIL_RATE", text)[1]


@pytest.mark.slow
def test_a_command_says_what_is_wrong(tmp_path):
    environment = os.environ | {"EMAIL_URL": "pigeon://k@/", "SMS_URL": "carrier://x", "CX_DATA_DIR": str(tmp_path)}
    root = Path(__file__).resolve().parents[2]
    ran = subprocess.run(
        [sys.executable, "manage.py", "check"], env=environment, cwd=root, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 1
    for words in ("names pigeon, which nobody here knows", "SMS_URL begins with twilio:// or file://"):
        assert words in ran.stderr
