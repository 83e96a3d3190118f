"""One contract over all channels that send, against real servers: the same shape, and the same words for what happened."""

import inspect

import pytest

from surveys import channels
from surveys.channels import SENDING
from surveys.letters import Letter, Outcome
from surveys.models import Customer

CHANNELS = sorted(SENDING)
ADDRESSES = {"email": "li@example.com", "sms": "+8613800000000"}


class Mail:
    """A mail server that does as it is told."""

    def __init__(self, settings, sink):
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", sink.port, 5
        self.sink = sink

    def taken(self):
        return [to for to, _message in self.sink.messages]

    def refuse(self, for_good):
        self.sink.refuse_all = "550 5.1.1 no such user" if for_good else "451 4.7.1 try later"

    def leave(self):
        self.sink.stop()


class Texts:
    """An SMS provider that does as it is told."""

    def __init__(self, settings, server):
        settings.SMS_URL = f"twilio://AC1:t@+15551234567?api={server.url}"
        self.server = server

    def taken(self):
        return [to for to, _text in self.server.texts]

    def refuse(self, for_good):
        code = 21211 if for_good else 21606
        self.server.answer = (400, {"code": code, "message": "no"}, {})

    def leave(self):
        self.server.stop()


@pytest.fixture(params=CHANNELS)
def channel(request, settings, smtp_sink, sms_server):
    """(module, its server)."""
    servers = {"email": lambda: Mail(settings, smtp_sink), "sms": lambda: Texts(settings, sms_server)}
    return SENDING[request.param], servers[request.param]()


def letter(module, text="How was it? “好” https://cx.example.org/s/abc/"):
    return Letter(ADDRESSES[module.MODE], "How was it?", text, "<p>How was it?</p>", "<abc@cx.example.org>")


@pytest.mark.parametrize("mode", CHANNELS)
def test_a_channel_has_the_shape(mode):
    module = SENDING[mode]
    assert mode == module.MODE
    assert module.__name__ == f"{channels.__name__}.{mode}"
    assert module.__doc__
    assert list(inspect.signature(module.address_of).parameters) == ["customer"]
    assert inspect.signature(module.connect).parameters == {}
    assert module.address_of(Customer()) == ""
    assert module.address_of(Customer(email=ADDRESSES["email"], phone=ADDRESSES["sms"])) == ADDRESSES[mode]


def test_a_message_that_is_taken_is_sent(channel):
    module, server = channel
    with module.connect() as carrier:
        outcomes = [carrier.send(letter(module)) for _number in range(3)]
    assert {outcome.result for outcome in outcomes} == {"sent"}
    assert server.taken() == [ADDRESSES[module.MODE]] * 3


@pytest.mark.parametrize(("for_good", "result"), [(True, "permanent"), (False, "temporary")])
def test_a_refusal_is_permanent_where_it_speaks_of_the_address(channel, for_good, result):
    module, server = channel
    server.refuse(for_good)
    with module.connect() as carrier:
        outcome = carrier.send(letter(module))
    assert (outcome.result, outcome.carrier_away, outcome.reference) == (result, False, "")
    assert 0 < len(outcome.detail) <= 500
    assert server.taken() == ([] if module.MODE == "email" else [ADDRESSES["sms"]])


def test_a_carrier_that_is_gone_is_away_and_nothing_is_raised(channel):
    module, server = channel
    server.leave()
    with module.connect() as carrier:
        outcome = carrier.send(letter(module))
    assert (outcome.result, outcome.carrier_away) == ("temporary", True)


def test_a_carrier_that_comes_back_is_used_again(channel):
    module, server = channel
    with module.connect() as carrier:
        server.refuse(False)
        assert carrier.send(letter(module)).result == "temporary"
        if module.MODE == "email":
            server.sink.refuse_all = ""
        else:
            server.server.as_twilio()
        assert isinstance(outcome := carrier.send(letter(module)), Outcome)
        assert outcome.result == "sent"
