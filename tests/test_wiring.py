"""The circuits set by hand do what their file says, before any training."""

import random
import sys
from itertools import cycle, islice
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data" / "recipes"))

import tasks  # noqa: E402
import vectors  # noqa: E402
import wiring  # noqa: E402
from facts import read_kinds  # noqa: E402
from train_pocket import OPENING, answer_loss, batches, encode  # noqa: E402


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tokenizer of its own, its vectors, and generated companies to read."""
    from transformers import AutoTokenizer

    home = tmp_path_factory.mktemp("miniature")
    sources = tasks.Sources(kinds=read_kinds())
    chats = tasks.conversations(sources, 1, 4, {"facts": 1.0})
    texts = [turn["content"] for _, turns in islice(chats, 1200) for turn in turns]
    vectors.train_tokenizer(texts, 3000, home)
    tokenizer = AutoTokenizer.from_pretrained(home)
    rng = random.Random(5)
    shown = [encode(tokenizer, tasks.grounded_example(rng, tasks.from_facts(rng, sources, 4, 4)))
             for _ in range(48)]
    random.seed(1)
    probes = [tuple(map(torch.from_numpy, pair))
              for pair in islice(batches(cycle(shown), 4096, 400, 48), 3)]
    return tokenizer, torch.from_numpy(vectors.token_vectors(home)), probes


def new_model(made, wired: bool):
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer, start, _ = made
    torch.manual_seed(1)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=vectors.WIDTH, intermediate_size=512,
        num_hidden_layers=4, num_attention_heads=6, num_key_value_heads=6, attention_bias=True,
        max_position_embeddings=1536, tie_word_embeddings=True, bos_token_id=None,
        rope_parameters={"rope_type": "default", "rope_theta": 1e7}))
    model.model.embed_tokens.weight.data.copy_(start)
    if wired:
        wiring.wire(model, tokenizer)
    return model.eval()


@torch.inference_mode()
def copied(model, probes) -> float:
    """The share of an answer's words that the model would copy, given those before."""
    right = []
    for x, y in probes:
        _, logits, answer = answer_loss(model, x, y)
        place = answer.cumsum(dim=1)[answer]
        last = torch.cat([place[1:] == 1, torch.ones(1, dtype=torch.bool)])
        right.append((logits.argmax(-1) == y[answer])[(place > OPENING) & ~last])
    return torch.cat(right).float().mean().item()


def test_the_wired_model_copies_before_it_is_trained(made):
    assert copied(new_model(made, True), made[2]) > 0.97
    assert copied(new_model(made, False), made[2]) < 0.2


def test_without_its_notes_it_copies_nothing(made):
    model = new_model(made, True)
    model.model.layers[0].self_attn.o_proj.weight.data[:, :64] = 0  # the head that looks one back
    assert copied(model, made[2]) < 0.8


def test_every_vector_is_equally_long(made):
    assert torch.allclose(made[1].norm(dim=1), torch.ones(len(made[1])), atol=1e-3)


def test_what_learns_to_choose_leaves_the_notes_alone(made):
    model = new_model(made, True)
    first = copied(model, made[2])
    learns = wiring.about_meaning(model)
    assert all(weight.shape == mask.shape for weight, mask in learns.items())
    for layer in model.model.layers[:3]:
        for outward in (layer.self_attn.o_proj.weight, layer.mlp.down_proj.weight):
            assert not learns[outward][vectors.MEANING:vectors.RELEVANCE_AT].any()
            assert learns[outward][:vectors.MEANING].any()
    assert copied(model, made[2]) >= first - 0.02
