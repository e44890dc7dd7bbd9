"""Receiving, measured: `make bench`. One JSON object a line; only the ratios travel.

    python -m tests.perf.bench_ingest [--kind ct] [-n 300] [--associations 1,4,8] [--rounds 3]
        [--sender raw|storescu] [--without-peer] [--stored 1000000] [--postgresql]

Where Orthanc is installed (`apt-get install orthanc`), both are measured by turns in one run, and
the ratio is the median of the rounds'. `--stored` compares our own empty archive with one that
holds so many instances; their rows are made by SQL and have no files (`tests.perf.filler`).
`--postgresql` gives each program a PostgreSQL of its own (`apt-get install orthanc-postgresql`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from tests.perf import senders, targets
from tests.perf.senders import KINDS, median
from tests.perf.targets import Orthanc, Ours, Target
from tests.services import servers


def say(**facts: object) -> None:
    """Write one line of results."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure receiving.")
    parser.add_argument("--kind", choices=KINDS, default="ct")
    parser.add_argument("-n", type=int, default=300, help="instances a round")
    parser.add_argument("--associations", default="1,4,8")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sender", choices=["raw", "storescu"], default="raw")
    parser.add_argument("--without-peer", action="store_true")
    parser.add_argument("--stored", type=int, default=0)
    parser.add_argument("--postgresql", action="store_true")
    return parser.parse_args(words)


def measure(wanted: argparse.Namespace, compared: list[Target]) -> None:
    """Measure the first of `compared` against each other one, by turns."""
    send = senders.send_raw if wanted.sender == "raw" else senders.send_storescu
    for target in compared:
        # What is loaded and made once is not what is measured.
        send(target.port, target.called, ["CT_0"], senders.corpus(wanted.kind, 20))
    for count in map(int, wanted.associations.split(",")):
        titles = [f"CT_{number}" for number in range(count)]
        rates: dict[str, list[float]] = {target.name: [] for target in compared}
        costs: dict[str, list[float]] = {target.name: [] for target in compared}
        for turn in range(wanted.rounds):
            for target in compared if turn % 2 == 0 else compared[::-1]:
                instances = senders.corpus(wanted.kind, wanted.n)
                before = target.cpu_s()
                run = send(target.port, target.called, titles, instances)
                rates[target.name].append(wanted.n / run.seconds)
                costs[target.name].append((target.cpu_s() - before) / wanted.n * 1000)
                say(
                    target=target.name,
                    kind=wanted.kind,
                    sender=wanted.sender,
                    associations=count,
                    per_s=round(rates[target.name][-1], 1),
                    cpu_ms=round(costs[target.name][-1], 2),
                    p50_ms=round(run.at(0.5), 2),
                    p99_ms=round(run.at(0.99), 2),
                    refused=run.refused,
                )
        for peer in compared[1:]:
            ours = compared[0].name
            ratios = [a / b for a, b in zip(rates[ours], rates[peer.name], strict=True)]
            spent = [a / b for a, b in zip(costs[ours], costs[peer.name], strict=True)]
            say(
                ratio=f"{ours} / {peer.name}",
                kind=wanted.kind,
                sender=wanted.sender,
                associations=count,
                rate=round(median(ratios), 2),
                least=round(min(ratios), 2),
                greatest=round(max(ratios), 2),
                cpu=round(median(spent), 2),
            )


def main() -> None:
    """Start what is compared, measure, end it."""
    wanted = arguments()
    compared: list[Target] = []
    with ExitStack() as stack:
        try:
            _start(wanted, compared, stack)
            measure(wanted, compared)
        finally:
            for target in compared:
                target.stop()


def _start(wanted: argparse.Namespace, compared: list[Target], stack: ExitStack) -> None:
    def url() -> str | None:
        return stack.enter_context(servers.postgres()) if wanted.postgresql else None

    if wanted.stored:
        full = Ours(instances=wanted.stored, url=url())
        full.name = f"with {wanted.stored}"
        say(target=full.name, start_s=round(full.start_s, 2))
        compared.append(full)
    empty = Ours(url=url())
    empty.name = "empty" if wanted.stored else "ours"
    say(target=empty.name, start_s=round(empty.start_s, 2))
    compared.append(empty)
    if not wanted.stored and not wanted.without_peer:
        if targets.has_orthanc():
            compared.append(Orthanc(url()))
        else:
            say(note="Orthanc is not installed: our own figures alone.")


if __name__ == "__main__":
    main()
