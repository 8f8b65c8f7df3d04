"""The chat model: load it, generate in batches, stream; and its face for LlamaIndex.

Answers are greedy unless asked otherwise, so that a run can be repeated. Batches are padded on
the left, longest questions first. What the messages say is the business of `prompts`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.documents import CourseError
from utils.profiles import Profile
from utils.prompts import Message


@dataclass
class Generator:
    """A loaded chat model with its tokenizer."""

    model: object
    tokenizer: object
    batch: int = 16
    longest: int = 1536

    def reply(self, messages: Sequence[Message], max_new_tokens: int = 160) -> str:
        """One reply."""
        return self.replies([messages], max_new_tokens)[0]

    def replies(self, conversations: Sequence[Sequence[Message]], max_new_tokens: int = 160,
                progress: bool = False) -> list[str]:
        """One reply a conversation, in their order; generated in batches of like length."""
        import torch

        prompts = [self.prompt(c) for c in conversations]
        lengths = [len(self._ids(p)) for p in prompts]
        order = sorted(range(len(prompts)), key=lambda i: -lengths[i])
        batches = [order[i:i + self.batch] for i in range(0, len(order), self.batch)]
        if progress:
            from tqdm.auto import tqdm

            batches = tqdm(batches, desc="answering", leave=False)
        found = [""] * len(prompts)
        for batch in batches:
            inputs = self.tokenizer([prompts[i] for i in batch], return_tensors="pt", padding=True,
                                    truncation=True, max_length=self.longest - max_new_tokens,
                                    padding_side="left", add_special_tokens=False,
                                    return_token_type_ids=False).to(self.model.device)
            with torch.inference_mode():
                out = self.model.generate(**inputs, max_new_tokens=max_new_tokens,
                                          do_sample=False, pad_token_id=self._pad())
            texts = self.tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1]:],
                                                skip_special_tokens=True)
            for i, text in zip(batch, texts, strict=True):
                found[i] = _without_thinking(text)
        return found

    def stream(self, messages: Sequence[Message], max_new_tokens: int = 160) -> Iterator[str]:
        """The reply piece by piece, as it is made."""
        from transformers import TextIteratorStreamer

        streamer = TextIteratorStreamer(self.tokenizer, skip_prompt=True, skip_special_tokens=True)
        inputs = self.tokenizer(self.prompt(messages), return_tensors="pt", truncation=True,
                                max_length=self.longest - max_new_tokens,
                                add_special_tokens=False, return_token_type_ids=False)
        settings = {**inputs.to(self.model.device), "max_new_tokens": max_new_tokens,
                    "do_sample": False, "streamer": streamer, "pad_token_id": self._pad()}
        thread = threading.Thread(target=self.model.generate, kwargs=settings, daemon=True)
        thread.start()
        yield from streamer
        thread.join()

    def prompt(self, messages: Sequence[Message]) -> str:
        """The messages as the text this model was trained on, ready for its reply."""
        return self.tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True, enable_thinking=False)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """How many tokens the model reads for these messages."""
        return len(self._ids(self.prompt(messages)))

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _pad(self) -> int:
        pad = self.tokenizer.pad_token_id
        return self.tokenizer.eos_token_id if pad is None else pad


def load_generator(profile: Profile, threads: int | None = None) -> Generator:
    """The profile's chat model in the precision its machine has."""
    import torch
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
        from transformers import BitsAndBytesConfig

        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=precision())
    try:
        tokenizer = AutoTokenizer.from_pretrained(profile.generator)
        model = AutoModelForCausalLM.from_pretrained(profile.generator, **options).eval()
    except OSError as problem:
        reason = str(problem).strip().splitlines()[0]
        raise CourseError(f"The model {profile.generator} could not be loaded: {reason} The "
                          "profile 'embedded' needs no download.") from None
    model.generation_config.temperature = model.generation_config.top_p = None
    model.generation_config.top_k = None
    return Generator(model, tokenizer, profile.batch, profile.longest)


def precision():
    """bf16 where the GPU computes in it, else fp16 (a T4 only emulates bf16)."""
    import torch

    real = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if real else torch.float16


def _without_thinking(text: str) -> str:
    """Some hub models think aloud first; the customer sees what follows."""
    return text.rpartition("</think>")[2].strip()


def llama_index_llm(generator: Generator, max_new_tokens: int = 160):
    """The generator as a LlamaIndex LLM, so that no component falls back to a paid service."""
    from llama_index.core.base.llms.types import (
        ChatMessage,
        ChatResponse,
        CompletionResponse,
        LLMMetadata,
    )
    from llama_index.core.llms import CustomLLM
    from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback

    class CourseLLM(CustomLLM):
        @property
        def metadata(self) -> LLMMetadata:
            return LLMMetadata(context_window=generator.longest, num_output=max_new_tokens,
                               is_chat_model=True, model_name="course")

        @llm_chat_callback()
        def chat(self, messages, **kwargs) -> ChatResponse:
            turns = [{"role": m.role.value, "content": m.content or ""} for m in messages]
            text = generator.reply(turns, max_new_tokens)
            return ChatResponse(message=ChatMessage(role="assistant", content=text))

        @llm_completion_callback()
        def complete(self, prompt, formatted=False, **kwargs) -> CompletionResponse:
            text = generator.reply([{"role": "user", "content": prompt}], max_new_tokens)
            return CompletionResponse(text=text)

        @llm_completion_callback()
        def stream_complete(self, prompt, formatted=False, **kwargs):
            def pieces():
                text = ""
                for piece in generator.stream([{"role": "user", "content": prompt}],
                                              max_new_tokens):
                    text += piece
                    yield CompletionResponse(text=text, delta=piece)

            return pieces()

    return CourseLLM()
