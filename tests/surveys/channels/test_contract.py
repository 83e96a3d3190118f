"""One contract over all channels that send, against real servers: the same shape, and the same words for what happened."""

import inspect
import pkgutil

import pytest

from cxsurvey.carriers import read_email_url
from surveys import channels
from surveys.channels import SENDING, SILENT
from surveys.flow.deliver import deliver_due
from surveys.flow.invite import invite_pending
from surveys.letters import Letter, Outcome
from surveys.models import Customer, Invitation, Mode
from tests.factories import NOW, make_customer, make_event, make_rule

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

    def take(self):
        self.sink.refuse_all = ""

    def hang_up(self):
        self.sink.stop()
        self.sink.start()

    def leave(self):
        self.sink.stop()


class Served:
    """A provider behind HTTP that does as it is told."""

    def __init__(self, server):
        self.server, self.took = server, server.answer

    def taken(self):
        return [to for to, _text in self.server.texts]

    def refuse(self, for_good):
        self.server.answer = (400, {"code": 21211 if for_good else 21606, "message": "no"}, {})

    def take(self):
        self.server.answer = self.took

    def hang_up(self):
        self.server.answer = lambda request: (*self.took(request)[:2], {"Connection": "close"})

    def leave(self):
        self.server.stop()


class Letters(Served):
    """The same, for email."""

    def taken(self):
        return self.server.letters

    def refuse(self, for_good):
        whose = "to" if for_good else "from"
        self.server.answer = (400, {"message": f"'{whose}' parameter is not a valid address"}, {})


@pytest.fixture(params=["email smtp", "email mailgun", "sms twilio"])
def channel(request, settings):
    """(module, its server)."""
    mode, carrier = request.param.split()
    give = request.getfixturevalue
    if carrier == "smtp":
        return SENDING[mode], Mail(settings, give("smtp_sink"))
    if carrier == "mailgun":
        return SENDING[mode], Letters(give("mail_api"))
    server = give("sms_server")
    settings.SMS_URL = f"twilio://AC1:t@+15551234567?api={server.url}"
    return SENDING[mode], Served(server)


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
        server.take()
        assert isinstance(outcome := carrier.send(letter(module)), Outcome)
        assert outcome.result == "sent"


def test_a_connection_that_was_lost_is_opened_anew(channel):
    module, server = channel
    with module.connect() as carrier:
        assert carrier.send(letter(module)).result == "sent"
        server.hang_up()
        outcomes = [carrier.send(letter(module)) for _number in range(3)]
    # The first one may find the old connection dead; then it is away for a moment, and no message is lost.
    assert [outcome.result for outcome in outcomes[1:]] == ["sent", "sent"]
    assert outcomes[0].result == "sent" or outcomes[0].carrier_away
    assert len(server.taken()) == 1 + sum(outcome.result == "sent" for outcome in outcomes)


def test_what_was_closed_can_be_closed_again(channel):
    module, _server = channel
    opened = module.connect()
    with opened as carrier:
        carrier.send(letter(module))
        if hasattr(carrier, "close"):
            carrier.close()
            carrier.close()
    with module.connect() as another:
        assert another.send(letter(module)).result == "sent"


@pytest.mark.parametrize("mode", CHANNELS)
def test_a_way_out_that_nobody_understands_is_away_and_says_why(settings, mode):
    carrier = read_email_url("pigeon://k@/", "https://cx.example.org")
    settings.EMAIL_BACKEND, settings.CX_EMAIL_PROBLEM = carrier.settings["EMAIL_BACKEND"], carrier.problem
    settings.SMS_URL = "pigeon://k@/"
    with SENDING[mode].connect() as found:
        outcome = found.send(letter(SENDING[mode]))
    assert (outcome.result, outcome.carrier_away) == ("temporary", True)
    assert f"{mode.upper()}_URL" in outcome.detail


# --- Modes that send nothing ------------------------------------------------------------------------------------------


def test_every_mode_either_sends_or_is_silent():
    assert set(SENDING) | set(SILENT) == set(Mode.values)
    assert not set(SENDING) & set(SILENT)
    assert {module.name for module in pkgutil.iter_modules(channels.__path__)} == set(SENDING)


@pytest.mark.django_db
@pytest.mark.parametrize("mode", SILENT)
def test_by_a_silent_mode_nobody_is_written_to(mode, smtp_sink, sms_server, settings):
    Mail(settings, smtp_sink)
    settings.SMS_URL = f"twilio://AC1:t@+15551234567?api={sms_server.url}"
    make_event(make_customer(email=ADDRESSES["email"], phone=ADDRESSES["sms"]))
    make_rule(modes=[mode])
    invite_pending(NOW)
    assert Invitation.objects.values_list("status", "reason").get() == ("withheld", "no_address")
    assert deliver_due(NOW) == (0, 0)
    assert smtp_sink.messages == sms_server.requests == []
