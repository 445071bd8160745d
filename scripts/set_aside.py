#!/usr/bin/env python3
"""Sets sentences of SST-2's train.tsv aside, to choose settings by them and not by the dev set.

    scripts/set_aside.py DATA/SST-2 OUT [--sentences N] [--seed S]

OUT gets dev.tsv with N whole sentences and train.tsv without these sentences and without every phrase of them: most
rows of SST-2 are phrases of other rows.
"""

import argparse
import pathlib
import random


def whole_sentences(rows, least_words=8):
    """Rows that are no part of another row, in the order of the file."""
    words = {}
    for index, (text, _) in enumerate(rows):
        for word in set(text.split()):
            words.setdefault(word, []).append(index)
    for text, label in rows:
        if len(text.split()) < least_words:
            continue
        candidates = min((words[word] for word in text.split()), key=len)
        padded = f" {text} "
        if not any(len(rows[i][0]) > len(text) and padded in f" {rows[i][0]} " for i in candidates):
            yield text, label


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    header, *lines = (options.data / "train.tsv").read_text(encoding="utf-8").splitlines()
    rows = [(text.strip(), label) for text, label in (line.split("\t") for line in lines)]
    sentences = list(whole_sentences(rows))
    held = random.Random(options.seed).sample(sentences, options.sentences)
    joined = " \n ".join(f" {text} " for text, _ in held)
    kept = [row for row in rows if f" {row[0]} " not in joined]

    options.out.mkdir(parents=True, exist_ok=True)
    for name, part in (("train.tsv", kept), ("dev.tsv", held)):
        text = "".join(f"{text}\t{label}\n" for text, label in part)
        (options.out / name).write_text(f"{header}\n{text}", encoding="utf-8")
    print(f"{len(held)} of {len(sentences)} sentences set aside; {len(kept)} of {len(rows)} rows kept")


main()
