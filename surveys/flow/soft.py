"""When a soft bounce is no longer one. In: the hash of an address. Out: whether it has bounced too often to be written to again.

Three within seven days. Of one message a day counts as one, however often it was tried: greylisting and a mailbox that is full for
an hour are over by then.
"""

from datetime import datetime, timedelta

from surveys.models import DeliveryAttempt, ReceiptKind

TOO_OFTEN = 3
WITHIN = timedelta(days=7)
COUNTED_ONCE = timedelta(days=1)
SOFT = (ReceiptKind.SOFT, ReceiptKind.DEFERRED)  # a delay that ends well becomes "delivered", and counts no more


def bounced_too_often(hashed: str, now: datetime) -> bool:
    """Whether the soft bounces of an address, the one that was just noted among them, are TOO_OFTEN."""
    if not hashed:
        return False
    rows = DeliveryAttempt.objects.filter(address_hash=hashed, receipt__in=SOFT, receipt_at__gt=now - WITHIN)
    counted = 0
    last: dict[tuple[int, int], datetime] = {}
    for invitation, reminder, at in rows.order_by("receipt_at", "id").values_list(
        "invitation", "reminder", "receipt_at"
    ):
        key = (invitation, reminder)
        if at is not None and (key not in last or at - last[key] >= COUNTED_ONCE):
            last[key] = at
            counted += 1
    return counted >= TOO_OFTEN
