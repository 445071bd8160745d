"""Inputs that are no part of the repository."""
import os
import pathlib
import sys


def inputs(variable, path):
    """Returns the folder that an environment variable names, else ../shared/`path` beside the repository. Ends the
    program with a message that CTest looks for where there is none."""
    root = pathlib.Path(__file__).resolve().parents[2]
    folder = pathlib.Path(os.environ.get(variable, root.parent / "shared" / path))
    if not folder.is_dir():
        sys.exit(f"skipped: no inputs in {variable} or ../shared/{path}")
    return folder
