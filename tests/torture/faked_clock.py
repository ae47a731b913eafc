"""`breakglass`, started with a library that fakes its clock. Its runners load the library too.

A runner gets only known variables from the process that starts it, and `LD_PRELOAD` is none of them.
"""

import os
import sys
from typing import Any

from breakglass import cli
from breakglass.agents import environ

VARIABLES = ("LD_PRELOAD", "FAKETIME_TIMESTAMP_FILE", "FAKETIME_NO_CACHE", "FAKETIME_DONT_FAKE_MONOTONIC")

original = environ.environment


def with_library(*given: Any) -> dict[str, str]:
    """Return the environment of a runner or an agent, with the variables of the library."""
    return original(*given) | {name: os.environ[name] for name in VARIABLES}


environ.environment = with_library

if __name__ == "__main__":
    sys.exit(cli.main())
