"""Leaves out one ingredient of the pocket model's text at a time, and shows what falls.

    python data/recipes/ablate_pocket.py [--minutes 5] [--at-once 2]   # after `prepare`

Every training starts from the same state, in which only choosing was learned, and lasts as long.
With `--at-once` so many run side by side, one core each. The figures go to `ablation.csv`: the
shares of held-out answers that are right to the last token, with their opening beside them (which
passage?), then what the card measures of generated companies and of questions without documents. A
few minutes show what an ingredient teaches first, not its worth in the end.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from tasks import SHARES  # noqa: E402
from train_pocket import WORK  # noqa: E402

START = "ablation-start"
PROBES = ("pages", "facts", "copies", "forms")


def trained(name: str, *flags: str) -> dict[str, str]:
    """One training in a process of its own; the last line of its log."""
    subprocess.run([sys.executable, HERE / "train_pocket.py", "train", "--name", name, *flags],
                   check=True)
    with (WORK / name / "log.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))[-1]


def measured(name: str) -> dict[str, str]:
    """What the card measures without a search, for the model of one training."""
    model, out = WORK / name / "model", WORK / name / "figures.json"
    for script, *words in (("train_pocket.py", "export", "--name", name, "--out", model),
                           ("measure_pocket.py", "--model", model, "--json", out,
                            "--parts", "generated", "company")):
        subprocess.run([sys.executable, HERE / script, *words], check=True)
    found = json.loads(out.read_text(encoding="utf-8"))
    found = {"generated": found["generated"]["value_and_number"],
             "closed_abstains": found["company"]["abstains"]}
    return {key: f"{cell['value']:.2f}" for key, cell in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--at-once", type=int, default=1)
    arguments = parser.parse_args()
    common = ("--threads", str(max(1, 2 // arguments.at_once)), "--longest", "512")
    start = WORK / START / "checkpoint.pt"
    if not start.exists():
        trained(START, "--minutes", "0.05", "--threads", "2", "--longest", "512")

    def without(left_out: str | None) -> dict[str, str]:
        """The figures of a training that had everything else."""
        name = f"ablation-{left_out or 'none'}"
        shutil.rmtree(WORK / name, ignore_errors=True)
        (WORK / name).mkdir(parents=True)
        shutil.copy(start, WORK / name)
        shares = {task: share for task, share in SHARES.items() if task != left_out}
        last = trained(name, "--resume", "--minutes", str(arguments.minutes), "--warmup", "20",
                       "--every", "60", "--shares", json.dumps(shares), "--probes", "240",
                       *common)
        return {"left_out": left_out or "nothing", "tokens": last["tokens"],
                **{p: f"{float(last[p]):.2f}" for p in PROBES},
                **{f"{p}_start": f"{float(last[f'{p}_start']):.2f}" for p in PROBES},
                **measured(name)}

    rows: list[dict[str, str]] = []
    with ThreadPoolExecutor(arguments.at_once) as side_by_side:
        for row in side_by_side.map(without, (None, *SHARES)):
            rows.append(row)
            with (HERE / "ablation.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, fieldnames=list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
            print(row, flush=True)


if __name__ == "__main__":
    main()
