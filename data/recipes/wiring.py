"""How the pocket model starts: three circuits set by hand before training.

A reader must match, choose and copy. Here the attention heads for that are in place from the first
step, as ordinary weights that training can change. Copying works before the first step; matching
and choosing are learned from there, alone and first (`train_pocket.learn_to_choose`), then slowly.

Copying.  Layer 0: three heads look one, two and three tokens back and note in the vector's `room`
which tokens stood there. Two heads of a later layer look for the place whose three tokens before
it are the three just written, and pass on the identity of what stands there; two more take away the
identity of the token just written. Every number written by hand is kept small beside the vector it
is added to: each layer first brings the vector to one length, so that a loud note on one token
makes all its other notes faint, and the copy goes wrong exactly there.

Matching. A head of layer 1 notes the number of the passage in which a token stands: it looks for
the nearest digit that follows a `[`. Two heads of layer 2 let each token look at the question's
tokens of the same meaning, or at a resting place if there are none; how far they looked away
from it is the token's relevance.

Choosing. Where a `[` has just been written, a head looks at the most relevant tokens and passes on
the number of their passage.
"""

from __future__ import annotations

import torch
from vectors import IDENTITY, MEANING, NUMBER_AT, RELEVANCE_AT, ROOM_AT, SPECIAL, WIDTH

MATCHING = (0, 1, 2, 3)  # heads of layer 2 that compare passages with the question
PARTS = (9, 9, 5)  # of those, how many are compared for each of three tokens when a copy goes on
AROUND = 8  # numbers that are compared of the words around
FAINT = 0.15  # relevance is noted in a small number: a loud one would drown the notes beside it
GAIN = 1.6  # how loud the copied token is
OWN = 0.5  # how much of the current token is taken away
SHARP = 2.5  # how sure the copying heads are of their place
MEET = 1.15
RESTS = 2.0  # how firmly the copying heads stay out of the choice behind a `[`
STAY = 2.0  # how much it counts there that both stand in, or quote, the same passage
CODE = 21  # numbers that note one earlier token
LOUDER = 1.6  # a mean of several tokens is fainter than one
AROUND_SHARP = 2.5
THETA = 1e7
NOTES = 12  # one number for each of the passages 1 to 9, <|user|>, <|system|>, <|assistant|>
AROUND_AT = NUMBER_AT + NOTES
IDS = slice(MEANING, MEANING + IDENTITY)
SYSTEM, USER, ASSISTANT = (SPECIAL.index(f"<|{r}|>") for r in ("system", "user", "assistant"))


def wire(model, tokenizer, seed: int = 1) -> None:
    """Sets the heads described above in a freshly made model, in place."""
    config = model.config
    if config.hidden_size != WIDTH or config.hidden_size // config.num_attention_heads != 64:
        raise ValueError(f"wire() is written for width {WIDTH} and heads of 64.")
    gen = torch.Generator().manual_seed(seed)
    past = torch.eye(IDENTITY)[:CODE]  # signs make a code whose every part is equally long
    bracket = tokenizer.convert_tokens_to_ids("[")
    noted = [*(tokenizer.convert_tokens_to_ids(str(n)) for n in range(1, 10)), USER, SYSTEM,
             ASSISTANT]
    layers = [layer.self_attn for layer in model.model.layers]
    with torch.no_grad():
        for layer in model.model.layers:  # what is random starts quiet, so that it drowns nothing
            layer.self_attn.o_proj.weight *= 0.15
            layer.mlp.down_proj.weight *= 0.15
        identity = torch.nn.functional.normalize(model.model.embed_tokens.weight[:, IDS], dim=1)
        for back in (1, 2, 3):
            _look_back(layers[0], back - 1, back, past, config)
        for head in (3, 4, 5):
            _same_meaning(layers[0], head, gen)
        read = torch.linalg.pinv(identity[noted].T)  # identity -> which of the noted it is
        rest = read[9:11].sum(dim=0)
        _passage_number(layers[1], 0, past @ identity[bracket], read)
        for head in (1, 2):
            _same_meaning(layers[1], head, gen)
        for head in MATCHING:
            _question_match(layers[2], head, rest, gen)
        for part in (0, 1):
            _continue_match(layers[3], part, part, past, identity[bracket], identity[USER])
            _forget_own(layers[3], 3 + part, part, config)
        _words_around(layers[2], 5)
        _choose(layers[3], 2, identity[bracket], rest, identity[noted])


def circuits() -> dict[str, list[tuple[int, int]]]:
    """(layer, head) of every head set by hand, by what it is for."""
    return {"copying": [(0, 0), (0, 1), (0, 2), (2, 5), (3, 0), (3, 1), (3, 3), (3, 4)],
            "choosing": [*((2, h) for h in MATCHING), (3, 2)],
            "numbering": [(1, 0)]}


