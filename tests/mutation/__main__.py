"""`make mutate`: puts mistakes into the heart of Breakglass, one at a time, and counts those that its tests notice.

How this works: the tree is copied. `operators.py` and `heart.py` make the mutants: the code of a module with one
mistake. For each, the tests nearest to the module run in the copy, in a process of `worker.py`. A mutant that makes a
test fail or hang is killed. The others have survived: either a test is missing, or the mutant is equivalent, which
means that no test can notice it. `equivalent.toml` says why for each of these.

All mutants without a lock, a sync or a look at what others wrote are tried, and of the others a sample. The results
stay in `.cache/mutation/results.json`, so a run continues where the last one ended.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import unified_diff
from pathlib import Path
from typing import IO, NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.ast.ast_query import ASTQuery
from cosmic_ray.mutating import mutate_code

from tests.mutation.heart import MISTAKES, NEAREST, ONLY, path_of
from tests.mutation.operators import CRITICAL, NEVER_SAMPLED, OPERATORS

PROJECT = Path(__file__).parents[2]
RESULTS = PROJECT / ".cache" / "mutation" / "results.json"
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
SEED = 12
UNCHANGED_LIMIT = 600.0
"""Seconds for the tests of a module without a mutant."""
TRIES = 3
SLOWER, LEAST_LIMIT = 6.0, 60.0
"""A mutant's tests may take so many times as long as without it, and at least so many seconds."""
LEAST_KILLED = 0.9
"""The share of the tried mutants that tests must kill."""


class Mutant(NamedTuple):
    """A module with one mistake."""

    module: str
    name: str
    """The function and the changed lines: it stays the same while other parts of the module change."""
    code: str


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the copy is removed
    modules = [module for module in NEAREST if module.startswith(options.module)]
    chosen = [each for module in modules for each in make_mutants(module, options.share)]
    results: dict[str, str] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    again = "passed" if options.again else "-"
    due = [each for each in chosen if results.get(each.name, again) == again]
    print(f"{len(chosen)} mutants, {len(due)} of them to try", flush=True)
    until = time.monotonic() + options.minutes * 60
    with scratch_tree() as tree, worker(tree) as tests:
        checked = set()
        for each in due:
            if time.monotonic() > until:
                print("The time is over. The next run continues.")
                break
            if each.module not in checked:
                tests.check_unchanged(each.module)
                checked.add(each.module)
            results[each.name] = tests.try_mutant(each)
            if results[each.name] == "passed":
                print(f"survived: {each.name}", flush=True)
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            RESULTS.write_text(json.dumps(results, indent=0))
    return report(chosen, results)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutate ARGS=...", description="Mutation tests of the heart.")
    parser.add_argument("--module", default="", help="only modules whose name begins so, such as store/log")
    parser.add_argument(
        "--share", type=float, default=0.15, help="the share of the sampled mutants (default 0.15)"
    )
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="begin no mutant after this time (default 60)"
    )
    parser.add_argument("--again", action="store_true", help="try those again that survived")
    return parser.parse_args()


# --- the mutants -----------------------------------------------------------------------------------


def make_mutants(module: str, share: float) -> list[Mutant]:
    """Return the mutants of a module to try, in the order of the operators."""
    source = (PROJECT / "breakglass" / f"{module}.py").read_text()
    made = [*_mutants_by_operators(module, source, share)]
    for mistake in MISTAKES:
        if mistake.module == module:
            assert source.count(mistake.old) == 1, f"{module}: {mistake.old!r} must occur once"
            code = source.replace(mistake.old, mistake.new)
            made.append(Mutant(module, _name(module, "by hand", source, code), code))
    seen: Counter[str] = Counter()
    unique = []
    for each in made:
        seen[each.name] += 1
        number = f" #{seen[each.name]}" if seen[each.name] > 1 else ""
        unique.append(each._replace(name=each.name + number))
    return unique


