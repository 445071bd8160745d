#!/usr/bin/env python3
"""Runs a script of this folder again and compares what it writes, file by file, with what is committed.

  check.py NAME         for example `check.py adamw`

Files must be the same, byte for byte. Only numbers with a fraction in .inc and .safetensors files may differ, because
PyTorch's order of summation depends on the processor and on the number of threads: by 1e-6 of the largest number beside
them, or by 1e-4 in tensors of single precision, which hold gradients of whole models.
"""
import pathlib
import re
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?(?![\w.])")


def are_close(pairs, tolerance=1e-6):
    largest = max((abs(value) for pair in pairs for value in pair), default=0)
    return all(abs(a - b) <= tolerance * largest for a, b in pairs)


def is_same_statement(a, b):
    if NUMBER.sub("#", a).split() != NUMBER.sub("#", b).split():
        return False
    different = [pair for pair in zip(NUMBER.findall(a), NUMBER.findall(b)) if pair[0] != pair[1]]
    if any(re.fullmatch(r"[-+]?\d+", x) and re.fullmatch(r"[-+]?\d+", y) for x, y in different):
        return False
    return are_close([tuple(map(float, pair)) for pair in zip(NUMBER.findall(a), NUMBER.findall(b))])


def compare_statements(made, committed):
    """Compares C++ text up to each semicolon, so that the elements of an array have one scale."""
    made, committed = made.read_text().split(";"), committed.read_text().split(";")
    if len(made) != len(committed):
        return f"{len(committed)} statements were expected, {len(made)} are written"
    different = [f"expected\n{b.strip()}\ngot\n{a.strip()}" for a, b in zip(made, committed)
                 if not is_same_statement(a, b)]
    return "\n".join(different) or None


def compare_tensors(made, committed):
    import torch
    from safetensors import safe_open
    with safe_open(made, "pt") as a, safe_open(committed, "pt") as b:
        if a.metadata() != b.metadata() or sorted(a.keys()) != sorted(b.keys()):
            return "the names or the metadata differ"
        for name in a.keys():
            x, y = a.get_tensor(name), b.get_tensor(name)
            if x.dtype != y.dtype or x.shape != y.shape:
                return f"{name}: expected {y.dtype} {list(y.shape)}, got {x.dtype} {list(x.shape)}"
            pairs = list(zip(x.double().flatten().tolist(), y.double().flatten().tolist()))
            tolerance = 1e-4 if x.dtype == torch.float32 else 1e-6
            if not (are_close(pairs, tolerance) if x.is_floating_point() else x.equal(y)):
                return f"{name}: expected\n{y}\ngot\n{x}"
    return None


def compare(made, committed):
    """Returns what differs between two files, or None."""
    if not made.is_file():
        return "is committed, but is not written"
    if not committed.is_file():
        return "is written, but is not committed"
    if made.read_bytes() == committed.read_bytes():
        return None
    if made.suffix == ".safetensors":
        return compare_tensors(made, committed)
    if made.suffix == ".inc":
        return compare_statements(made, committed)
    return "differs from the committed file"


def run(name, folder):
    """Runs the script as if it were in `folder`, because it writes beside itself."""
    script = HERE / f"{name}.py"
    exec(compile(script.read_text(), script, "exec"), {"__name__": "__main__", "__file__": str(folder / script.name)})


def files_below(folder):
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True
name = sys.argv.pop()  # the script that runs gets no argument
with tempfile.TemporaryDirectory() as scratch:
    scratch = pathlib.Path(scratch)
    (scratch / "oracle").mkdir()
    (scratch / "fuzz" / "seeds").mkdir(parents=True)
    try:
        run(name, scratch / "oracle")
    except ImportError as missing:
        sys.exit(f"skipped: needs the Python package {missing.name or missing}")
    files = files_below(scratch)
    if not files:
        sys.exit(f"{name}.py writes nothing")
    for folder in (scratch / "oracle").iterdir():  # a folder belongs to one script
        if folder.is_dir():
            files |= {pathlib.Path("oracle", folder.name) / path for path in files_below(HERE / folder.name)}
    differences = {path: compare(scratch / path, HERE.parent / path) for path in sorted(files)}
    differences = {path: what for path, what in differences.items() if what}
for path, what in differences.items():
    print(f"{path}: {what}")
sys.exit(f"{len(differences)} of {len(files)} files are not what {name}.py writes" if differences else 0)
