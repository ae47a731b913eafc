"""The bench's command line. Exits with 1 if our server failed. A failure of another server is only printed."""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path

from tests.bench import adapters, machine, report, short, workloads
from tests.bench.bench import QUICK, Bench, Sizes, ours_failed, report_progress, scratch
from tests.bench.environment import CACHE, ROOT
from tests.bench.results import Results


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen workloads, and write the results and, unless quick, the page. Return the exit status."""
    options = _parser().parse_args(arguments)
    machine.raise_limits()
    sizes = QUICK if options.quick else short.SHORT if options.short else Sizes()
    sizes = sizes._replace(rounds=options.rounds or sizes.rounds)
    kind = "quick" if options.quick else "short" if options.short else "results"
    results = Results(Path(options.results or CACHE / f"{kind}.json"))
    for name in options.only or (short.WORKLOADS if options.short else workloads.ALL):
        began = time.monotonic()
        if options.short:
            sizes = short.SHORT._replace(rounds=sizes.rounds, **short.CHANGED.get(name, {}))
        servers = options.servers or (short.servers_of(name) if options.short else list(adapters.ALL))
        with scratch() as folder:
            samples = list(workloads.ALL[name].run(Bench(sizes, servers, folder)))
        results.put(name, samples, sizes)
        report_progress(f"{name}: {len(samples)} samples in {time.monotonic() - began:.0f} s")
    if options.short:
        print("\n".join(short.lines(results)))
    page = options.page or (None if options.quick or options.short else ROOT / "docs" / "performance.md")
    if page:
        report.write(results, Path(page))
    return 1 if ours_failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="measure several servers side by side"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, which show that everything runs, not how fast"
    )
    parser.add_argument(
        "--short", action="store_true", help="some minutes; prints ratios, and writes no page"
    )
    parser.add_argument("--only", type=_names(workloads.ALL), help=", ".join(workloads.ALL))
    parser.add_argument("--servers", type=_names(adapters.ALL), help=", ".join(adapters.ALL))
    parser.add_argument("--rounds", type=int, help="instead of the default number")
    parser.add_argument("--results", help="the JSON file to write")
    parser.add_argument("--page", help="the Markdown file, with the two markers, to write the tables into")
    return parser


def _names(known: Collection[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r}: expected some of {', '.join(known)}")
        return names

    return parse


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # else the servers would outlive this process
    sys.exit(main())
