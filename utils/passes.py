"""A model's layers -> the same layers for a training, in fewer passes over the memory.

A small model on a CPU spends more time on moving numbers than on multiplying them. So layers that
read the same input are one product, LoRA's change is added inside it, norms hand on what is
multiplied next in its format, and attention keeps what the way back needs. Nothing is learned
otherwise: the results are those of the plain way, but for the last digit of the format.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch.nn.functional import linear
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

# In most models these layers read the same; in one without them each stands alone.
ONE_INPUT = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
ATTENTION = "few_passes"  # the name under which transformers finds ours
LONG = 512  # tokens: for longer rows torch's own attention is as quick, and needs less memory
EXTRAS = ("softcap", "s_aux", "position_bias", "cache")  # what some models add; ours has none


def in_few_passes(model, precise: torch.dtype) -> None:
    """Changes how a model that is about to be trained computes, not what.

    It is for a training: one adapter, which is not merged, mixed or switched off meanwhile. What
    is of another kind, layers in four bits among them, stays as it is.
    """
    for parent in model.modules():
        if precise != torch.float32 and hasattr(parent, "cast_input_dtype_enabled"):
            parent.cast_input_dtype_enabled = False  # PEFT's fp32, which autocast would turn back
        here = {name: layer for name, layer in parent.named_children() if _plain(layer, precise)}
        for names in ONE_INPUT:
            if model.device.type == "cpu" and all(name in here for name in names):
                Joined([here.pop(name) for name in names], precise)
        for layer in here.values():
            Joined([layer], precise)
    if model.device.type == "cpu" and precise == torch.bfloat16:
        model.set_attn_implementation(ATTENTION)
        for layer in model.modules():
            if _is_rms_norm(layer):
                layer.forward = partial(_Norm.apply, layer.weight.detach(),
                                        layer.variance_epsilon, precise)
            elif type(layer).__name__.endswith("RotaryEmbedding"):
                layer.forward = partial(_in_format, layer.forward, precise)
    head = model.get_output_embeddings()
    if (type(head) is torch.nn.Linear and head.bias is None and not head.weight.requires_grad
            and "forward" not in vars(head)  # somebody else's hook
            and precise != torch.float16):  # its small gradients want to be scaled first
        head.narrow = head.weight.detach().to(precise)


# ---------------------------------------------------------------- LoRA


def _plain(layer, precise: torch.dtype) -> bool:
    """Whether it is PEFT's LoRA around an ordinary product."""
    from peft.tuners.lora.layer import Linear

    return (type(layer) is Linear and type(layer.base_layer) is torch.nn.Linear
            and layer.base_layer.weight.dtype in (precise, torch.float32)
            and not layer.base_layer.weight.requires_grad)


class Joined:
    """LoRA layers that read the same input: W x + s B (A x), for all of them at once.

    Their frozen weights lie one below the other, in the format of the training. The first of them
    that is asked computes for all, the others hand out what it found.
    """

    def __init__(self, layers: Sequence, precise: torch.dtype) -> None:
        self.layers, bases = layers, [layer.base_layer for layer in layers]
        self.weight = _below([base.weight for base in bases], precise)
        biases = [base.weight.new_zeros(base.out_features) if base.bias is None else base.bias
                  for base in bases]
        there = any(base.bias is not None for base in bases)
        self.bias = _below(biases, precise) if there else None
        self.sizes = [base.out_features for base in bases]
        self.seen, self.found = None, {}
        for n, layer in enumerate(layers):
            layer.forward = partial(self.of, n)

    def of(self, n: int, x: torch.Tensor) -> torch.Tensor:
        """What the n-th layer makes of x."""
        if self.seen is not x or n not in self.found:
            name, = self.layers[0].active_adapters
            down = torch.cat([layer.lora_A[name].weight for layer in self.layers])
            up = torch.block_diag(*(layer.scaling[name] * layer.lora_B[name].weight
                                    for layer in self.layers))
            made = _Product.apply(x, self.weight, self.bias, down, up)
            self.seen, self.found = x, dict(enumerate(made.split(self.sizes, dim=-1)))
        found = self.found.pop(n)
        if not self.found:
            self.seen = None
        return found


def _below(parts: Sequence[torch.Tensor], precise: torch.dtype) -> torch.Tensor:
    """The parts one below the other; a single one is not copied."""
    parts = [part.detach().to(precise) for part in parts]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


