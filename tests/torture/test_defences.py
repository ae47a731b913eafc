"""Each defence of docs/security.md is needed: without it, a test fails.

Each mistake is bind-mounted over its module in a mount namespace of its own. So no file of the checkout changes, and a
server that a test starts has the mistake too.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.help.superuser import require_superuser
from tests.torture.defence import Mistake
from tests.torture.defences_of_data import OF_DATA
from tests.torture.defences_of_hosts import OF_HOSTS
from tests.torture.defences_of_requests import OF_REQUESTS

MISTAKES = (*OF_REQUESTS, *OF_DATA, *OF_HOSTS)
ROOT = Path(__file__).parents[2]
IN_NAMESPACE = 'mount --bind "$1" "$2"; shift 2; exec "$@"'
SECONDS = 600
"""How long one test may take without a defence. Some then wait for what never comes, and for the end of a thread."""
SECONDS_OF_ALL = 3600


def run_tests(
    *names: str, prefix: tuple[str, ...] = (), seconds: float = SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run tests in a new process, until one fails."""
    words = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin", "--tb=line"]
    return subprocess.run(
        [*prefix, sys.executable, *words, *names],
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # schemathesis takes seconds to import
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )


def rows() -> list[str]:
    """Return the promises of docs/security.md."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    table = text.partition("| promise |")[2].partition("\n\n")[0]
    return re.findall(r"^\| (.*?) \|", table, re.MULTILINE)


def module_of(mistake: Mistake) -> Path:
    """Return the module that has the text of a mistake."""
    place = ROOT / "breakglass" / mistake.where
    modules = [place] if place.suffix else sorted(place.rglob("*.py"))
    (found,) = (module for module in modules if mistake.old in module.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_mistake_fits_the_code_and_a_promise(mistake: Mistake) -> None:
    code = module_of(mistake).read_text(encoding="utf-8")
    assert code.count(mistake.old) == 1
    compile(code.replace(mistake.old, mistake.new), mistake.where, "exec")
    assert [row for row in rows() if row.startswith(mistake.promise)]


@pytest.mark.parametrize("promise", rows())
def test_each_promise_has_a_mistake(promise: str) -> None:
    assert [mistake for mistake in MISTAKES if promise.startswith(mistake.promise)]


@pytest.mark.torture
def test_with_all_defences_the_tests_pass() -> None:
    done = run_tests(
        *sorted({test for mistake in MISTAKES for test in mistake.tests}), seconds=SECONDS_OF_ALL
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.torture
@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_without_a_defence_a_test_fails(mistake: Mistake, tmp_path: Path) -> None:
    require_superuser("to replace a module in a mount namespace")
    module = module_of(mistake)
    changed = tmp_path / module.name
    changed.write_text(module.read_text(encoding="utf-8").replace(mistake.old, mistake.new))
    prefix = ("unshare", "--mount", "sh", "-euc", IN_NAMESPACE, "sh", str(changed), str(module))
    for test in mistake.tests:
        done = run_tests(test, prefix=prefix)
        assert done.returncode == 1, done.stdout  # not 2 to 5: pytest could not run the test
