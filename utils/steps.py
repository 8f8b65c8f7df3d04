"""What one step of a training computes, in as few passes over the memory as it takes.

A small model on a CPU spends more time on moving numbers than on multiplying them. So logits are
made only where an answer is learned, their loss and its gradient come out of the same pass, and
LoRA's change is added while its last product is computed. The results are those of the plain way,
but for the last digit.
"""

from __future__ import annotations

from functools import partial

import torch
from torch.nn.functional import linear

from utils.batching import Batch


def answer_loss(model, batch: Batch) -> torch.Tensor:
    """The summed loss of the answers' tokens. The layer that makes logits sees only those."""
    head = model.get_output_embeddings().register_forward_pre_hook(
        lambda _, given: (given[0].flatten(0, 1).index_select(0, batch.places)[None],))
    try:
        logits = model(input_ids=batch.inputs, use_cache=False).logits[0]
    finally:
        head.remove()
    return _CrossEntropy.apply(logits, batch.labels)


class _CrossEntropy(torch.autograd.Function):
    """The summed cross-entropy; its gradient, softmax minus one at the label, is made with it."""

    @staticmethod
    def forward(ctx, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        wide, labels = logits.detach().to(torch.float32, copy=True), labels[:, None]
        total = wide.logsumexp(dim=-1, keepdim=True)
        loss = (total - wide.gather(-1, labels)).sum()
        if ctx.needs_input_grad[0]:
            wide.sub_(total).exp_().scatter_add_(-1, labels, torch.full_like(total, -1.0))
            # In fp16 the small ones would be lost here, before the scaler has made them large.
            ctx.precise = logits.dtype
            ctx.save_for_backward(wide if ctx.precise == torch.float16 else wide.to(ctx.precise))
        return loss

    @staticmethod
    def backward(ctx, times: torch.Tensor):
        gradient, = ctx.saved_tensors
        return (gradient * times.to(gradient.dtype)).to(ctx.precise), None


def join_products(model, precise: torch.dtype) -> None:
    """Lets PEFT's plain LoRA layers compute W x + s B (A x) in few passes.

    The frozen weights are turned into the format of the training once and not at every step, what
    comes in once for both products, and the sum stands inside the last of them. It is for a
    training, whose layers never are merged, mixed or switched off. Layers of another kind, those
    in four bits among them, stay as they are.
    """
    from peft.tuners.lora.layer import Linear

    for layer in model.modules():
        if type(layer) is not Linear or type(layer.base_layer) is not torch.nn.Linear:
            continue
        weight, bias = layer.base_layer.weight, layer.base_layer.bias
        if weight.dtype in (precise, torch.float32):
            layer.forward = partial(_joined, layer, weight.detach().to(precise),
                                    None if bias is None else bias.detach().to(precise))


def _joined(layer, weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor
            ) -> torch.Tensor:
    name, = layer.active_adapters
    x = x.to(weight.dtype)
    plain, low = linear(x, weight, bias), linear(x, layer.lora_A[name].weight)
    return torch.addmm(plain.flatten(0, -2), low.flatten(0, -2), layer.lora_B[name].weight.T,
                       alpha=layer.scaling[name]).view_as(plain)
