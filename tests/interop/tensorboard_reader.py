"""TensorBoard's own reader finds in the event files of the program what metrics.jsonl says.

    tensorboard_reader.py BITDISTILL
"""
import json
import pathlib
import subprocess
import sys
import tempfile

try:
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
except ImportError:
    sys.exit("skipped: needs tensorboard")


def write_run(folder):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"stages": [{"name": "base"}, {"name": "tuned"}]}))
    lines = [{"stage": stage, "step": step, "steps": 300, "loss": 4.1 / step, "cross_entropy": -1e-30 * step,
              "learning_rate": 1e-3, "seconds": 0.25, "tokens": 2 ** 33}
             for stage in ("base", "tuned") for step in range(1, 300, 20)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return lines


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        lines = write_run(folder / "run")
        subprocess.run([sys.argv[1], "inspect", "--tensorboard", folder / "events", folder / "run"], check=True)
        for stage in ("base", "tuned"):
            [file] = (folder / "events" / "run" / stage).iterdir()
            records = len(list(RawEventFileLoader(str(file)).Load()))  # checks the sums of every record
            own = [line for line in lines if line["stage"] == stage]
            assert records == len(own) + 1, records
            read = event_accumulator.EventAccumulator(str(file.parent), size_guidance={"scalars": 0})
            read.Reload()
            assert read.file_version == 2.0, read.file_version
            assert set(read.Tags()["scalars"]) == set(own[0]) - {"stage", "step", "steps"}, read.Tags()
            for tag in read.Tags()["scalars"]:
                events = read.Scalars(tag)
                assert [event.step for event in events] == [line["step"] for line in own]
                for event, line in zip(events, own):
                    assert abs(event.value - line[tag]) <= 1e-7 * abs(line[tag]), (event, line)
                    assert abs(event.wall_time - 0.25 * line["step"]) < 1e-9, event
    print("passed")


if __name__ == "__main__":
    main()
