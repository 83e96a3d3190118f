"""Ways out to a customer: modules of one shape, which do not import each other.

A channel module that sends has:
    MODE: str                                   the mode of the answers that it brings
    address_of(customer) -> str                 where it would write to, "" for nowhere
    connect() -> Carrier                        a context manager around one connection for a batch; never raises: a way
                                                out that is wrongly described, or broken, is a carrier that is away
and its Carrier has
    send(letter: Letter) -> Outcome             hand over one message; never raises for what a carrier may say, and opens
                                                anew what was lost

The other modes (SILENT) have no module: there is nothing to send.
"""

from collections.abc import Mapping
from types import ModuleType

from surveys.channels import email, sms

# The channels that can send today, by mode.
SENDING: Mapping[str, ModuleType] = {email.MODE: email, sms.MODE: sms}

# Modes that only give an address (a link, a code, a page) or bring answers: nobody is written to by them, not even for show.
SILENT = ("web", "link", "qr", "kiosk", "app", "ivr", "import")
