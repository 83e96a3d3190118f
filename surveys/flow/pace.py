"""How often somebody may do something. In: who, and when. Out: yes or no. Nothing is stored beyond this process and its minute.

Each process counts for itself, so with several the limit is as many times higher. That is enough for what it is for, a page that
asks in a loop, and it neither waits for another service nor fails with it.
"""

import threading
from collections.abc import Hashable
from datetime import datetime


class Pace:
    """At most `most` times a minute for each key."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._minute = -1
        self._counts: dict[Hashable, int] = {}

    def allows(self, key: Hashable, now: datetime) -> bool:
        minute = int(now.timestamp() // 60)
        with self._lock:
            if minute != self._minute:
                self._minute = minute
                self._counts.clear()
            count = self._counts.get(key, 0) + 1
            self._counts[key] = count
        return count <= self.most
