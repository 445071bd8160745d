#!/usr/bin/env python3
"""Builds and runs programs of other people that embed the library, each in a folder of its own. What is expected is
said below, with the reason. Programs for other machines and systems are left out, because they need other toolchains.

  programs.py G++ CLANG++ FLAGS    FLAGS are separated by semicolons, CLANG++ may be missing; the programs are in
                                   TERN_CASES_DIR, or in ../shared/cases beside the repository
"""
import pathlib
import platform
import shlex
import shutil
import sys
import tempfile

from answers import cases, difference, finish, run

if platform.machine() != "x86_64":
    sys.exit("skipped: the programs are for x86-64")
programs = cases("programs")
flags = ["-std=c++20", "-pthread", *sys.argv[3].split(";")]
compilers = {"g++": sys.argv[1], "clang++": shutil.which(sys.argv[2])}
emulator = shutil.which("qemu-x86_64")

FINITE = "-ffast-math -fno-finite-math-only"
ACCURATE = r"8\.980706.* [\d.]+e-0[78]\n.*8\.980706.* [\d.]+e-1\d\n"

# Folder, commands, exit code of the last one, pattern in what that prints, why. The word `sandybridge` stands for an
# emulator of that processor.
EXPECTED = [
    *[("fast_math", [f"{compiler} -O2 {options} losses.cpp -o a", "./a"], 0, ACCURATE, "std::exp in double")
      for compiler, options in [("g++", "-funsafe-math-optimizations"), ("clang++", FINITE)]],
    *[("fast_math", [f"{compiler} -O2 -ffast-math -fsyntax-only main.cpp"], 1, "-fno-finite-math-only",
       "NaN and infinity are needed") for compiler in compilers],
    *[("fast_math", [f"{compiler} -O2 {FINITE} main.cpp -o a", "./a"], 0,
       r"\A(?!.*(NOT|[1-9]\d* of 1000)).*refused", "rounding and tests on bits") for compiler in compilers],
    ("fast_math", [f"g++ -O2 {FINITE} train_nan.cpp -o a", "./a"], 0, "refused", "a gradient that is NaN"),
    ("fast_math", [f"g++ -O2 {FINITE} head.cpp -o a", "./a"], 0, "", "half a step is the largest error"),
    ("kernel_fuzz", ["g++ -O2 main.cpp -o a", "./a"], 0, r"\A(?!.*throws).*faults 0\n", "small and strided shapes"),
    ("libcxx", ["clang++ -stdlib=libc++ -fsyntax-only main.cpp"], 0, "", "libc++ 16 compiles the core"),
    ("macros_min_max", ["g++ -fsyntax-only minmax.cpp"], 1, r"\A((?!error:).)*error: #error \"?min or max is a macro",
     "the first error says why"),
    ("macros_min_max", ["g++ -fsyntax-only letters.cpp"], 0, "", ""),
    ("macros_min_max", ["g++ -fsyntax-only other.cpp"], 0, "", "the library does not use these names"),
    ("odr_flags", ["g++ -O2 -mavx -c big.cpp -o b1.o", "g++ -O2 -mavx -mfma -DFMA -c big.cpp -o b2.o",
                   "g++ b2.o b1.o -o a", "sandybridge ./a"], 0, r"e-05", "units of other flags share no function"),
    ("odr_flags", ["g++ -O0 -mavx -c avx.cpp -o b1.o", "g++ -O0 -mavx -mfma -DFMA -c avx.cpp -o b2.o",
                   "g++ b2.o b1.o -o a", "sandybridge ./a"], 0, "dot 400 y 5", "the same without optimisation"),
    ("odr_flags", ["g++ -O0 -c a.cpp", f"g++ -O0 {FINITE} -c b.cpp", "g++ b.o a.o -o a", "./a"], 0, "refused",
     "the careful unit keeps its test of NaN"),
    ("pool_dlclose", ["g++ -O2 -fPIC -shared -fno-gnu-unique plugin.cpp -o plugin.so", "g++ host.cpp -o host -ldl",
                      "./host ./plugin.so"], 0, "unloaded", "docs/design.md names the option"),
    ("pool_two_pools", ["g++ -O1 main.cpp -o a", "./a"], 0, "total 64", "pools that call each other"),
    ("pool_two_pools", ["g++ -O1 cross.cpp -o a", "./a"], 0, "total 8", "in opposite orders"),
    ("small_stack", ["g++ -O2 main.cpp -o a", "./a"], 0, r"\A(?!.*(SEGV|\?)).*64KB:ok", "64 KB suffice"),
    ("small_stack", ["g++ -O2 musl.cpp -o a", "./a"], 0, r"\A32\n", ""),
    ("strict_warnings", ["g++ -fsyntax-only -Wall -Wextra -Wconversion -Wdouble-promotion -Wsign-conversion -Werror "
                         "all.cpp"], 0, "", "no warning"),
]

# These programs use names of an interface that is gone. Tests of the repository hold what they ask for.
REPLACED = {"accumulation": "tests/train/micro_batches.cpp", "skip_bad_batch": "tests/train/refused_step.cpp",
            "sequences": "tests/recipe/classify.cpp"}


def words(command):
    """Replaces the names of the compilers and of the emulator by their paths."""
    first, *rest = shlex.split(command)
    if first == "sandybridge":
        return [emulator, "-cpu", "SandyBridge", *rest] if emulator else rest
    return [compilers[first], *flags, *rest] if first in compilers else [first, *rest]


def keep_headers_that_exist(source):
    """Removes #include lines of headers that have another name by now."""
    include = next(pathlib.Path(flag[2:]) for flag in flags if flag.startswith("-I"))
    lines = source.read_text().splitlines()
    source.write_text("\n".join(line for line in lines if (include / line.split('"')[1]).is_file()) + "\n")


failures = []
with tempfile.TemporaryDirectory() as scratch:
    copy = pathlib.Path(scratch, "programs")
    shutil.copytree(programs, copy)
    keep_headers_that_exist(copy / "strict_warnings" / "all.cpp")
    for folder, commands, code, pattern, why in EXPECTED:
        if not compilers.get(commands[0].split()[0]):
            continue
        *before, last = commands
        built = [problem for command in before
                 for problem in difference(f"{folder}: {command}", run(copy / folder, words(command)), 0, "", "builds")]
        failures += built or difference(f"{folder}: {last}", run(copy / folder, words(last)), code, pattern, why)
for folder, test in REPLACED.items():
    print(f"{folder}: not compiled, {test} holds what it asks for")
finish(failures)
