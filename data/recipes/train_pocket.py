"""Trains the pocket model from nothing: tokenizer, starting vectors, wiring, then examples.

    python data/recipes/train_pocket.py prepare                 # texts and vectors, minutes, once
    python data/recipes/train_pocket.py train --minutes 120     # stops and keeps a checkpoint
    python data/recipes/train_pocket.py train --minutes 60 --resume
    python data/recipes/train_pocket.py export                  # -> data/pocket_model, as fp16

`train` needs torch, transformers, tokenizers and numpy alone. Every line it prints is also a row
of `log.csv`: minutes, steps, tokens, loss, and how many held-out answers are exactly right.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2])]

import numpy as np  # noqa: E402

WORK = Path(__file__).resolve().parents[2] / "build" / "pocket"
HELD_OUT = ("theatre", "thermostat", "vet")  # trades never trained on: the probes ask about them
VOCABULARY = 12_288
CHOOSING = {"pages": 0.45, "english": 0.2, "facts": 0.25, "drills": 0.1}  # while that is learned


def sources_without_probes():
    """(training sources, probe cases of the held-out trades)."""
    import tasks

    sources = tasks.read_sources(WORK)
    probes = [c for c in sources.pages if c.ranked[0].document.rsplit("-", 1)[0] in HELD_OUT]
    sources.pages = [c for c in sources.pages if c not in probes]
    return sources, probes


def prepare(arguments) -> None:
    import tasks
    import vectors

    sources = tasks.read_sources(WORK)
    rng = random.Random(1)
    texts = [s for _, parts in sources.english for s in parts]
    texts += [c.text for case in sources.pages for c in case.ranked[:4]]
    texts += [case.question for case in sources.pages]
    for _, messages in _take(tasks.conversations(sources, 1, 3), 20_000):
        texts += [m["content"] for m in messages]
    rng.shuffle(texts)
    vectors.train_tokenizer(texts, VOCABULARY, WORK / "tokenizer")
    table = vectors.saved_vectors(WORK / "tokenizer")
    print(f"{len(texts)} texts, {table.shape[0]} tokens, vectors of {table.shape[1]}")


def _take(items: Iterator, count: int) -> Iterator:
    for _, item in zip(range(count), items, strict=False):
        yield item


# ------------------------------------------------------------------ batches


def encode(tokenizer, messages) -> tuple[list[int], int]:
    """(token ids, where the answer begins); the answer ends with the end-of-turn token."""
    *context, answer = messages
    prompt = tokenizer.apply_chat_template(context, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    said = tokenizer(answer["content"] + "<|end|>", add_special_tokens=False)["input_ids"]
    return ids + said, len(ids)


def batches(examples: Iterator, tokens: int, longest: int, window: int = 384,
            together: int = 24) -> Iterator:
    """Fixed shapes: examples of like length, padded on the right to a multiple of 32.

    At most so many together, or the short ones would have a hundred to a step, and few steps.
    """
    while True:
        group = sorted((e for e in _take(examples, window) if len(e[0]) <= longest),
                       key=lambda e: len(e[0]))
        made, batch, width = [], [], 0
        for ids, start in group:
            need = -(-len(ids) // 32) * 32
            if batch and (need != width or (len(batch) + 1) * need > tokens
                          or len(batch) == together):
                made.append((batch, width))
                batch = []
            width = need
            batch.append((ids, start))
        if batch:
            made.append((batch, width))
        random.shuffle(made)
        for batch, width in made:
            yield _padded(batch, width)


def worker(queue, seed: int, most, shuffled, tokens: int, longest: int, shares, usual) -> None:
    """Makes batches in a process of its own; `most.value` is the curriculum's current width."""
    import tasks
    from transformers import AutoTokenizer

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer = AutoTokenizer.from_pretrained(WORK / "tokenizer")
    sources, _ = sources_without_probes()
    random.seed(seed)

    usual = usual or (tasks.SHUFFLED, tasks.MADE_SHUFFLED)

    def examples():
        streams = {}
        while True:
            n, blind = most.value, bool(shuffled.value)
            tasks.SHUFFLED, tasks.MADE_SHUFFLED = (1.0, 1.0) if blind else usual
            if (n, blind) not in streams:
                streams[n, blind] = tasks.conversations(sources, seed * 1000 + n, n,
                                                        CHOOSING if blind else shares)
            yield encode(tokenizer, next(streams[n, blind])[1])

    for batch in batches(examples(), tokens, longest):
        queue.put(batch)


# ------------------------------------------------------------------ training


