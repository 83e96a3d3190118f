"""What managers see of texts: a rule's own in each language with its size and price, and what customers text back."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from surveys.models import InboundText, Instrument
from tests.factories import NOW, make_invitation, make_organisation, make_rule, make_touchpoint
from tests.surveys.admin.people import READS, list_url, page_url, sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def manager(settings):
    settings.SMS_URL = "twilio://AC1:t@+15551234567"
    settings.BASE_URL = "https://cx.example.org"
    make_organisation()
    client = Client()
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    return client


def rule(modes):
    touchpoint = make_touchpoint(
        instrument=Instrument.objects.get(slug="nps"), name={"en": "Delivery", "zh-hans": "配送"}
    )
    return make_rule(touchpoint, modes=modes)


def test_a_rules_page_shows_its_text_in_each_language_with_segments_and_price(manager, settings):
    settings.SMS_PRICE = "0.0079 USD"
    shown = manager.get(page_url(rule(["email", "sms"]))).content.decode()
    assert "Reply with a number: 0 = Not at all likely, 10 = Extremely likely." in shown
    assert "请回复数字：0 = " in shown
    assert re.search(r"GSM-7, 2\d\d characters, 2 segments · 15.80 USD per 1,000 messages", shown)
    assert "UCS-2, " in shown


def test_without_a_price_there_is_none_and_without_sms_no_text(manager):
    assert "per 1,000 messages" not in manager.get(page_url(rule(["sms"]))).content.decode()
    assert "sms-previews" not in manager.get(page_url(rule(["email"]))).content.decode()


def test_texts_stand_with_what_was_made_of_them_for_those_who_may_see_people():
    make_organisation()
    row = InboundText.objects.create(
        provider="twilio", message_id="S1", phone="+8613800000000", text="9 <b>很好</b>", meaning="score", reply="Thank you!",
        received_at=NOW, replied_at=NOW, invitation=make_invitation(mode="sms"),
    )  # fmt: skip
    reader = sign_in(*READS, "view_inboundtext")
    shown = reader.get(list_url(InboundText)).content.decode()
    assert "9 &lt;b&gt;很好" in shown
    assert "Reply sent" in shown
    page = reader.get(page_url(row)).content.decode()
    assert "Thank you!" in page
    assert "<b>很好" not in page
    assert sign_in("view_inboundtext").get(list_url(InboundText)).status_code == 403
