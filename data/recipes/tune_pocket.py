"""A step that the pocket model has not taken: told how an answer must look, it gives it that look.

    python data/recipes/tune_pocket.py [--examples 9000] [--start FOLDER] [--out FOLDER]
    python data/recipes/tune_pocket.py --fold data/recipes/tuned_adapter --out build/my_pocket

The same station that the learner uses (`utils.finetuning`) puts an adapter on the pocket model and
trains it on forms (`forms.py`) in many kinds, beside questions of the earlier steps. Then the
adapter is folded into the weights. A killed run goes on where it was; its losses lie beside the
adapter, in `build/pocket/tuned`. `--fold` trains nothing: it folds in an adapter that is there.

Reading survives, choosing among passages does not (the model's card tells how much is lost), and
the loss that is printed does not show it. So measure what comes out before you use it:
`measure_pocket.py --model build/my_pocket`.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path

RECIPES = Path(__file__).resolve().parent
ROOT = RECIPES.parents[1]
sys.path[:0] = [str(RECIPES), str(ROOT)]

import tasks  # noqa: E402

from utils.adapters import Adapter, merged, with_adapter  # noqa: E402
from utils.finetuning import Settings, train  # noqa: E402
from utils.generation import Generator  # noqa: E402
from utils.loading import load_generator  # noqa: E402
from utils.profiles import choose  # noqa: E402

SHARES = {"behaviours": 0.45, "pages": 0.17, "facts": 0.08, "rows": 0.08, "english": 0.06,
          "drills": 0.05, "closed": 0.11}
LONGEST = 900  # tokens; an example with more is left out
PASSAGES = 6
POCKET = ROOT / "data" / "pocket_model"
WORK = ROOT / "build" / "pocket" / "tuned"


def drawn(generator: Generator, sources: tasks.Sources, seed: int, count: int,
          shares: dict[str, float] = SHARES) -> list[dict]:
    """So many conversations; the same seed gives the same ones."""
    made, found = tasks.conversations(sources, seed, PASSAGES, shares), []
    while len(found) < count:
        messages = next(made)[1]
        if generator.count_tokens(messages) < LONGEST:
            found.append({"messages": messages})
    return found


def tune(generator: Generator, learned: list[dict], unseen: list[dict], settings: Settings,
         work: Path, out: Path) -> Adapter:
    """Trains the adapter in `work` and writes the model with the adapter folded in to `out`."""
    adapter = train(generator, learned, unseen, work, settings, resume=True,
                    say=lambda point: print(point, flush=True))
    save(generator, merged(with_adapter(generator, adapter)).model, out)
    return adapter


def fold(generator: Generator, folder: Path, out: Path) -> None:
    """The model with the adapter of that folder in its weights."""
    from peft import PeftModel

    worn = PeftModel.from_pretrained(deepcopy(generator.model), folder)
    save(generator, worn.merge_and_unload(), out)


def save(generator: Generator, model, out: Path) -> None:
    """A stock folder: weights in half precision, and the tokenizer as it was."""
    model.half().save_pretrained(out)
    start = Path(generator.tokenizer.name_or_path).resolve()
    if start != out.resolve():
        for file in (*start.glob("token*"), *start.glob("chat_template*")):
            shutil.copy(file, out)


def log(adapter: Adapter, path: Path) -> None:
    """The losses of the training as a table."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, fieldnames=list(asdict(adapter.history[0])))
        rows.writeheader()
        rows.writerows({k: v if v is None else round(v, 4) for k, v in asdict(point).items()}
                       for point in adapter.history)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--examples", type=int, default=9000)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--rate", type=float, default=8e-4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--start", type=Path, default=POCKET, help="the model to go on from")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "my_pocket")
    parser.add_argument("--fold", type=Path, help="an adapter to fold in, instead of training one")
    arguments = parser.parse_args()

    import torch
    from train_pocket import sources_without_probes

    torch.set_num_threads(arguments.threads)
    tasks.SHUFFLED, tasks.MADE_SHUFFLED = 0.1, 0.2
    generator = load_generator(replace(choose("embedded"), generator=str(arguments.start)))
    if arguments.fold:
        fold(generator, arguments.fold, arguments.out)
        return
    sources, held_out = sources_without_probes()
    learned = drawn(generator, sources, arguments.seed, arguments.examples)
    sources.pages = held_out
    unseen = drawn(generator, sources, arguments.seed + 1, 160)
    settings = Settings(rank=arguments.rank, alpha=2 * arguments.rank, rate=arguments.rate,
                        epochs=1, tokens_per_batch=2048, seed=arguments.seed, looks=24)
    adapter = tune(generator, learned, unseen, settings, WORK, arguments.out)
    log(adapter, WORK / "log.csv")
    print(f"{arguments.out}: {adapter.facts['seconds'] / 60:.0f} minutes, "
          f"{adapter.facts['tokens_per_second']} tokens a second")


if __name__ == "__main__":
    main()