def new_model(layers: int, feed_forward: int, seed: int, wired: bool):
    import torch
    import vectors
    import wiring
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=vectors.WIDTH, intermediate_size=feed_forward,
        num_hidden_layers=layers, num_attention_heads=6, num_key_value_heads=6,
        max_position_embeddings=1536, tie_word_embeddings=True, attention_bias=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1e7},
        bos_token_id=None, eos_token_id=4, pad_token_id=0)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(
            torch.from_numpy(vectors.saved_vectors(WORK / "tokenizer")))
    if wired:
        wiring.wire(model, AutoTokenizer.from_pretrained(WORK / "tokenizer"), seed)
    return model


def quick_numbers(device: str):
    """bf16 where the machine computes in it; a CPU that only imitates it is nine times slower."""
    import torch

    real = device == "cuda" or any(getattr(torch.cpu, f"_is_{name}_supported", bool)()
                                   for name in ("avx512_bf16", "amx_tile"))
    return torch.autocast(device, dtype=torch.bfloat16, enabled=real)


OPENING, WEIGHT = 3, 8.0  # '[', the number, ']': choosing the passage, against copying it


def answer_loss(model, x, y):
    """Cross-entropy at the answer's positions only: logits elsewhere are never made.

    An answer chooses once and then copies some thirty tokens. Counted alike, the choice would be
    a thirtieth of what is learned; so the opening tokens weigh more.
    """
    import torch

    hidden = model.model(input_ids=x, use_cache=False).last_hidden_state
    at = y != -100
    logits = model.lm_head(hidden[at])
    each = torch.nn.functional.cross_entropy(logits.float(), y[at], reduction="none")
    weight = torch.where(at.cumsum(dim=1)[at] <= OPENING, WEIGHT, 1.0)
    return (each * weight).sum() / weight.sum(), logits, at


def learn_to_choose(model, tokenizer, queue, device: str, minutes: float) -> None:
    """Before anything else, which passage answers? First the heads set by hand, then all below.

    Only the number behind the opening '[' counts, and among the digits alone. Trained together
    with everything from the start, these heads are silenced before they have learned anything.
    """
    import wiring

    heads = wiring.masks(model, wiring.circuits()["choosing"])
    wider = wiring.about_meaning(model)
    wider |= {w: mask | wider[w] if w in wider else mask for w, mask in heads.items()}
    whole, model.model.layers = model.model.layers, model.model.layers[:4]
    _choosing(model, tokenizer, queue, device, 0.4 * minutes, 1e-3, heads)
    _choosing(model, tokenizer, queue, device, 0.6 * minutes, 2e-4, wider)
    model.model.layers = whole


