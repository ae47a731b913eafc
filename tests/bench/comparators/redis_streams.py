"""Redis Streams in the place of relay and mirror, in the simplest way that keeps whole lines and their order.

    python redis_streams.py ship PORT FOLDER STREAM [--follow]
    python redis_streams.py mirror PORT FOLDER STREAM [--follow]

`ship` adds the logs below FOLDER to a stream, in pieces as those of the relay. `mirror` writes each piece to a file
below FOLDER. Neither computes a chain or a signature, and neither asks where it was. With `--follow` both go on from
what is there now: `ship` looks at the logs every millisecond.
"""

import os
import sys
import time
from collections import defaultdict
from pathlib import Path

import redis

PIECE = 256 << 10
WINDOW = 1 << 20
UNDER_WAY = 32
SYNC_SECONDS = 0.2


def pieces(path: Path, offset: int) -> list[bytes]:
    """Return the whole lines after an offset, cut as the relay does."""
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(WINDOW)
    found, begin, end = [], 0, data.rfind(b"\n") + 1
    while begin < end:
        stop = end if end - begin <= PIECE else data.rfind(b"\n", begin, begin + PIECE) + 1
        found.append(data[begin:stop])
        begin = stop
    return found


def ship(client: "redis.Redis[bytes]", folder: Path, stream: str, *, follow: bool) -> None:
    """Add all logs to the stream."""
    offsets: dict[Path, int] = defaultdict(int)
    if follow:
        offsets |= {path: path.stat().st_size for path in folder.glob("*/events.jsonl")}
    while True:
        added = 0
        for path in folder.glob("*/events.jsonl"):
            while offsets[path] < path.stat().st_size and (found := pieces(path, offsets[path])):
                for first in range(0, len(found), UNDER_WAY):
                    pipe = client.pipeline(transaction=False)
                    for each in found[first : first + UNDER_WAY]:
                        pipe.xadd(stream, {"session": path.parent.name, "data": each})
                    pipe.execute()
                offsets[path] += sum(map(len, found))
                added += 1
        if not added:
            if not follow:
                return
            time.sleep(0.001)  # the interval between two looks, which is how this design finds new lines


def mirror(client: "redis.Redis[bytes]", folder: Path, stream: str, *, follow: bool) -> None:
    """Write all pieces of the stream to files."""
    newest = client.xrevrange(stream, count=1) if follow else None
    last, files, synced = newest[0][0] if newest else "0", {}, time.monotonic()
    while found := client.xread({stream: last}, UNDER_WAY, 1000 if follow else None) or follow:
        for number, fields in found[0][1] if found is not True else ():
            name = fields[b"session"].decode()
            if name not in files:
                (folder / name).mkdir(parents=True, exist_ok=True)
                files[name] = os.open(folder / name / "events.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(files[name], fields[b"data"])
            last = number
        if time.monotonic() - synced > SYNC_SECONDS:
            synced = time.monotonic()
            for fd in files.values():
                os.fdatasync(fd)


if __name__ == "__main__":
    action, port, place, name = sys.argv[1:5]
    {"ship": ship, "mirror": mirror}[action](
        redis.Redis(port=int(port)), Path(place), name, follow="--follow" in sys.argv
    )
