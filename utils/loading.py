"""A profile -> its chat model, loaded in the precision that its machine has.

What cannot be loaded is told in one sentence: a folder that is missing or damaged, a model without
a chat template, a GPU or a package that 4 bits would need.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from utils.documents import CourseError
from utils.embedding import not_loaded
from utils.generation import Generator
from utils.profiles import Profile


def load_generator(profile: Profile, threads: int | None = None) -> Generator:
    """The profile's chat model in the precision its machine has."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if threads:
        torch.set_num_threads(threads)
    if Path(profile.generator).is_absolute() and not Path(profile.generator).is_dir():
        raise CourseError(f"The model folder {profile.generator} is missing. Restore it with: git "
                          "checkout data/pocket_model")
    cuda = profile.gpu and torch.cuda.is_available()
    options: dict = {"dtype": precision() if cuda else torch.float32}
    if cuda:
        options["device_map"] = {"": 0}
    if profile.load_in_4bit:
        options["quantization_config"] = four_bits()
    try:
        tokenizer = AutoTokenizer.from_pretrained(profile.generator)
        model = AutoModelForCausalLM.from_pretrained(profile.generator, **options).eval()
    except (OSError, ValueError, SafetensorError) as problem:
        if Path(profile.generator).is_dir():
            raise CourseError(f"The model folder {profile.generator} is damaged or incomplete: "
                              f"{str(problem).strip().splitlines()[0].rstrip('.')}. Copy it anew; "
                              "the course's own comes back with: git checkout data/pocket_model"
                              ) from None
        raise not_loaded("model", profile.generator, problem) from None
    if not tokenizer.chat_template:
        raise CourseError(f"The model {profile.generator} has no chat template, so it cannot be "
                          "asked in turns. Choose one trained for chat ('Instruct').")
    model.generation_config.temperature = model.generation_config.top_p = None
    model.generation_config.top_k = model.generation_config.repetition_penalty = None
    return Generator(model, tokenizer, profile.batch, profile.longest, profile.quotes_whole)


def precision():
    """bf16 where the GPU computes in it, else fp16 (a T4 only emulates bf16)."""
    import torch

    real = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if real else torch.float16


def four_bits():
    """NF4 as in QLoRA: the weights in 4 bits, the computing in `precision()`."""
    import torch
    from transformers import BitsAndBytesConfig

    remedy = "Leave load_in_4bit out to load the model in 16 bits."
    if not torch.cuda.is_available():
        raise CourseError(f"Loading in 4 bits needs an NVIDIA GPU and this machine shows none. "
                          f"{remedy}")
    if find_spec("bitsandbytes") is None:
        raise CourseError("Loading in 4 bits needs the package bitsandbytes. Install it with: "
                          f"{sys.executable} -m pip install bitsandbytes. {remedy}")
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4",
                              bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=precision())
