#!/usr/bin/env python3
"""Compares the time of a step on one rank with that on several ranks of this machine, in turns.

    benchmarks/ranks.py BITDISTILL FOLDER RANKS [ROUNDS] [OPTION...]

Each rank has one thread. FOLDER gets the runs. Options are those of `bitdistill pretrain`, such as --corpus FILE; behind --set,
base.parts should be a multiple of RANKS. The first step, which touches memory for the first time, is not counted.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys

if len(sys.argv) < 4:
    sys.exit(__doc__)
program, folder, ranks = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
options = sys.argv[4:]
rounds = int(options.pop(0)) if options and options[0].isdigit() else 3
environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")

steps = {1: [], ranks: []}
sent = 0
for turn in range(rounds):
    for n in steps:
        run = folder / f"{turn}-{n}"
        subprocess.run(["mpirun", "-n", str(n), "--bind-to", "none", "--oversubscribe", program, "pretrain", "--out", str(run),
                        "--threads", "1", *options],
                       check=True, stdout=subprocess.DEVNULL, env=environment)
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        steps[n] += [line["seconds"] for line in lines[1:]]
        sent = max(sent, lines[-1].get("sent", 0))
one, several = (statistics.median(steps[n]) for n in steps)
print(f"one rank {one * 1e3:.0f} ms a step, {ranks} ranks {several * 1e3:.0f} ms: {one / several:.2f} x; "
      f"rank 0 sends {sent / 1e6:.1f} MB a step")
