"""A program that logs in as `claude auth login` does: an address, a prompt without a newline, a code on standard input.

`fake_login.py auth login` accepts the code that begins with `right` and prints it, which no log may show. `auth status`
says whether a login succeeded: the file `logged-in` is beside the one that FAKE_LOGIN names.
"""

import os
import sys
from pathlib import Path

LOGGED_IN = Path(os.environ["FAKE_LOGIN"], "logged-in")


def main() -> int:
    """Log in, or print the status. Return the exit status."""
    if sys.argv[1:3] == ["auth", "status"]:
        print('{"loggedIn": %s}' % ("true" if LOGGED_IN.exists() else "false"))
        return not LOGGED_IN.exists()
    print(
        "Opening browser to sign in…\nIf the browser didn't open, visit:\nhttps://login.example/authorize?z-fI0fH"
    )
    for _ in range(2):
        print("Paste code here if prompted > ", end="", flush=True)
        code = sys.stdin.readline().strip()
        print(f"got {code}", flush=True)
        if code.startswith("right"):
            LOGGED_IN.touch()
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