def masks(model, heads: list[tuple[int, int]]) -> dict:
    """For each parameter that these heads own a part of: which part (True)."""
    found = {}
    for layer, head in heads:
        attention = model.model.layers[layer].self_attn
        for linear in (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj):
            weight = linear.weight
            mask = found.setdefault(weight, torch.zeros_like(weight, dtype=torch.bool))
            if linear is attention.o_proj:
                mask[:, _rows(head)] = True
                continue
            mask[_rows(head)] = True
            bias = found.setdefault(linear.bias, torch.zeros_like(linear.bias, dtype=torch.bool))
            bias[_rows(head)] = True
    return found


def about_meaning(model) -> dict:
    """What else of the lower three layers may learn to choose: all that writes meaning alone.

    The other heads and the feed-forward parts are kept, from the start, out of the numbers that
    copying stands on.
    """
    found = {}
    for number, heads in ((0, (3, 4, 5)), (1, (1, 2, 3, 4, 5)), (2, (4,))):
        layer = model.model.layers[number]
        known = masks(model, [(number, head) for head in heads])
        known |= {w: torch.ones_like(w, dtype=torch.bool)
                  for w in (layer.mlp.gate_proj.weight, layer.mlp.up_proj.weight,
                            layer.mlp.down_proj.weight)}
        for weight in (layer.self_attn.o_proj.weight, layer.mlp.down_proj.weight):
            with torch.no_grad():
                weight[MEANING:RELEVANCE_AT][known[weight][MEANING:RELEVANCE_AT]] = 0
            known[weight][MEANING:RELEVANCE_AT] = False
        found |= known
    return found


def _rows(head: int) -> slice:
    return slice(64 * head, 64 * head + 64)


def _clear(attention, head: int) -> None:
    """The head starts from nothing instead of from noise."""
    rows = _rows(head)
    for linear in (attention.q_proj, attention.k_proj, attention.v_proj):
        linear.weight[rows] = 0
        linear.bias[rows] = 0
    attention.o_proj.weight[:, rows] = 0


def _pair(head: int, number: int) -> int:
    """The first dimension of a rotary pair; the late pairs hardly rotate."""
    return 64 * head + number


def _look_back(attention, head: int, back: int, past: torch.Tensor, config) -> None:
    """Constant query and key whose rotary angle agrees only `back` tokens apart."""
    theta = config.rope_parameters["rope_theta"]
    fast = torch.arange(12)
    angle = back * theta ** (-fast / 32.0)
    _clear(attention, head)
    attention.q_proj.bias[_pair(head, 0) + fast] = 9.0
    attention.k_proj.bias[_pair(head, 0) + fast] = 9.0 * torch.cos(angle)
    attention.k_proj.bias[_pair(head, 32) + fast] = 9.0 * torch.sin(angle)
    attention.v_proj.weight[64 * head:64 * head + CODE, IDS] = past * 0.12
    first = ROOM_AT + CODE * (back - 1)
    for i in range(CODE):
        attention.o_proj.weight[first + i, 64 * head + i] = 0.6


def _slow(first: int, count: int) -> torch.Tensor:
    """Head dimensions that rotate so slowly that distance hardly matters."""
    pairs = torch.arange(first, first + count)
    return torch.cat([pairs, pairs + 32])


def _same_meaning(attention, head: int, gen: torch.Generator) -> None:
    """Query and key are the same projection of meaning: likes look at likes."""
    dims = _slow(13, 19)
    shared = torch.randn(len(dims), MEANING, generator=gen) / MEANING ** 0.5
    for linear in (attention.q_proj, attention.k_proj):
        linear.weight[_rows(head)] = 0
        linear.weight[64 * head + dims[:, None], torch.arange(MEANING)[None]] = shared * 1.4


def _passage_number(attention, head: int, after: torch.Tensor, read: torch.Tensor) -> None:
    """The nearest digit that follows a `[`; tokens before any rest on <|user|> or <|system|>."""
    _clear(attention, head)
    for number in (8, 9, 10):  # these turn a quarter in about a hundred tokens: nearer is better
        attention.q_proj.bias[_pair(head, number)] = 7.7
        attention.k_proj.bias[_pair(head, number)] = 7.7
    after = after / after.norm()
    attention.q_proj.bias[_pair(head, 31)] = 6.0
    attention.k_proj.weight[_pair(head, 31), ROOM_AT:ROOM_AT + CODE] = 6.0 * after
    attention.q_proj.bias[_pair(head, 30)] = 6.0
    attention.k_proj.weight[_pair(head, 30), IDS] = 1.5 * read[:9].sum(dim=0)
    attention.q_proj.bias[_pair(head, 29)] = 6.0
    attention.k_proj.weight[_pair(head, 29), IDS] = 4.0 * read[9:].sum(dim=0)
    attention.v_proj.weight[64 * head:64 * head + NOTES, IDS] = read * 0.15
    for i in range(NOTES):
        attention.o_proj.weight[NUMBER_AT + i, 64 * head + i] = 0.2


