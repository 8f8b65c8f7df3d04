"""A tokenizer of the pocket model's own, and a vector for each token that already means something.

A token's vector has three parts. *Meaning*: what the offline embedder makes of the token's
text, so that "refund" and "repayment" are neighbours before training starts, and a word never
seen in training still has a place. *Identity*: random signs that tell "refund" from
"repayment" all the same; without it a model that copies slips from a word to its neighbour.
*Room*: zeros, where the first layer notes which tokens came just before (`wiring`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

SPECIAL = ["<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
TEMPLATE = ("{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}"
            "<|end|>\n{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}")
MEANING, IDENTITY, ROOM = 184, 112, 88
WIDTH = MEANING + IDENTITY + ROOM
ROOM_AT = MEANING + IDENTITY  # which tokens came before: 3 times 21 numbers
NUMBER_AT = ROOM_AT + 63  # the number of the passage: 12 of these 24 are used
SPARE_AT = NUMBER_AT + 23  # what makes every token's vector equally long
RELEVANCE_AT = NUMBER_AT + 24  # how much the question speaks of it: 1


LITTLE = frozenset(
    "a an the of to in on at for from with by and or but if is are was were be been do does did "
    "can could will would should may might must have has had i you we they he she it my "
    "your our their its this that these those what which who when where why how not no as so than "
    "then me us them am im s t re ll ve d m there here any some please".split())


def train_tokenizer(texts: Iterable[str], size: int, folder: Path) -> None:
    """A cased byte-level BPE, digits one by one, saved with its chat template."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    pieces = Regex(r"'[a-z]{1,2}\b| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(pieces, "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIAL, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<|pad|>",
                                   eos_token="<|end|>", chat_template=TEMPLATE,
                                   padding_side="left", model_max_length=1536,
                                   clean_up_tokenization_spaces=False)
    fast.save_pretrained(folder)


def token_vectors(folder: Path, seed: int = 1) -> np.ndarray:
    """One row a token: meaning from the embedder, identity from the seed, room of zeros."""
    from transformers import AutoTokenizer

    from utils.embedding import embed, plain_embedder

    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [tokenizer.decode([i]).strip() for i in range(len(tokenizer))]
    meaning = embed([t if t and t not in SPECIAL else "." for t in texts], plain_embedder(),
                    batch=256)
    meaning -= meaning.mean(axis=0)
    _, _, axes = np.linalg.svd(meaning, full_matrices=False)
    meaning = meaning @ axes[:MEANING].T
    rng = np.random.default_rng(seed)
    identity = rng.choice((-1.0, 1.0), (len(texts), IDENTITY))
    plain = np.array([[0.15 if t.lower() in LITTLE or not any(c.isalnum() for c in t) else 1.0]
                      for t in texts])  # "the" and "," say little about what a sentence is about
    parts = [0.6 * plain * _unit(meaning), 0.8 * _unit(identity), np.zeros((len(texts), ROOM))]
    table = np.concatenate(parts, axis=1)
    table[:, SPARE_AT] = np.sqrt(np.maximum(0, 1 - (table ** 2).sum(axis=1)))
    return table.astype("float32")  # all of one length: a "the" must not match louder than a name


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def saved_vectors(folder: Path, seed: int = 1) -> np.ndarray:
    """`token_vectors`, computed once for each tokenizer and kept beside it."""
    path = folder / f"vectors-{MEANING}-{seed}.npy"
    if not path.exists():
        np.save(path, token_vectors(folder, seed).astype("float16"))
        (folder / "vectors.json").write_text(json.dumps(
            {"meaning": MEANING, "identity": IDENTITY, "room": ROOM, "seed": seed}),
            encoding="utf-8")
    return np.load(path).astype("float32")
