"""The loss of one step of a training, without ever holding its logits.

Logits are made only where an answer is learned, a few rows at a time, and their gradient in the
same pass. The results are those of the plain way, but for the last digit. How the layers below are
computed is the business of `passes`.
"""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy, linear, pad

from utils.batching import Batch

ROWS = 64  # so many answers' logits at once, always: for a new shape, products are built anew


def answer_loss(model, batch: Batch) -> torch.Tensor:
    """The summed loss of the answers' tokens. The layer that makes logits sees only those."""
    head, told = model.get_output_embeddings(), []

    def answers(hidden: torch.Tensor) -> torch.Tensor:
        told.append(_AnswerLoss.apply(hidden.flatten(0, 1).index_select(0, batch.places),
                                      head.narrow, batch.labels))
        return told[0]

    if hasattr(head, "narrow"):
        head.forward = answers
        try:
            found = model(input_ids=batch.inputs, use_cache=False).logits
        finally:
            del head.forward
        if found is told[0]:
            return found
        del head.narrow  # the model does something more with its logits: from now on the plain way
    chosen = head.register_forward_pre_hook(
        lambda _, given: (given[0].flatten(0, 1).index_select(0, batch.places)[None],))
    try:
        logits = model(input_ids=batch.inputs, use_cache=False).logits[0]
    finally:
        chosen.remove()
    return cross_entropy(logits.float(), batch.labels, reduction="sum")


class _AnswerLoss(torch.autograd.Function):
    """The summed cross-entropy, and its gradient with it, a few rows at a time.

    The logits of all answers together would be the largest thing in memory. The gradient at them
    is softmax minus one at the label; what reaches the layer below is made of it at once.
    """

    @staticmethod
    def forward(ctx, hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor
                ) -> torch.Tensor:
        rows = pad(hidden.to(weight.dtype), (0, 0, 0, -len(labels) % ROWS))
        gradient, loss = torch.empty_like(rows), hidden.new_zeros((), dtype=torch.float32)
        for start, wanted in enumerate(labels[:, None].split(ROWS)):
            piece = slice(start * ROWS, start * ROWS + ROWS)
            shares = linear(rows[piece], weight).log_softmax(-1, dtype=torch.float32)
            loss -= shares[:len(wanted)].gather(-1, wanted).sum()
            if ctx.needs_input_grad[0]:  # a validation needs none
                shares.exp_().scatter_add_(-1, wanted, shares.new_full(wanted.shape, -1.0))
                torch.mm(shares.to(weight.dtype), weight, out=gradient[piece])
        ctx.save_for_backward(gradient[:len(hidden)])
        ctx.given = hidden.dtype
        return loss

    @staticmethod
    def backward(ctx, times: torch.Tensor):
        gradient, = ctx.saved_tensors
        return gradient.to(ctx.given) * times, None, None
