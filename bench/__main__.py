"""Runs benchmarks, by default all, and prints their tables: `python -m bench [PART …]`."""

import argparse
import asyncio
import json
import platform
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import health, monitoring, outage, startup, switch, web
from bench.process import cores, raise_file_limit
from bench.report import Report

Part = Callable[[argparse.Namespace], Awaitable[Report]]

PARTS: dict[str, Part] = {
    "health": lambda options: health.run(seconds=options.seconds, rounds=options.rounds),
    "startup": lambda _: startup.run(),
    "switch": lambda _: switch.run(),
    "web": lambda _: web.run(),
    "outage": lambda _: outage.run(),
    "monitoring": lambda options: monitoring.run(picture=options.plot),
}


def main() -> int:
    options = _parse_options()
    cores()  # raises before anything is started
    raise_file_limit()
    machine = _describe_machine()
    print(", ".join(machine.values()), end="\n\n", flush=True)
    reports: dict[str, Report] = {}
    for name in options.parts or PARTS:
        reports[name] = asyncio.run(_measure(PARTS[name], options))
        print(reports[name], flush=True)
    if options.json:
        parts = {name: report.to_json() for name, report in reports.items()}
        document = {"at": datetime.now(UTC).isoformat(), "machine": machine, "parts": parts}
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    all_met = all(target.met for report in reports.values() for target in report.targets)
    return 0 if all_met else 1


async def _measure(part: Part, options: argparse.Namespace) -> Report:
    return await part(options)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write every single figure to this file"
    )
    parser.add_argument(
        "--seconds", type=float, default=6.0, help="seconds of one round of health checks"
    )
    parser.add_argument("--plot", action="store_true", help="draw docs/monitoring.svg again")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of health checks")
    options = parser.parse_args()
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return options


def _describe_machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo").read_text()
    names = [line.partition(":")[2].strip() for line in info.splitlines() if "model name" in line]
    last_minute, last_five, _ = (
        float(part) for part in Path("/proc/loadavg").read_text().split()[:3]
    )
    return {
        "cpu": f"{len(names)} cores {names[0] if names else platform.machine()}",
        "system": f"Linux {platform.release()}",
        "python": f"Python {platform.python_version()}",
        "load": f"load before {last_minute:.1f} (1 min) {last_five:.1f} (5 min)",
    }


if __name__ == "__main__":
    sys.exit(main())
