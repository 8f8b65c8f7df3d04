"""How the pocket model starts: two circuits that copying needs, set by hand before training.

A model that copies must do two things at once: know which words it has just written, and find
where those words stand in the context to read off the next one. Models discover this pair of
attention heads by themselves after a few hundred million tokens; here they are in place from
the first step, as ordinary weights that training is free to change.

1. Layer 0: three heads look exactly one, two and three tokens back and note in the vector's
   `room` which tokens stood there (a fixed random projection of their identity).
2. Two heads of a later layer look for the place whose *three tokens before it* are the
   three tokens just written, and pass on the identity of what stands there.
3. Some heads of the first layers compare meanings: a passage's word looks at the question's
   words that mean the same.
"""

from __future__ import annotations

import torch
from vectors import IDENTITY, MEANING, ROOM, WIDTH

CODE = ROOM // 3  # how many numbers note one earlier token


def wire(model, seed: int = 1, copy_layer: int = 3) -> None:
    """Sets the heads described above in a freshly made model, in place."""
    config = model.config
    size = config.hidden_size // config.num_attention_heads
    if config.hidden_size != WIDTH or size != 64:
        raise ValueError(f"wire() is written for width {WIDTH} and heads of 64.")
    gen = torch.Generator().manual_seed(seed)
    project = torch.linalg.qr(torch.randn(IDENTITY, CODE, generator=gen))[0].T
    layers = model.model.layers
    with torch.no_grad():
        for back in (1, 2, 3):
            _look_back(layers[0].self_attn, back - 1, back, project, config)
        for layer, heads in ((0, (3, 4, 5)), (1, (0, 1, 2, 3)), (2, (0, 1))):
            for head in heads:
                _same_meaning(layers[layer].self_attn, head, gen)
        for part, head in enumerate((0, 1)):
            _continue_match(layers[copy_layer].self_attn, head, part, project, gen)


def _rows(head: int) -> slice:
    return slice(64 * head, 64 * head + 64)


def _look_back(attention, head: int, back: int, project: torch.Tensor, config) -> None:
    """Constant query and key whose rotary angle agrees only `back` tokens apart."""
    theta = config.rope_parameters["rope_theta"]
    fast = torch.arange(12)
    angle = back * theta ** (-fast / 32.0)
    query, key = torch.zeros(64), torch.zeros(64)
    query[fast] = 9.0
    key[fast], key[fast + 32] = 9.0 * torch.cos(angle), 9.0 * torch.sin(angle)
    rows = _rows(head)
    for linear, bias in ((attention.q_proj, query), (attention.k_proj, key)):
        linear.weight[rows] = 0
        linear.bias[rows] = bias
    attention.v_proj.weight[rows] = 0
    start = MEANING
    attention.v_proj.weight[64 * head:64 * head + CODE, start:start + IDENTITY] = project * 0.12
    attention.o_proj.weight[:, rows] = 0
    first = MEANING + IDENTITY + CODE * (back - 1)
    for i in range(CODE):
        attention.o_proj.weight[first + i, 64 * head + i] = 0.6


def _slow(count: int, skip: int = 0) -> torch.Tensor:
    """Head dimensions that rotate so slowly that distance hardly matters."""
    pairs = torch.arange(13 + skip, 13 + skip + count)
    return torch.cat([pairs, pairs + 32])


def _same_meaning(attention, head: int, gen: torch.Generator) -> None:
    dims = _slow(19)
    shared = torch.randn(len(dims), MEANING, generator=gen) / MEANING ** 0.5
    for linear in (attention.q_proj, attention.k_proj):
        linear.weight[_rows(head)] = 0
        linear.weight[64 * head + dims[:, None], torch.arange(MEANING)[None]] = shared * 1.4


def _continue_match(attention, head: int, part: int, project: torch.Tensor,
                    gen: torch.Generator) -> None:
    """Query: this token and the two before it. Key: the three tokens before. Value: identity."""
    dims = _slow(18).reshape(3, 12)
    room = MEANING + IDENTITY
    rows = _rows(head)
    attention.q_proj.weight[rows] = 0
    attention.k_proj.weight[rows] = 0
    small = torch.linalg.qr(torch.randn(CODE, 12, generator=gen))[0].T
    for step in range(3):
        spots = 64 * head + dims[step][:, None]
        noted = torch.arange(room + CODE * step, room + CODE * (step + 1))[None]
        attention.k_proj.weight[spots, noted] = 1.5 * small
        if step == 0:
            identity = torch.arange(MEANING, room)[None]
            attention.q_proj.weight[spots, identity] = 2.3 * small @ project
        else:
            attention.q_proj.weight[spots, noted - CODE] = 1.5 * small
    half = IDENTITY // 2
    start = MEANING + half * part
    attention.v_proj.weight[rows] = 0
    attention.o_proj.weight[:, rows] = 0
    for i in range(half):
        attention.v_proj.weight[64 * head + i, start + i] = 0.2
        attention.o_proj.weight[start + i, 64 * head + i] = 0.6
