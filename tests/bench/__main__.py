"""The bench's command line. Exits 1 where ours failed; what fails of the others is told and left out."""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path

from tests.bench import adapters, machine, report, works
from tests.bench.bench import QUICK, Bench, Sizes, ours_failed, say, scratch
from tests.bench.environment import CACHE, ROOT
from tests.bench.results import Results


def main(arguments: list[str] | None = None) -> int:
    """Run the work that is asked for; write results and, unless quick, the page. Return the exit status."""
    asked = _parser().parse_args(arguments)
    machine.raise_limits()
    sizes = QUICK if asked.quick else Sizes()
    sizes = sizes._replace(rounds=asked.rounds or sizes.rounds)
    results = Results(Path(asked.results or CACHE / ("quick.json" if asked.quick else "results.json")))
    for word in asked.only:
        began = time.monotonic()
        with scratch() as folder:
            samples = list(works.ALL[word].run(Bench(sizes, asked.servers, folder)))
        results.put(word, samples, sizes)
        say(f"{word}: {len(samples)} samples in {time.monotonic() - began:.0f} s")
    page = asked.page or (None if asked.quick else ROOT / "docs" / "performance.md")
    if page:
        report.write(results, Path(page))
    return 1 if ours_failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="measure side by side")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it runs, not how fast")
    parser.add_argument("--only", type=_words(works.ALL), default=list(works.ALL), help=", ".join(works.ALL))
    servers = list(adapters.ALL)
    parser.add_argument("--servers", type=_words(adapters.ALL), default=servers, help=", ".join(servers))
    parser.add_argument("--rounds", type=int, help="instead of the usual number")
    parser.add_argument("--results", help="the JSON file to write")
    parser.add_argument("--page", help="the Markdown file, with the markers in it, to write the tables into")
    return parser


def _words(known: Collection[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        words = text.split(",")
        if unknown := [word for word in words if word not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r}: expected some of {', '.join(known)}")
        return words

    return parse


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or the servers would outlive us
    sys.exit(main())
