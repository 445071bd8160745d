#!/usr/bin/env python3
"""Compares `bitdistill plan` with a run: memory against the largest resident memory, and the time of a step.

    benchmarks/plan.py BITDISTILL CONFIG TOKENIZER FOLDER [--threads N] [SETTING...]

A model of the shape that CONFIG (a config.json) has, with random weights, is the teacher of a ternary student for one step of
eight windows of 512 tokens. TOKENIZER is a tokenizer.json or *.gguf and decides the vocabulary. FOLDER gets the run; its disk
needs eight bytes for each parameter. Settings are those of --set, such as student.optimizer.adamw.moments=int8.
"""
import json
import pathlib
import re
import resource
import subprocess
import sys

if len(sys.argv) < 5:
    sys.exit(__doc__)
program, config, tokenizer = sys.argv[1:4]
folder, settings = pathlib.Path(sys.argv[4]), sys.argv[5:]
threads = "1"
if settings[:1] == ["--threads"]:
    threads, settings = settings[1], settings[2:]
folder.mkdir(parents=True)
(folder / "corpus.txt").write_text("\n".join(map(str, range(20000))))
(folder / "recipe.json").write_text(json.dumps({
    "data": {"tokenizer": tokenizer, "corpus": [str(folder / "corpus.txt")]},
    "defaults": {"data": "corpus", "optimizer": {"adamw": {}}, "steps": 1, "sequences": 1, "length": 512,
                 "log_every": 1, "teacher_cache": 0, "losses": {"cross_entropy": {}}},
    "stages": [
        {"name": "teacher", "optimizer": {"adamw": {"moments": "int8"}}},
        {"name": "student", "from": "teacher", "teacher": "teacher", "accumulate": 8, "steps": 2,
         "edits": {"sub_ln": "subln", "make_ternary": True}, "losses": {"cross_entropy": {}, "logits": {}}},
    ]}))
arguments = ["--recipe", str(folder / "recipe.json"), "--config", config, "--threads", threads]
if settings:
    arguments += ["--set", *settings]

text = subprocess.run([program, "plan", *arguments], check=True, capture_output=True, text=True).stdout
student = text[text.index("\nstudent: "):]
print(student)
planned = float(re.search(r"^  memory +([0-9.]+) GB", student, re.M)[1])
step = float(re.search(r"^  time +([0-9.]+) ms", student, re.M)[1]) / 1000

subprocess.run([program, "run", "--out", str(folder / "run"), *arguments], check=True, stdout=subprocess.DEVNULL)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6 * 1.024
lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
seconds = min(line["seconds"] for line in lines if line["stage"] == "student")
print(f"memory: planned {planned:.2f} GB, measured {peak:.2f} GB, {100 * (planned / peak - 1):+.1f} %")
print(f"a step: planned {step:.1f} s, measured {seconds:.1f} s, {100 * (step / seconds - 1):+.1f} %")
