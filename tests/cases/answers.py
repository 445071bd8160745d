"""What the scripts here share: where the inputs are, running a command in a case's folder, comparing its answer."""
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "oracle"))
from inputs import inputs  # noqa: E402


def cases(kind):
    """Returns the folder with the cases of a kind, or ends the program as skipped."""
    return inputs("TERN_CASES_DIR", "cases") / kind


def run(folder, command, stdout=subprocess.PIPE):
    return subprocess.run(command, cwd=folder, stdout=stdout, stderr=subprocess.PIPE, text=True, errors="replace",
                          stdin=subprocess.DEVNULL, timeout=300)


def difference(case, done, code, pattern, why):
    """Returns a list with a message, or an empty one where exit code and output are the expected ones. `pattern` is
    searched in what the command prints, `case` and `why` are texts for the message."""
    printed = done.stdout + done.stderr
    if done.returncode == code and re.search(pattern, printed, re.S):
        return []
    return [f"{case}\n  expected exit {code} and /{pattern}/ ({why}), got exit {done.returncode}:\n{printed}"]


def finish(failures):
    print(*failures, sep="\n")
    sys.exit(f"{len(failures)} answers are not the expected ones" if failures else 0)