def _question_match(attention, head: int, rest: torch.Tensor, gen: torch.Generator) -> None:
    """A token looks at question tokens of its meaning, or rests; relevance is not resting."""
    _clear(attention, head)
    dims = _slow(13, 16)
    shared = torch.randn(len(dims), MEANING, generator=gen) / len(dims) ** 0.5
    for linear in (attention.q_proj, attention.k_proj):
        linear.weight[64 * head + dims[:, None], torch.arange(MEANING)[None]] = shared * MEET
    attention.q_proj.bias[_pair(head, 30)] = 6.0
    attention.k_proj.weight[_pair(head, 30), NUMBER_AT + 9] = 3.9
    attention.q_proj.bias[_pair(head, 31)] = 6.0
    attention.k_proj.weight[_pair(head, 31), IDS] = 1.0 * rest
    attention.v_proj.bias[64 * head] = 1.0
    attention.v_proj.weight[64 * head, IDS] = -rest / 12.0
    attention.o_proj.weight[RELEVANCE_AT, 64 * head] = 1.6 * FAINT / len(MATCHING)


def _words_around(attention, head: int) -> None:
    """Notes the mean of the tokens four to ten back: where three tokens stand twice, it decides."""
    pairs, back = torch.tensor((3, 4, 5, 7, 9)), 7
    _clear(attention, head)
    angle = back * THETA ** (-pairs / 32.0)
    attention.q_proj.bias[_pair(head, 0) + pairs] = 6.0
    attention.k_proj.bias[_pair(head, 0) + pairs] = 6.0 * torch.cos(angle)
    attention.k_proj.bias[_pair(head, 32) + pairs] = 6.0 * torch.sin(angle)
    for i in range(AROUND):
        attention.v_proj.weight[64 * head + i, MEANING + CODE + i] = 0.12
        attention.o_proj.weight[AROUND_AT + i, 64 * head + i] = LOUDER


def _continue_match(attention, head: int, part: int, past: torch.Tensor, bracket: torch.Tensor,
                    rest: torch.Tensor) -> None:
    """Query: this token and the two before it. Key: the three tokens before. Value: identity.

    Query and key also carry the number of their passage, who copies from a passage stays in it,
    and the words around. Behind a `[` there is nothing to copy, the number is to be chosen: there
    the head rests.
    """
    _clear(attention, head)
    spare = _slow(13, 19)
    *dims, numbers, around, rested = torch.split(spare, (*PARTS, 6, AROUND, 1))
    for count, first, strength in ((6, NUMBER_AT, STAY), (AROUND, AROUND_AT, AROUND_SHARP)):
        where = 64 * head + (numbers if count == 6 else around)
        for linear in (attention.q_proj, attention.k_proj):
            linear.weight[where, torch.arange(first, first + count)] = strength
    for step, spots in enumerate(dims):
        size, spots = len(spots), 64 * head + spots
        noted = torch.arange(ROOM_AT + CODE * step, ROOM_AT + CODE * step + size)
        attention.k_proj.weight[spots, noted] = SHARP
        if step == 0:
            attention.q_proj.weight[spots, MEANING + torch.arange(size)] = 1.5 * SHARP
        else:
            attention.q_proj.weight[spots, noted - CODE] = SHARP
    attention.q_proj.weight[64 * head + int(rested), IDS] = RESTS * bracket
    attention.k_proj.weight[64 * head + int(rested), IDS] = RESTS * rest
    half = IDENTITY // 2
    read = 0.2 * (torch.eye(IDENTITY) - torch.outer(rest, rest))[half * part:half * (part + 1)]
    attention.v_proj.weight[64 * head:64 * head + half, IDS] = read
    for i in range(half):
        attention.o_proj.weight[MEANING + half * part + i, 64 * head + i] = GAIN


def _forget_own(attention, head: int, part: int, config) -> None:
    """Looks at the token itself and takes its identity away: what comes next is another one."""
    fast = torch.arange(12)
    _clear(attention, head)
    attention.q_proj.bias[_pair(head, 0) + fast] = 9.0
    attention.k_proj.bias[_pair(head, 0) + fast] = 9.0
    half = IDENTITY // 2
    for i in range(half):
        attention.v_proj.weight[64 * head + i, MEANING + half * part + i] = 0.1
        attention.o_proj.weight[MEANING + half * part + i, 64 * head + i] = -OWN


def _choose(attention, head: int, bracket: torch.Tensor, rest: torch.Tensor,
            noted: torch.Tensor) -> None:
    """After a `[`: the numbers of the passages whose tokens are relevant. Elsewhere: rest."""
    _clear(attention, head)
    attention.q_proj.weight[_pair(head, 31), IDS] = 1.0 * bracket
    attention.k_proj.weight[_pair(head, 31), RELEVANCE_AT] = 0.7 / FAINT
    attention.k_proj.weight[_pair(head, 31), NUMBER_AT + 9:NUMBER_AT + NOTES] = -9.0
    attention.q_proj.bias[_pair(head, 30)] = 6.0
    attention.k_proj.weight[_pair(head, 30), IDS] = 1.25 * rest
    for i in range(9):
        attention.v_proj.weight[64 * head + i, NUMBER_AT + i] = 1.2
    attention.o_proj.weight[IDS, 64 * head:64 * head + 9] = 0.08 * noted[:9].T
