"""What recording a request costs beside the request itself, and the memory of a load process.

Promised: below 2 µs of CPU, and below 3 % of a request of Locust's fast client; memory that does
not grow from 10⁵ to 10⁷ recorded requests.

The cost of recording is that of the record itself (packed, buffered and written out), as in
`histogram.py`. Beside it stands all that the harness does for a request of `self.client`: its
stamp before and Locust's event handled after. The request is one of a plain FastHttpUser to
nginx on the other core, in processor time of the user's process.

Memory is that of a real load process in a closed loop whose locustfile reports requests as fast
as it can without sending any, which takes two minutes for 10⁷ where sending takes twenty.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from _nginx import serving
from _tools import Missing

from harness.load.locust import LocustLoad
from harness.load.records import file_of
from harness.model import LoadSpec
from harness.samples import RECORD

HERE = Path(__file__).parent
FEW = 10**5
PATIENCE_S = 600
MEASURE = HERE / "_recording_in_locust.py"


def costs_us(url: str) -> tuple[float, float, float]:
    """Microseconds for a record, for all that is done for a request, and for a request."""
    done = subprocess.run(
        [sys.executable, str(MEASURE), url],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    record, handled, request = (float(word) for word in done.stdout.split())
    return record, handled, request


def memory_mib(most: int) -> tuple[float, float]:
    """Resident memory of a load process once it has recorded few and many requests."""
    spec = LoadSpec(
        profile="_recording_only.py",
        http=(),
        service=None,
        arrivals=None,
        users=1,
        timeout_s=5,
        max_in_flight=1,
    )
    found = []
    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder) / "samples"
        load = LocustLoad(spec, HERE, samples, seed=1)
        load.start("http://127.0.0.1:9")
        try:
            (child,) = psutil.Process().children()
            patience = time.monotonic() + PATIENCE_S
            for count in (FEW, most):
                while file_of(samples, "bin").stat().st_size < count * RECORD.itemsize:
                    if time.monotonic() > patience:
                        raise RuntimeError(f"not {count:,} records in {PATIENCE_S} s")
                    time.sleep(0.02)
                found.append(child.memory_info().rss / 2**20)
        finally:
            load.stop()
    return found[0], found[1]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--most", type=int, default=10**7)
    asked = options.parse_args()
    print(f"Load of the machine: {os.getloadavg()[0]:.1f}")
    kept = []
    try:
        with serving() as nginx:
            record, handled, request = costs_us(nginx.url)
    except Missing as why:
        print(f"the cost of a request was not measured: {why}")
        return 1
    print(f"one record:                         {record:>8.2f} µs  {record / request:>6.2%}")
    print(f"all that is done for a request:     {handled:>8.2f} µs  {handled / request:>6.2%}")
    print(f"a request of a plain FastHttpUser:  {request:>8.2f} µs")
    kept.append(("recorded within 2 µs", record < 2))
    kept.append(("within 3 % of a request", record / request < 0.03))
    few, many = memory_mib(asked.most)
    print(f"memory at {FEW:,} / {asked.most:,} requests: {few:.1f} / {many:.1f} MiB")
    kept.append(("memory is flat", many < few + 5))
    for promise, held in kept:
        print(f"{promise}: {'kept' if held else 'BROKEN'}")
    return 0 if all(held for _, held in kept) else 1


if __name__ == "__main__":
    sys.exit(main())
