"""Ways out to a customer: modules of one shape, which do not import each other.

A channel module that sends has:
    MODE: str                                   the mode of the answers that it brings
    address_of(customer) -> str                 where it would write to, "" for nowhere
    connect() -> Carrier                        a context manager around one connection for a batch
and its Carrier has
    send(letter: Letter) -> Outcome             hand over one message; never raises for what a carrier may say

Channels that only give an address (a link, a QR code, the widget) have no module: there is nothing to send.
"""

from collections.abc import Mapping
from types import ModuleType

from surveys.channels import email, sms

# The channels that can send today, by mode.
SENDING: Mapping[str, ModuleType] = {email.MODE: email, sms.MODE: sms}
