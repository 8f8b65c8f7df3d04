"""The forms that the pocket model learns: each says what it wants, and sees whether it got it."""

import json
import random
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "data" / "recipes"))

import facts  # noqa: E402
import forms  # noqa: E402
import tasks  # noqa: E402

FOUND = forms.Found("The depot opens at 7:30 on weekdays.", "7:30", 2, "HELP-7")
READ = ("When does it open?\n[1] The gate is green. (HELP-3: Gates)\n"
        "[2] The depot opens at 7:30 on weekdays. (HELP-7: Hours)")


@pytest.fixture(scope="module")
def drawn():
    rng = random.Random(4)
    return [forms.draw(rng) for _ in range(600)]


def test_an_answer_in_the_form_is_seen(drawn):
    for form in drawn:
        assert form.fits(form.write(FOUND), READ), (form.instruction, form.write(FOUND))


def test_what_is_not_in_the_form_is_not(drawn):
    for n, form in enumerate(drawn):
        right, other = form.write(FOUND), drawn[n - 1].write(FOUND)
        wrong = ["", "the the the the", '{"a": 1}', "[1] The gate is green.", f"{right} {right}",
                 right.replace("depot", "harbour").replace("7:30", "8:15").replace("HELP-7", "X-9"),
                 right[:len(right) // 2] + "xq", f"{right}, we think", other]
        for given in wrong:
            if given not in (right, other) or not drawn[n - 1].pattern and given != right:
                assert not form.fits(given, READ), (form.instruction, right, given)


def test_words_that_nobody_has_written_fit_nothing(drawn):
    invented = forms.Found("The station closes at noon.", "noon", 1, "ZZ-1")
    for form in drawn:
        if form.pattern != "{number}":
            assert not form.fits(form.write(invented), READ), form.write(invented)


def test_the_order_of_the_keys_counts_and_so_does_the_kind_of_value():
    form = forms.Form("", parts=(("says", "text"), ("from", "documents")))
    text = FOUND.text
    assert form.fits(json.dumps({"says": text, "from": ["HELP-7"]}), READ)
    for row in ({"from": ["HELP-7"], "says": text}, {"says": text, "from": "HELP-7"},
                {"says": text}, {"says": [text], "from": ["HELP-7"]},
                {"says": f"[2] {text}", "from": ["HELP-7"]}, {"says": text, "from": [7]}):
        assert not form.fits(json.dumps(row), READ), row


def test_every_key_and_every_fixed_word_is_asked_for(drawn):
    for form in drawn:
        said, answer = dict(form.words), form.write(FOUND)
        fixed = [w for w in said if f"{{{w}}}" in form.pattern]
        if form.parts:
            fixed = [w for w in ("greeting", "farewell") if w in said and "text" in form.roles]
            fixed += ["constant"] if "constant" in form.roles else []
            fixed += ["one"] if "label" in form.roles else []
        assert all(f'"{key}"' in form.instruction for key, _ in form.parts)
        for words in (said[w] for w in fixed):
            assert words in form.instruction and words in answer, (form.instruction, answer)


def test_a_label_follows_what_is_said():
    form = forms.Form("", parts=(("sort", "label"),), words=(("one", "left"), ("other", "right"),
                                                            ("nothing", "none")))
    assert form.write(FOUND) == '{"sort": "left"}'
    assert form.write(forms.Found("The gate is green.", "green", 1, "HELP-3")) == form.write(None)
    assert form.fits('{"sort": "right"}', READ) and not form.fits('{"sort": "up"}', READ)


def test_where_nothing_answers_the_form_says_what_was_asked(drawn):
    for form in drawn:
        nothing = dict(form.words)["nothing"]
        empty = form.write(None)
        if form.pattern:
            assert empty == nothing
        elif "text" in form.roles:
            assert nothing in empty and FOUND.text not in empty


def test_a_conversation_asks_in_words_or_shows_examples_or_both():
    rng, sources = random.Random(1), tasks.Sources(kinds=facts.read_kinds())
    told = shown = missing = 0
    for n in range(300):
        form, messages = tasks.in_a_form(rng, sources, 3, n % 3)
        asked = [m for m in messages if m["role"] == "user"]
        assert len(asked) == n % 3 + 1 and messages[-1]["role"] == "assistant"
        system = messages[0]["content"] if messages[0]["role"] == "system" else ""
        instructed = form.instruction[:20] in system
        assert instructed or n % 3
        told, shown = told + instructed, shown + (not instructed)
        missing += messages[-1]["content"] == form.write(None)
    assert told > 150 and shown > 60 and missing > 5


def test_none_is_the_house_reply(drawn):
    schema = json.loads((ROOT / "data" / "style" / "schema.json").read_text(encoding="utf-8"))
    ours = set(schema["properties"])
    assert {"route", "urgency"} < ours
    for form in drawn:
        assert not {"route", "urgency"} & {key for key, _ in form.parts}
        assert not any(f'"{key}"' in form.instruction for key in ("route", "urgency"))


def test_a_tuned_model_is_a_stock_model_that_has_learned(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from tune_pocket import drawn, log, tune

    from utils.finetuning import Settings
    from utils.loading import load_generator
    from utils.profiles import choose

    generator, sources = load_generator(choose("embedded")), tasks.Sources(kinds=facts.read_kinds())
    shares = {"behaviours": 0.7, "facts": 0.3}
    learned = drawn(generator, sources, 1, 12, shares)
    assert learned == drawn(generator, sources, 1, 12, shares) != drawn(generator, sources, 2, 12,
                                                                        shares)
    settings = Settings(rank=2, alpha=4, epochs=2, tokens_per_batch=1024, looks=2)
    adapter = tune(generator, learned, learned[:4], settings, tmp_path / "work", tmp_path / "out")
    assert adapter.history[-1].validation < adapter.history[0].validation
    log(adapter, tmp_path / "log.csv")
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 1 + len(adapter.history)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template
    before, after = (m.model.layers[0].mlp.up_proj.weight.float() for m in (generator.model, model))
    assert before.shape == after.shape and not before.equal(after)
    assert {str(p.dtype) for p in model.parameters()} == {"torch.float16"}


def test_the_adapter_that_is_kept_folds_into_the_model_that_ships(tmp_path):
    import torch
    from transformers import AutoModelForCausalLM
    from tune_pocket import fold

    from utils.loading import load_generator
    from utils.profiles import choose

    generator = load_generator(choose("embedded"))
    before = generator.model.model.layers[0].mlp.up_proj.weight.detach().clone()
    fold(generator, ROOT / "data" / "recipes" / "tuned_adapter", tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    moved = (model.model.layers[0].mlp.up_proj.weight.detach() - before).norm() / before.norm()
    assert 0.01 < float(moved) < 1
    assert before.equal(generator.model.model.layers[0].mlp.up_proj.weight), "left as it was"
    stored = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert not stored.get("local_files_only"), "a stock folder is for anybody"