def _choosing(model, tokenizer, queue, device: str, minutes: float, rate: float, mine) -> None:
    """Minutes of learning the number, with the parameters that are `mine`, where the mask says."""
    import torch

    digits = torch.tensor(tokenizer.convert_tokens_to_ids([str(n) for n in range(1, 10)]),
                          device=device)
    optimizer = torch.optim.AdamW(list(mine), lr=rate, betas=(0.9, 0.98), weight_decay=0.0)
    started, seen, step = time.monotonic(), [], 0
    while (done := (time.monotonic() - started) / (60 * minutes)) < 1:
        optimizer.param_groups[0]["lr"] = rate * min(1, (step + 1) / 30) * (
            0.525 + 0.475 * math.cos(math.pi * done))
        x, y = (torch.from_numpy(a).to(device) for a in queue.get())
        second = (y != -100) & ((y != -100).cumsum(dim=1) == 2) & torch.isin(y, digits)
        if not second.any():
            continue
        with quick_numbers(device):
            hidden = model.model(input_ids=x, use_cache=False).last_hidden_state[second]
            logits = torch.nn.functional.linear(hidden, model.lm_head.weight[digits]).float()
        wanted = (y[second][:, None] == digits).int().argmax(dim=1)
        loss = torch.nn.functional.cross_entropy(logits, wanted)
        loss.backward()
        for parameter in model.parameters():
            if parameter in mine:
                parameter.grad.mul_(mine[parameter])
            else:
                parameter.grad = None
        torch.nn.utils.clip_grad_norm_(list(mine), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seen.append((loss.item(), float((logits.argmax(-1) == wanted).float().mean())))
        step += 1
        if step % 50 == 0:
            print("choosing  step {}  loss {:.3f}  right {:.3f}".format(
                step, *np.mean(seen, axis=0)), flush=True)
            seen = []


def keep_still(model) -> None:
    """What the choosing heads stand on stays as it is: the vectors and the layers below them.

    Left free, these move within a hundred steps, and the heads compare what no longer is there.
    """
    for part in (model.model.embed_tokens, *model.model.layers[:3],
                 model.model.layers[3].input_layernorm):
        part.requires_grad_(False)


class Probes:
    """Held-out answers, scored without generating: exact means every token would be greedy's."""

    def __init__(self, tokenizer, cases, sources, count: int) -> None:
        import tasks

        rng = random.Random(7)
        sources.pages, kept = cases, sources.pages
        draw = {
            "pages": lambda: tasks.grounded_example(rng, tasks.from_pages(rng, sources, 6)),
            "facts": lambda: tasks.grounded_example(rng, tasks.from_facts(rng, sources, 4, 4)),
            "copies": lambda: tasks.drill(rng, sources, 4),
            "forms": lambda: tasks.behaviour(rng, sources, 4),
        }
        self.sets = {}
        for name, make in draw.items():
            made = sorted((encode(tokenizer, make()) for _ in range(count)),
                          key=lambda e: len(e[0]))
            self.sets[name] = [_padded(made[i:i + 24]) for i in range(0, count, 24)]
        sources.pages = kept

    def score(self, model) -> dict[str, float]:
        import torch

        model.eval()
        found = {}
        for name, sets in self.sets.items():
            exact = first = total = 0
            with torch.no_grad(), quick_numbers(model.device.type):
                for pair in sets:
                    x, y = (torch.from_numpy(a).to(model.device) for a in pair)
                    _, logits, at = answer_loss(model, x, y)
                    hit = torch.ones_like(y, dtype=torch.bool)
                    hit[at] = logits.argmax(-1) == y[at]
                    exact += int(hit.all(dim=1).sum())
                    opening = at & (at.cumsum(dim=1) <= 3)
                    first += int((hit | ~opening).all(dim=1).sum())
                    total += len(x)
            found[name] = exact / total
            found[f"{name}_start"] = first / total
        model.train()
        return found


def _padded(group, width: int = 0):
    """(inputs, labels): every answer token is the label of the position before it."""
    width = width or -(-max(len(ids) for ids, _ in group) // 32) * 32
    x = np.zeros((len(group), width), dtype="int64")
    y = np.full((len(group), width), -100, dtype="int64")
    for i, (ids, start) in enumerate(group):
        x[i, :len(ids)] = ids
        y[i, start - 1:len(ids) - 1] = ids[start:]
    return x, y


def train(arguments) -> None:
    import torch
    import wiring
    from transformers import AutoTokenizer, LlamaForCausalLM

    torch.manual_seed(arguments.seed)
    cuda = torch.cuda.is_available()
    device = "cuda" if cuda else "cpu"
    if not cuda:
        torch.set_num_threads(arguments.threads)

    tokenizer = AutoTokenizer.from_pretrained(WORK / "tokenizer")
    run = WORK / arguments.name
    run.mkdir(parents=True, exist_ok=True)
    model = new_model(arguments.layers, arguments.ffn, arguments.seed, not arguments.unwired)
    model.to(device).train()
    vectors = [p for n, p in model.named_parameters() if "embed" in n]
    matrices = [p for n, p in model.named_parameters() if "embed" not in n and p.dim() > 1]
    small = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": vectors, "scale": 0.3},
              {"params": matrices, "scale": 1.0, "weight_decay": 0.02},
              {"params": small, "scale": 1.0}]
    optimizer = torch.optim.AdamW(groups, lr=arguments.rate, betas=(0.9, 0.98), weight_decay=0.0,
                                  fused=True)
    state = {"minutes": 0.0, "steps": 0, "tokens": 0}
    if arguments.resume and (run / "checkpoint.pt").exists():
        saved = torch.load(run / "checkpoint.pt", map_location=device)
        model.load_state_dict(saved["model"])
        if "optimizer" in saved:
            optimizer.load_state_dict(saved["optimizer"])
        state = saved["state"]
        print(f"resumed at minute {state['minutes']:.1f}, step {state['steps']}")
    elif arguments.start:
        model.load_state_dict(LlamaForCausalLM.from_pretrained(
            arguments.start, dtype=torch.float32).state_dict())
        arguments.curriculum = [(1.0, 6)]
    sources, cases = sources_without_probes()
    probes = Probes(tokenizer, cases, sources, arguments.probes)
    del sources
    begin, total = state["minutes"], state["minutes"] + arguments.minutes

    spawn = multiprocessing.get_context("spawn")
    queue, most = spawn.Queue(maxsize=8), spawn.Value("i", 4)
    shuffled = spawn.Value("b", 1)  # while choosing is learned, the order must not tell
    shares = json.loads(arguments.shares) if arguments.shares else None
    import tasks
    workers = [spawn.Process(target=worker, daemon=True, args=(
        queue, arguments.seed * 100 + i + state["steps"], most, shuffled, arguments.tokens,
        arguments.longest, shares or tasks.SHARES, arguments.shuffled))
        for i in range(arguments.workers)]
    for process in workers:
        process.start()
    batch = queue.get()
    started = last_print = last_save = time.monotonic()
    if not (arguments.unwired or arguments.start or state["steps"]):
        learn_to_choose(model, tokenizer, queue, device, arguments.choosing)
        started = last_print = last_save = time.monotonic()
    shuffled.value = 0
    if not arguments.unwired:
        keep_still(model)
    slow = {} if arguments.unwired else wiring.masks(
        model, sum(wiring.circuits().values(), []))
    slow = {p: mask for p, mask in slow.items() if p.requires_grad}
    losses = []
    while True:
        now = time.monotonic()
        state["minutes"] = begin + (now - started) / 60
        done = state["minutes"] / total
        most.value = next(m for at, m in arguments.curriculum if done < at or at >= 1)
        rate = arguments.rate * min(1, (state["steps"] + 1) / arguments.warmup) * (
            0.04 + 0.96 * 0.5 * (1 + math.cos(math.pi * min(1, done))))
        for group in optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        x, y = (torch.from_numpy(a).to(device) for a in batch)
        with quick_numbers(device):
            loss, _, _ = answer_loss(model, x, y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        before = {p: p.detach().clone() for p in slow}
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():  # what was set by hand moves slowly, while the rest finds its place
            for p, mask in slow.items():
                p.copy_(torch.where(mask, before[p].lerp(p, arguments.wired_rate), p))
        losses.append(loss.detach())
        state["steps"] += 1
        state["tokens"] += x.numel()
        if now - last_print > 60 * arguments.every or done >= 1:
            row = {"minutes": round(state["minutes"], 2), "steps": state["steps"],
                   "tokens": state["tokens"], "passages": most.value,
                   "loss": round(float(torch.stack(losses).mean()), 4)}
            row |= {k: round(v, 4) for k, v in probes.score(model).items()}
            _log(run / "log.csv", row)
            print("  ".join(f"{k} {v}" for k, v in row.items()), flush=True)
            losses, last_print = [], time.monotonic()
        if now - last_save > 60 * arguments.save or done >= 1:
            temporary = run / "checkpoint.tmp"
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(),
                        "state": state, "config": model.config.to_dict()}, temporary)
            temporary.replace(run / "checkpoint.pt")
            last_save = time.monotonic()
        if done >= 1:
            break
        batch = queue.get()
    for process in workers:
        process.terminate()


