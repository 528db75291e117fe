#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""How much faster generated code is than protobuf-c, on echo.proto's messages.

    bench/codec.py [--rounds N] PROGRAM

PROGRAM is bench/codec of a build directory. Both take turns in each round, so
that a machine that changes its speed does so for both. Of the times, the least
counts; instructions come from callgrind, if valgrind is there, and are the
same in each run. Printed are both figures and their ratio.
"""

import argparse
import re
import shutil
import subprocess
import sys

SUBJECTS = [
    "request-encode",
    "request-decode",
    "response-encode",
    "response-decode",
    "codec-encode",
    "codec-decode",
]
WAYS = ["generated", "protobuf-c"]
MESSAGES = 2_000_000
COUNTED = 2_000


def nanoseconds(program, name):
    done = subprocess.run(
        [program, name, str(MESSAGES)], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def total_instructions(program, name, messages):
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program]
        + [name, str(messages)],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1))


def instructions(program, name):
    few = total_instructions(program, name, COUNTED)
    many = total_instructions(program, name, 2 * COUNTED)
    return (many - few) / COUNTED


def print_row(subject, figures, unit):
    generated, other = (figures[way] for way in WAYS)
    print(
        f"{subject:16} {generated:8.1f} {other:8.1f} {unit:12} "
        f"x{other / generated:.2f}",
        flush=True,
    )


def measure(program, subject, rounds):
    times = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            times[way].append(nanoseconds(program, f"{subject}-{way}"))
    print_row(subject, {way: min(times[way]) for way in WAYS}, "ns")
    if shutil.which("valgrind"):
        counts = {way: instructions(program, f"{subject}-{way}") for way in WAYS}
        print_row(subject, counts, "instructions")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("program")
    arguments = parser.parse_args()
    print(f"{'':16} {WAYS[0]:>8} {WAYS[1]:>8}")
    for subject in SUBJECTS:
        measure(arguments.program, subject, arguments.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
