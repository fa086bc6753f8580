"""The process that checks and repairs geometries which may take forever, or all memory: `python -m` this module.

It ends itself: the kernel kills it when the processor time for a geometry is used up, whatever GEOS is doing, and
whether or not the process that asked still lives. A request is REQUEST and the WKB; an answer is ANSWER and its
payload; after INVALID comes another one.
"""

import resource
import signal
import struct
import sys
from collections.abc import Iterator

import shapely

# Seconds of processor time for it, and its bytes.
REQUEST = struct.Struct("<dQ")
# Which answer, and the bytes of its payload.
ANSWER = struct.Struct("<cQ")
VALID, INVALID, REPAIRED, FAILED = b"V", b"I", b"R", b"F"
# A polygon whose 1,000 edges all cross each other takes 1 GB, an honest one of a million vertices a third of that.
MOST_MEMORY = 768 << 20


def main() -> None:
    """Answer requests until the input ends."""
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while head := requests.read(REQUEST.size):
        seconds, size = REQUEST.unpack(head)
        wkb = requests.read(size)
        # Not the time on the clock: what is too complex must not depend on what else the machine does.
        signal.setitimer(signal.ITIMER_PROF, seconds)
        for kind, payload in examined(wkb):
            answers.write(ANSWER.pack(kind, len(payload)) + payload)
            answers.flush()
        signal.setitimer(signal.ITIMER_PROF, 0)


def examined(wkb: bytes) -> Iterator[tuple[bytes, bytes]]:
    """VALID; or INVALID with GEOS's reason, then REPAIRED with the WKB or FAILED. Out of memory ends the process."""
    geometry = shapely.from_wkb(wkb)
    reason = shapely.is_valid_reason(geometry)
    if reason == "Valid Geometry":
        yield VALID, b""
        return
    yield INVALID, reason.encode()
    try:
        yield REPAIRED, shapely.to_wkb(shapely.make_valid(geometry, method="structure", keep_collapsed=False))
    except shapely.GEOSException as error:
        if "bad_alloc" in str(error):
            raise
        yield FAILED, b""


if __name__ == "__main__":
    main()
