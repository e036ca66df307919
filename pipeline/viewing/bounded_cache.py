"""A cache of encoded pictures with a limit on their size in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable


class BoundedCache:
    """Keeps the contents that were used last, up to a number of bytes.

    Args:
        limit: largest sum of the sizes of all contents, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.size = limit, 0
        self._contents: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """Return the content of a key; it is made if it is not there."""
        with self._lock:
            if key in self._contents:
                self._contents.move_to_end(key)
                return self._contents[key]
        content = make()
        with self._lock:
            self.size += len(content) - len(self._contents.pop(key, b""))
            self._contents[key] = content
            while self.size > self.limit:
                self.size -= len(self._contents.popitem(last=False)[1])
        return content
