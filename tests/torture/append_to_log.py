"""A program that appends to the log of the session directory in its argument, for tests that kill it.

It prints the number of each event once the append has returned, and `done` at the end.
"""

import sys

from breakglass.store import log

with log.open_log(sys.argv[1]) as opened:
    opened.reserve_space()
    for title in "abcd":
        print(opened.append("renamed", title=title, by="ann"), title, flush=True)
        print(opened.append("archived", archived=True, by="ann"), flush=True)
    opened.sync()
print("done")