def _mutants_by_operators(module: str, source: str, share: float) -> Iterator[Mutant]:
    lines, nodes = source.split("\n"), [*ast_nodes(get_ast(source))]
    for operator_class in OPERATORS:
        operator, name = operator_class(), operator_class.__name__
        if name not in ONLY.get(module, name):
            continue
        places = [(node, start[0]) for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, (node, number) in enumerate(places):
            where = ASTQuery(node).get_definition_name() or "module"
            if where == "module" and name == "NumberReplacer":
                continue  # a limit or a time that could as well be another
            same = sum(other == number for _, other in places[:occurrence])
            is_sampled = not (operator_class in NEVER_SAMPLED and CRITICAL.search(lines[number - 1]))
            # By the text of the line, so that the sample stays the same while other lines change.
            if (
                is_sampled
                and random.Random(f"{SEED} {name} {lines[number - 1].strip()} {same}").random() >= share
            ):
                continue
            code = mutate_code(source, operator_class(), occurrence)
            yield Mutant(module, _name(module, where, source, code), code)


def _name(module: str, where: str, source: str, code: str) -> str:
    changed = [
        line[0] + " ".join(line[1:].split())
        for line in unified_diff(source.split("\n"), code.split("\n"), lineterm="", n=0)
        if line[:3] not in ("---", "+++") and line[0] in "-+"
    ]
    return f"{module}.{where}: {' '.join(changed)}"


# --- running the tests -----------------------------------------------------------------------------


@contextmanager
def scratch_tree() -> Iterator[Path]:
    """Copy the code and the tests, with an environment in which the copy is installed. A runner starts with -I."""
    memory = Path("/dev/shm")  # a file system in memory, where a sync costs nothing
    with tempfile.TemporaryDirectory(
        prefix="breakglass-mutate-", dir=memory if memory.is_dir() else None
    ) as folder:
        tree = Path(folder, "tree")
        tree.mkdir()
        for name in ("breakglass", "tests"):
            shutil.copytree(PROJECT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(PROJECT / "pyproject.toml", tree)
        python = str(PROJECT / ".venv" / "bin" / "python")
        subprocess.run([python, "-m", "venv", "--without-pip", str(tree / ".venv")], check=True)
        (packages,) = (PROJECT / ".venv" / "lib").glob("python*/site-packages")
        (site,) = (tree / ".venv" / "lib").glob("python*/site-packages")
        (site / "tree.pth").write_text(
            f"{tree}\n{packages}\n"
        )  # in this order: .venv has the original installed
        yield tree


class Worker:
    """The process that runs the tests of mutants in a copied tree."""

    def __init__(self, tree: Path, process: "subprocess.Popen[str]") -> None:
        assert process.stdin and process.stdout
        self._tree = tree
        self._input: IO[str] = process.stdin
        self._output: IO[str] = process.stdout
        assert self._output.readline().startswith("ready")
        self._seconds: dict[str, float] = {}

    def try_mutant(self, mutant: Mutant) -> str:
        """Run the nearest tests with this mutant. Return `passed`, `failed` or `timeout`."""
        path = self._tree / "breakglass" / f"{mutant.module}.py"
        before = path.read_text()
        path.write_text(mutant.code)
        try:
            return self._run_tests(mutant.module, max(LEAST_LIMIT, SLOWER * self._seconds[mutant.module]))
        finally:
            path.write_text(before)

    def check_unchanged(self, module: str) -> None:
        """Exit unless the nearest tests of a module pass without a mutant, at one of three tries on a busy machine."""
        for _ in range(TRIES):
            began = time.monotonic()
            if self._run_tests(module, UNCHANGED_LIMIT) == "passed":
                break
        else:
            output = (self._tree / "output").read_text()
            sys.exit(f"the tests of {module} fail without a mutant:\n{output[-4000:]}")
        self._seconds[module] = time.monotonic() - began
        print(f"{module}: {self._seconds[module]:.1f} s without a mutant", flush=True)

    def _run_tests(self, module: str, seconds: float) -> str:
        files = [path_of(name) for name in NEAREST[module].split()]
        temporary = ["--basetemp", str(self._tree.parent / "tmp")]
        self._input.write(json.dumps([seconds, *temporary, *files]) + "\n")
        self._input.flush()
        return self._output.readline().strip()


@contextmanager
def worker(tree: Path) -> Iterator[Worker]:
    """Start the worker in namespaces of its own: a mutant can then signal no process outside."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    program = [str(tree / ".venv" / "bin" / "python"), "-m", "tests.mutation.worker"]
    environ = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(tree / "examples"),
    }
    with subprocess.Popen(
        ["unshare", *user, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *program],
        cwd=tree,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    ) as process:
        try:
            yield Worker(tree, process)
        finally:
            process.kill()


# --- the report ------------------------------------------------------------------------------------


def report(chosen: list[Mutant], results: dict[str, str]) -> int:
    """Print the score and the survivors. Return 1 if one has no reason, or if too few were killed, else 0."""
    reasons: dict[str, str] = tomllib.loads(EQUIVALENT.read_text()) if EQUIVALENT.exists() else {}
    tried = [each for each in chosen if each.name in results]
    survivors = [each for each in tried if results[each.name] == "passed"]
    for module in NEAREST:
        own = [each for each in tried if each.module == module]
        left = sum(each.module == module for each in survivors)
        if own:
            print(f"{module:16} {len(own) - left:4} of {len(own):4} killed")
    killed = len(tried) - len(survivors)
    print(f"{'together':16} {killed:4} of {len(tried):4} killed: {killed / max(1, len(tried)):.1%}")
    for each in survivors:
        print(f"survived: {each.name}\n    {reasons.get(each.name, 'WITHOUT A REASON: write a test')}")
    is_explained = all(each.name in reasons for each in survivors)
    return 0 if is_explained and killed >= LEAST_KILLED * len(tried) else 1


if __name__ == "__main__":
    sys.exit(main())
