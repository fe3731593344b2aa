"""Ids that sort by the time they were made."""

import secrets
import threading
import time
from typing import Callable


class IdGenerator:
    """Makes ids for accounts and transfers: 48 bits of milliseconds since 1970 UTC,
    then 80 random bits; each larger than those made before by this generator. It
    may be used by several threads."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._millis = 0
        self._last = 0

    def next(self) -> int:
        """Return the next id."""
        with self._lock:
            now = int(self._now() * 1000)
            if now > self._millis:
                self._millis = now
                self._last = max(now << 80 | secrets.randbits(80), self._last + 1)
            else:
                self._last += 1
            return self._last
