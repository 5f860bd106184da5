"""`python -m tests.chaos`: break the running product from a seed, and see that everything is exact afterwards."""

from __future__ import annotations

import argparse
import random
import signal
import sys
from pathlib import Path

from tests.chaos.breaks.catalogue import ALL, SHORT
from tests.chaos.report import write_report
from tests.chaos.run import Wanted, run


def main() -> int:
    options = _parser().parse_args()
    kinds = options.faults.split(",") if options.faults else list(SHORT if options.short else ALL)
    if unknown := set(kinds) - ALL.keys():
        sys.exit(f"--faults: no kind {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wanted = Wanted(
        seed=options.seed if options.seed is not None else random.randrange(1 << 31),
        seconds=options.minutes * 60,
        rate=options.rate,
        kinds=kinds,
        once=options.short or options.once,
        keep=options.out,
    )
    options.out.mkdir(parents=True, exist_ok=True)
    outcome = run(wanted)
    path = write_report(outcome, options.out)
    print(f"{'exact' if outcome.exact else 'NOT EXACT'}: {path}")  # noqa: T201
    return 0 if outcome.exact else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="of load and faults; 5")
    parser.add_argument("--rate", type=float, default=500, help="events a second; 500")
    parser.add_argument("--seed", type=int, help="the same faults and events again")
    parser.add_argument("--faults", help=f"with commas, of {', '.join(ALL)}; all")
    parser.add_argument("--once", action="store_true", help="each of them once, in this order")
    parser.add_argument("--short", action="store_true", help="the short plan, once")
    parser.add_argument("--out", type=Path, default=Path(".chaos"), help="for report and logs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