class _Product(torch.autograd.Function):
    """x W' + b + (x A') B', whose sums stand inside the last product."""

    @staticmethod
    def forward(ctx, x, weight, bias, down, up):
        rows = x.flatten(0, -2).to(weight.dtype)
        down, up = down.to(weight.dtype), up.to(weight.dtype)
        low = linear(rows, down)
        ctx.save_for_backward(rows, weight, down, up, low)
        ctx.given = x.shape, x.dtype
        return linear(rows, weight, bias).addmm_(low, up.T).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx, given):
        rows, weight, down, up, low = ctx.saved_tensors
        given, (shape, kind) = given.flatten(0, -2), ctx.given
        below = given @ up
        found = None
        if ctx.needs_input_grad[0]:
            found = (given @ weight).addmm_(below, down).view(shape).to(kind)
        return found, None, None, (below.T @ rows).float(), (given.T @ low).float()


# ---------------------------------------------------------------- norms and places


def _is_rms_norm(layer) -> bool:
    """Whether it computes what `_Norm` does; tried, since not every layer of that name does."""
    if not type(layer).__name__.endswith("RMSNorm") or not hasattr(layer, "variance_epsilon"):
        return False
    if layer.weight.requires_grad:
        return False
    tried = torch.linspace(-2, 3, layer.weight.numel(), device=layer.weight.device)[None]
    with torch.no_grad():
        plain = layer(tried)
        ours = _Norm.apply(layer.weight, layer.variance_epsilon, torch.float32, tried)
    return torch.allclose(plain.float(), ours, rtol=1e-4, atol=1e-5)


class _Norm(torch.autograd.Function):
    """The root mean square norm: reads in one format, hands on in the one that comes next."""

    @staticmethod
    def forward(ctx, weight, tiny, precise, x):
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        times = (size.square() / x.shape[-1] + tiny).rsqrt_()
        ctx.save_for_backward(weight, x, times)
        return (x * times).mul_(weight).to(precise)

    @staticmethod
    def backward(ctx, given):
        weight, x, times = ctx.saved_tensors
        given = given * weight
        along = (given * x).mean(dim=-1, keepdim=True)
        found = given.mul_(times).addcmul_(x, along * times.pow(3), value=-1)
        return None, None, None, found.to(x.dtype)


def _in_format(forward, precise: torch.dtype, *given, **named):
    """Where a word stands, as sines and cosines, in the format of what they are multiplied with.

    Only while it learns: a model that is asked afterwards answers as precisely as any other.
    """
    found = forward(*given, **named)
    return tuple(x.to(precise) for x in found) if torch.is_grad_enabled() else found


# ---------------------------------------------------------------- attention


def _attend(module, query, key, value, attention_mask, scaling=None, **settings):
    """Attention as transformers asks for it; where it is not a training's, torch's own."""
    ours = (attention_mask is None and query.requires_grad and not settings.get("dropout")
            and query.shape[2] == key.shape[2] <= LONG and query.shape[3] == value.shape[3]
            and getattr(module, "is_causal", True) and settings.get("is_causal") is not False
            and all(settings.get(name) is None for name in EXTRAS))
    if not ours:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling,
                                      **settings)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    groups = query.shape[1] // key.shape[1]  # in some models several heads share a key
    key, value = (x if groups == 1 else x.repeat_interleave(groups, dim=1) for x in (key, value))
    query, key, value = (x.to(torch.bfloat16) for x in (query, key, value))
    return _Attention.apply(query, key, value, scaling).transpose(1, 2), None


class _Attention(torch.autograd.Function):
    """Causal attention that keeps its weights for the way back.

    Torch's own saves their memory and computes them again, which for rows as short as here takes
    two to three times as long.
    """

    @staticmethod
    def forward(ctx, query, key, value, scaling):
        ctx.shape, ctx.scaling = query.shape, scaling
        query, key, value = (x.flatten(0, 1) for x in (query * scaling, key, value))
        size = query.shape[1]
        future = torch.full((size, size), float("-inf"), dtype=query.dtype).triu(1)
        shares = torch.bmm(query, key.mT).add_(future).softmax(-1)
        ctx.save_for_backward(query, key, value, shares)
        return torch.bmm(shares, value).view(ctx.shape)

    @staticmethod
    def backward(ctx, given):
        query, key, value, shares = ctx.saved_tensors
        given = given.flatten(0, 1)
        scores = torch._softmax_backward_data(torch.bmm(given, value.mT), shares, -1, shares.dtype)
        found = (torch.bmm(scores, key).mul_(ctx.scaling), torch.bmm(scores.mT, query),
                 torch.bmm(shares.mT, given))
        return *(x.view(ctx.shape) for x in found), None


AttentionInterface.register(ATTENTION, _attend)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
