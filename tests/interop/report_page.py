"""Opens a report of the program in headless Chromium: the page has its pictures, sorting works, it fits a phone, and
nothing is said on the console.

    report_page.py BITDISTILL [SCREENSHOT.png]
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# Sorts by each heading, then leaves what it saw in the title, which --dump-dom prints.
PROBE = """<script>
const seen = {};
for (const button of document.querySelectorAll("th button")) {
  button.click();
  seen[button.textContent] = [...document.querySelector("tbody").rows].map((row) => row.cells[0].textContent);
}
seen.pictures = document.querySelectorAll("svg").length;
seen.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
document.title = JSON.stringify(seen);
</script></body>"""


def write_run(folder, seed):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({
        "title": "Two methods", "data": {"task": "sst2", "seed": seed},
        "stages": [{"name": "base", "seed": seed, "learning_rate": 0.001, "from": "a/long/path" * 12}]}))
    (folder / "table.json").write_text(json.dumps([
        {"method": "FP-SFT", "accuracy": 90 + seed, "megabytes": 100.0, "tokens_per_second": 9},
        {"method": "BitDistill", "accuracy": 89 + seed / 2, "megabytes": 10.0, "tokens_per_second": 1000}]))
    (folder / "metrics.jsonl").write_text("".join(
        json.dumps({"stage": "base", "step": step, "loss": 4 / step, "cross_entropy": 4 / step}) + "\n"
        for step in range(1, 100, 9)))


def open_page(page, *options):
    done = subprocess.run([CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
                           *options, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    said = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    assert not said, said
    return done.stdout


def main():
    if not CHROMIUM:
        sys.exit("skipped: needs chromium")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for seed in (1, 2):
            write_run(folder / str(seed), seed)
        page = folder / "report.html"
        subprocess.run([sys.argv[1], "report", folder / "1", folder / "2", "--out", page], check=True)
        probed = folder / "probed.html"
        probed.write_text(page.read_text().replace("</body>", PROBE))
        for width in (390, 1200):
            shown = open_page(probed, f"--window-size={max(width, 500)},900", "--dump-dom")
            seen = json.loads(re.search(r"<title>(.*?)</title>", shown, re.S)[1].replace("&amp;", "&"))
            assert seen["accuracy"] == ["FP-SFT", "BitDistill"], seen
            assert seen["Tokens/s"] == ["BitDistill", "FP-SFT"], seen
            assert seen["pictures"] == 4, seen
            assert seen["overflow"] == 0, seen
        if len(sys.argv) > 2:
            open_page(page, "--window-size=1000,1800", f"--screenshot={pathlib.Path(sys.argv[2]).absolute()}")
    print("passed")


if __name__ == "__main__":
    main()