def _log(path: Path, row: dict) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def export(arguments) -> None:
    """The last checkpoint as a stock model folder: safetensors in half precision, tokenizer."""
    import torch
    from transformers import AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM

    saved = torch.load(WORK / arguments.name / "checkpoint.pt", map_location="cpu")
    model = LlamaForCausalLM(LlamaConfig(**saved["config"]))
    model.load_state_dict(saved["model"])
    model = model.half()
    model.generation_config = GenerationConfig(
        eos_token_id=4, pad_token_id=0, max_new_tokens=160, do_sample=False)
    out = Path(arguments.out)
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(WORK / "tokenizer").save_pretrained(out)
    size = sum(p.stat().st_size for p in out.iterdir()) / 1e6
    print(f"{out}: {sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters, "
          f"{size:.1f} MB, {saved['state']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare").set_defaults(do=prepare)
    one = commands.add_parser("train")
    one.set_defaults(do=train)
    one.add_argument("--minutes", type=float, default=120)
    one.add_argument("--resume", action="store_true")
    one.add_argument("--name", default="run")
    one.add_argument("--seed", type=int, default=1)
    one.add_argument("--layers", type=int, default=6)
    one.add_argument("--ffn", type=int, default=768)
    one.add_argument("--rate", type=float, default=1e-3)
    one.add_argument("--warmup", type=int, default=100)
    one.add_argument("--tokens", type=int, default=6144, help="tokens a batch")
    one.add_argument("--longest", type=int, default=640)
    one.add_argument("--workers", type=int, default=1)
    one.add_argument("--threads", type=int, default=2)
    one.add_argument("--every", type=float, default=3, help="minutes between two log lines")
    one.add_argument("--save", type=float, default=5, help="minutes between two checkpoints")
    one.add_argument("--probes", type=int, default=120)
    one.add_argument("--choosing", type=float, default=6.5,
                     help="minutes in which choosing is learned alone")
    one.add_argument("--wired-rate", type=float, default=0.1,
                     help="how fast the heads set by hand learn, against the others")
    one.add_argument("--unwired", action="store_true", help="leave the circuits out (ablation)")
    one.add_argument("--start", help="a finished model to go on from, with WORK/tokenizer its own")
    one.add_argument("--shuffled", type=float, nargs=2, help="shares of contexts in no order: "
                     "of pages, of what is made")
    one.add_argument("--shares", help="JSON of task shares (ablations)")
    one.set_defaults(curriculum=[(0.1, 4), (0.5, 6), (1.0, 8)])
    two = commands.add_parser("export")
    two.set_defaults(do=export)
    two.add_argument("--name", default="run")
    two.add_argument("--out", default=str(Path(__file__).resolve().parents[1] / "pocket_model"))
    arguments = parser.parse_args()
    arguments.do(arguments)


if __name__ == "__main__":
    main()
