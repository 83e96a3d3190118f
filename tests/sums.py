"""What must be true after every fault: all that was due is somewhere, once, and whoever was written to knows it by one Message-ID.

In: a stack, whose customers' names begin with a prefix, and what arrived at the carrier. Out: nothing, or an AssertionError.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from tests.sms_server import SmsServer
from tests.smtp_sink import SmtpSink
from tests.stack import Stack, until

_ROWS = """
SELECT i.id, i.status, i.reason, i.mode, i.lease_until IS NOT NULL, i.token, c.email, c.phone,
    (SELECT count(*) FROM surveys_deliveryattempt a WHERE a.invitation_id = i.id AND a.result = 'sent')
FROM surveys_invitation i JOIN surveys_customer c ON c.id = i.customer_id WHERE c.external_id LIKE %s
"""
_WAITING = """
SELECT (SELECT count(*) FROM surveys_interactionevent e JOIN surveys_customer c ON c.id = e.customer_id
        WHERE c.external_id LIKE %s AND NOT e.decided)
     + (SELECT count(*) FROM surveys_invitation i JOIN surveys_customer c ON c.id = i.customer_id
        WHERE c.external_id LIKE %s AND i.status = 'scheduled')
"""
_HASTEN = """
UPDATE surveys_invitation i SET send_at = least(send_at, now()), lease_until = CASE WHEN %s THEN NULL ELSE lease_until END
FROM surveys_customer c WHERE c.id = i.customer_id AND c.external_id LIKE %s AND i.status = 'scheduled'
"""


def like(prefix: str) -> str:
    return f"{prefix}-%"


def hasten(stack: Stack, prefix: str, *, leases: bool = False) -> None:
    """What minutes would do: back-offs pass, and `leases` of workers that died run out. Those of living ones must not be broken."""
    stack.query(_HASTEN, leases, like(prefix))


def await_nothing_waits(stack: Stack, prefix: str, timeout: float = 60) -> None:
    """Until each event is decided on, and each invitation sent or refused for good."""
    left = lambda: stack.query(_WAITING, like(prefix), like(prefix))[0][0]  # noqa: E731
    until(lambda: left() == 0, timeout, lambda: f"{left()} still wait")


def letters(sink: SmtpSink) -> dict[str, list[str]]:
    """The Message-IDs of what came, by recipient."""
    found: dict[str, list[str]] = defaultdict(list)
    for recipient, message in list(sink.messages):
        found[recipient].append(str(message["Message-ID"]))
    return found


def texts(server: SmsServer) -> dict[str, list[str]]:
    """What came, by number: a text has no id, but each has a link of its own in it."""
    found: dict[str, list[str]] = defaultdict(list)
    for number, text in server.texts:
        found[number].append(text)
    return found


def assert_sums(
    stack: Stack,
    prefix: str,
    statuses: Mapping[str, int],
    arrived: Mapping[str, list[str]],
    *,
    twice: int = 0,
    unsaid: Iterable[str] = (),
) -> int:
    """Rows by status are these; each that was sent arrived once, at most `twice` of them twice and then as the same message.

    How many did come twice. `unsaid`: the statuses of those of which nobody knows whether they arrived; no other arrived.
    """
    rows = stack.query(_ROWS, like(prefix))
    assert Counter(status for _id, status, *_rest in rows) == Counter(statuses)
    again = 0
    for _id, status, reason, mode, leased, token, email, phone, accepted in rows:
        came = arrived.get(phone if mode == "sms" else email, [])
        assert not leased, f"{status} and still leased"
        assert len(set(came)) <= 1, f"two different messages to one customer: {came}"
        assert all(token in message for message in came)
        assert len(came) <= 2, f"{len(came)} times to one customer"
        if status == "sent":
            assert (bool(came), accepted, reason) == (True, 1, ""), f"{email}: came {came}, accepted {accepted} times"
        elif status not in unsaid:
            assert (came, accepted) == ([], 0)
            assert reason
        again += len(came) == 2
    assert again <= twice, f"{again} went out twice"
    assert stack.manage("verify_rollups").strip().endswith("0 differences")
    return again
