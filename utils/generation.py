"""The chat model at work: it answers in batches, it streams; and its face for LlamaIndex.

Answers are greedy, so that a run can be repeated. Batches are padded on the left, longest
questions first; an opening that a whole batch has in common (rules, worked examples) is read once.
What comes next is guessed (`guessing`) and, where a model needs it, fenced in (`quoting`); what the
messages say is the business of `prompts`.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from utils.chunking import Chunk
from utils.documents import CourseError
from utils.guessing import Guesses
from utils.prompts import Message
from utils.quoting import Quotation, marks, sayable
from utils.schema import Held, Vocabulary, pieces

SHARED = 48  # tokens: a shorter common opening is not worth a reading of its own
STEP = 128  # tokens read at once while a batch answers: more guesses only where rows are few


@dataclass
class Generator:
    """A loaded chat model with its tokenizer."""

    model: object
    tokenizer: object
    batch: int = 16
    longest: int = 1536
    quotes_whole: bool = False  # a passage's sentence that it has begun is said to its end
    schema: Mapping | None = None  # every reply of `replies` is a JSON object that fits it

    def reply(self, messages: Sequence[Message], max_new_tokens: int = 160,
              passages: Sequence[Chunk] = ()) -> str:
        """One reply; `passages` are those that the messages show."""
        return self.replies([messages], max_new_tokens, passages=[passages])[0]

    def replies(self, conversations: Sequence[Sequence[Message]], max_new_tokens: int = 160,
                progress: bool = False, passages: Sequence[Sequence[Chunk]] | None = None
                ) -> list[str]:
        """One reply a conversation, in their order; generated in batches of like length."""
        import torch

        prompts = [self._ids(self._fitted(c, max_new_tokens)) for c in conversations]
        prompts = [ids[:self.longest - max_new_tokens] for ids in prompts]
        order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
        batches = [order[i:i + self.batch] for i in range(0, len(order), self.batch)]
        if progress:
            from tqdm.auto import tqdm

            batches = tqdm(batches, desc="answering", leave=False)
        found, heard = [""] * len(prompts), Guesses([])
        for batch in batches:
            with torch.inference_mode():
                said = self._greedy(self._opened([prompts[i] for i in batch]), max_new_tokens,
                                    heard, [self._fence(passages[i] if passages else (),
                                                        max_new_tokens) for i in batch])
            texts = self.tokenizer.batch_decode(said, skip_special_tokens=True)
            for i, text in zip(batch, texts, strict=True):
                found[i] = _without_thinking(text)
        return found

    def stream(self, messages: Sequence[Message], max_new_tokens: int = 160,
               passages: Sequence[Chunk] = ()) -> Iterator[str]:
        """The reply piece by piece, as it is made."""
        from transformers import LogitsProcessorList, TextIteratorStreamer

        streamer = TextIteratorStreamer(self.tokenizer, skip_prompt=True, skip_special_tokens=True)
        inputs = self.tokenizer(self._fitted(messages, max_new_tokens), return_tensors="pt",
                                truncation=True, max_length=self.longest - max_new_tokens,
                                add_special_tokens=False, return_token_type_ids=False)
        settings = {**inputs.to(self.model.device), "max_new_tokens": max_new_tokens,
                    "do_sample": False, "streamer": streamer, "pad_token_id": self._pad(),
                    "logits_processor": LogitsProcessorList(
                        [self._quotation(passages).hold(inputs["input_ids"].shape[1])])}
        failures: list[Exception] = []

        def write() -> None:
            try:
                self.model.generate(**settings)
            except Exception as problem:  # or the reader would wait for ever
                failures.append(problem)
                streamer.end()

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        yield from streamer
        thread.join()
        if failures:
            raise failures[0]

    def prompt(self, messages: Sequence[Message]) -> str:
        """The messages as the text this model was trained on, ready for its reply."""
        return self.tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True, enable_thinking=False)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """How many tokens the model reads for these messages."""
        return len(self._ids(self.prompt(messages)))

    def _opened(self, prompts: list[list[int]]) -> dict:
        """The batch as tensors, padded on the left; a long common opening stands before the
        padding and has been read already, once for all rows."""
        import torch

        same = next((n for n, column in enumerate(zip(*prompts, strict=False))
                     if len(set(column)) > 1), min(map(len, prompts)) - 1)
        shared = same if len(prompts) > 1 and same >= SHARED else 0
        width = max(map(len, prompts))
        gaps = [[self._pad()] * (width - len(ids)) for ids in prompts]
        place = self.model.device
        rows = torch.tensor([ids[:shared] + gap + ids[shared:]
                             for ids, gap in zip(prompts, gaps, strict=True)], device=place)
        mask = torch.tensor([[1] * shared + [0] * len(gap) + [1] * (len(ids) - shared)
                             for ids, gap in zip(prompts, gaps, strict=True)], device=place)
        inputs = {"input_ids": rows, "attention_mask": mask}
        if shared:
            read = self.model(input_ids=rows[:1, :shared], use_cache=True, logits_to_keep=1)
            read.past_key_values.batch_repeat_interleave(len(prompts))
            inputs["past_key_values"] = read.past_key_values
        return inputs

    def _fence(self, passages: Sequence[Chunk], room: int) -> Quotation | Held:
        """What holds a reply over these passages: its quotations and, if there is one, a schema."""
        quotation = self._quotation(passages)
        if self.schema is None:
            return quotation
        return Held(pieces(self.schema), self._vocabulary, quotation,
                    [chunk.document for chunk in passages], room)

    def _quotation(self, passages: Sequence[Chunk]) -> Quotation:
        """What a reply over these passages must go on with, once begun."""
        if not self.quotes_whole:
            return Quotation(())
        return Quotation(sayable(passages, self._ids), self._marks, self._braces, circles=False)

    @cached_property
    def _words(self) -> list[str]:
        return [self.tokenizer.decode([n], skip_special_tokens=True)
                for n in range(len(self.tokenizer))]

    @cached_property
    def _marks(self) -> set[int]:
        """The tokens that may stand behind a quotation: marks, and the end of the turn."""
        return self._ends | marks(self._words)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary.read(self._words, self._ids, self._ends)

    @cached_property
    def _braces(self) -> set[int]:
        return {n for n, word in enumerate(self._words) if word.lstrip().startswith("{")}

    def _greedy(self, inputs: dict, most: int, heard: Guesses,
                fences: Sequence[Quotation | Held]) -> list[list[int]]:
        """The likeliest token, then the next: what `generate` says, in fewer steps.

        A reply that quotes can be guessed: what followed the same words before follows again. All
        guessed tokens are read at once, and those that the model would have said are kept; the
        others stay in the cache behind the mask. A row that has ended leaves the batch, so that
        one endless reply does not hold up the others.
        """
        import torch

        mask, cache = inputs["attention_mask"], inputs.get("past_key_values")
        read = cache.get_seq_length() if cache is not None else 0
        new = inputs["input_ids"][:, read:]
        places = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, read:]
        texts = [row[there.bool()].tolist() for row, there in zip(
            inputs["input_ids"], mask, strict=True)]
        said: list[list[int]] = [[] for _ in texts]
        guesses = [Guesses(text, heard) for text in texts]
        guessed: list[list[int]] = [[] for _ in texts]
        rows, width, device = list(range(len(said))), 0, new.device
        while rows:
            out = self.model(input_ids=new, attention_mask=mask, position_ids=places,
                             past_key_values=cache, use_cache=True, logits_to_keep=width + 1)
            cache, best = out.past_key_values, out.logits.argmax(dim=-1).tolist()
            steps, going = [], []
            for n, row in enumerate(rows):
                chosen = fences[row].chosen(best[n], out.logits[n], guessed[row])
                more = self._until_end(chosen, most - len(said[row]))
                said[row] += more[0]
                guesses[row].read(more[0])
                steps.append(len(chosen) - 1)
                if not more[1]:
                    going.append(n)
            if not going:
                break
            if width:  # what was guessed wrongly, or not guessed, is not looked at again
                kept = torch.arange(width, device=device)[None] < torch.tensor(
                    steps, device=device)[:, None]
                mask = torch.cat([mask[:, :-width], mask[:, -width:] * kept], dim=1)
            last = places[:, -1 - width] + torch.tensor(steps, device=device)
            if len(going) < len(rows):
                left = torch.tensor(going, device=device)
                rows, mask, last = [rows[n] for n in going], mask[left], last[left]
                cache.batch_select_indices(left)
            for row in rows:
                room = min(most - len(said[row]) - 1, STEP // len(rows) - 1)
                guessed[row] = guesses[row].next(room, fences[row].rest())
            width = max(len(guessed[row]) for row in rows)
            padded = [[said[row][-1], *guessed[row], *[self._pad()] * (width - len(guessed[row]))]
                      for row in rows]
            new = torch.tensor(padded, device=device)
            there = torch.tensor([[1] * (1 + len(guessed[row])) + [0] * (width - len(guessed[row]))
                                  for row in rows], device=device)
            places = last[:, None] + 1 + torch.arange(width + 1, device=device)
            mask = torch.cat([mask, there.to(mask.dtype)], dim=1)
        for words in said:
            heard.read(words)
        return said

    def _until_end(self, tokens: list[int], room: int) -> tuple[list[int], bool]:
        """(the tokens before the turn's end, whether the reply ends here)."""
        end = next((n for n, token in enumerate(tokens) if token in self._ends), None)
        if end is not None and end < room:
            return tokens[:end], True
        return tokens[:room], len(tokens) >= room

    @property
    def _ends(self) -> set[int]:
        """The tokens that end a turn."""
        ends = self.model.generation_config.eos_token_id
        ends = self.tokenizer.eos_token_id if ends is None else ends
        return set(ends) if isinstance(ends, list) else {ends}

    def _fitted(self, messages: Sequence[Message], max_new_tokens: int) -> str:
        """The prompt; of one longer than the model reads, the last message's end is left out."""
        prompt, room = self.prompt(messages), self.longest - max_new_tokens
        size = len(self._ids(prompt))
        if size <= room:
            return prompt
        *before, last = messages
        words = self._ids(last["content"])
        kept = len(words) - (size - room) - 8  # where it is cut, tokens may come out otherwise
        if kept < 1:
            raise CourseError(f"The prompt has {size:,} tokens before its question ends, and the "
                              f"model reads {room:,}. Show it fewer or shorter examples.")
        warnings.warn(f"A prompt has {size:,} tokens and the model reads {room:,}: the end of its "
                      "last message is left out. Ask shorter, or show it fewer or shorter "
                      "passages.", stacklevel=4)
        return self.prompt([*before, {**last, "content": self.tokenizer.decode(words[:kept])}])

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _pad(self) -> int:
        pad = self.tokenizer.pad_token_id
        return self.tokenizer.eos_token_id if pad is None else pad


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
