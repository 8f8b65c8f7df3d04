"""The company, the exam and the style examples are what the data card says they are."""

import hashlib
import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import jsonschema
import pytest

from utils import grading
from utils.documents import load_documents
from utils.exam import EXAM, KINDS, load_questions

DATA = Path(__file__).resolve().parents[1] / "data"
QUEUES = {"orders", "returns", "repairs", "technical", "subscriptions", "safety"}
OPENINGS = {"low": "Thanks for asking!", "normal": "Thanks for getting in touch.",
            "high": "We are on it."}
STOP = set("a an the of to in on at for from with by and or but if is are was were be been do does "
           "did can could will would should may might must have has had i you we they he she it my "
           "your our their its this that these those what which who whom when where why how much "
           "many long any some there here not no yes as so than then me us them am im get got "
           "please about into out up down over after before s t re ll ve d m".split())


def content(text: str) -> set[str]:
    return {w[:6] for w in re.findall(r"[a-z]{2,}", text.lower()) if w not in STOP}


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def company():
    return {d.id: d for d in load_documents(DATA / "company")}


@pytest.fixture(scope="module")
def update():
    return {d.id: d for d in load_documents(DATA / "update")}


@pytest.fixture(scope="module")
def exams():
    return {split: load_questions(EXAM / f"{split}.jsonl") for split in ("dev", "test", "fresh")}


@pytest.fixture(scope="module")
def style():
    return {split: rows(DATA / "style" / f"{split}.jsonl") for split in ("train", "validation")}


def span(document, quote: str) -> tuple[str, int, int]:
    assert document.text.count(quote) == 1, (document.id, quote)
    start = document.text.index(quote)
    return document.id, start, start + len(quote)


def overlap(a, b) -> bool:
    return a[0] == b[0] and a[1] < b[2] and b[1] < a[2]


def words(text: str) -> int:
    return len(re.findall(r"[^\W_][\w'’.,:-]*", text))


def test_the_company_has_the_size_of_a_real_knowledge_base(company):
    total = sum(words(d.text) for d in company.values())
    assert 55 <= len(company) <= 70
    assert 25_000 <= total <= 40_000
    assert sum(words(d.text) > 1500 for d in company.values()) >= 4
    for document in company.values():
        assert {"id", "title", "updated", "version", "audience"} <= set(document.meta), document.id
    assert {d.meta["audience"] for d in company.values()} >= {"customers", "internal"}


def test_old_pages_say_that_they_are_superseded(company):
    old = [d for d in company.values() if "superseded" in d.text[:600].lower()]
    assert len(old) >= 3


def test_the_update_changes_about_a_dozen_documents(company, update):
    assert 10 <= len(update) <= 16
    listed = (DATA / "update" / "README.md").read_text(encoding="utf-8")
    for number, document in update.items():
        assert company[number].checksum != document.checksum
        assert company[number].meta["version"] != document.meta["version"]
        assert number in listed


def test_enough_questions_of_every_kind(exams):
    regular = exams["dev"] + exams["test"]
    assert len(regular) >= 240 and len(exams["fresh"]) >= 40
    kinds = Counter(q.kind for q in exams["test"])
    assert all(kinds[kind] >= 15 for kind in KINDS if kind != "fresh"), kinds
    assert {q.kind for q in regular} == set(KINDS) - {"fresh"}
    assert {q.route for q in regular} == QUEUES


def test_ids_are_unique(exams):
    ids = [q.id for questions in exams.values() for q in questions]
    assert len(ids) == len(set(ids))


def test_every_quote_stands_at_its_place_and_holds_an_answer(exams, company, update):
    for split, questions in exams.items():
        documents = update if split == "fresh" else company
        for q in questions:
            if not q.answerable:
                assert not q.source and not q.quote and q.absent, q.id
                continue
            assert len(q.source) == len(q.quote), q.id
            for source, quote in zip(q.source, q.quote, strict=True):
                span(documents[source], quote)
            assert grading.facts(" ".join(q.quote), q.answers), q.id


def test_what_is_unanswerable_is_absent(exams, company, update):
    everything = "\n".join(d.text for d in (*company.values(), *update.values())).lower()
    for q in (q for qs in exams.values() for q in qs if not q.answerable):
        for subject in q.absent:
            assert subject.lower() not in everything, (q.id, subject)


def test_every_fresh_answer_is_new(exams, company):
    for q in exams["fresh"]:
        old = company[q.source[0]].text
        assert q.before and any(b.lower() in old.lower() for b in q.before), q.id
        assert not any(grading.says(b, a) for b in q.before for g in q.answers for a in g), q.id
        assert q.quote[0] not in old, q.id


def test_dev_and_test_share_no_fact(exams, company):
    spans = {split: [span(company[s], t) for q in exams[split] for s, t in
                     zip(q.source, q.quote, strict=True)] for split in ("dev", "test")}
    assert not [(a, b) for a in spans["dev"] for b in spans["test"] if overlap(a, b)]
    texts = [q.question.lower() for split in ("dev", "test", "fresh") for q in exams[split]]
    assert len(texts) == len(set(texts))


def test_a_third_of_the_questions_use_other_words_than_the_document(exams):
    questions = [q for split in ("dev", "test") for q in exams[split] if q.answerable]
    apart = [q for q in questions if not content(q.question) & content(" ".join(q.quote))]
    assert len(apart) >= len(questions) / 3, len(apart) / len(questions)


def test_enough_style_examples_in_the_house_format(style):
    assert len(style["train"]) >= 480 and len(style["validation"]) >= 120
    schema = json.loads((DATA / "style" / "schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for row in style["train"] + style["validation"]:
        user, assistant = row["messages"]
        assert (user["role"], assistant["role"]) == ("user", "assistant")
        reply = json.loads(assistant["content"])
        validator.validate(reply)
        assert reply["route"] in QUEUES
        assert reply["reply"].startswith(OPENINGS[reply["urgency"]]), reply["reply"]
        assert reply["reply"].endswith("Ride well, your Wrenfield team"), reply["reply"]
        assert reply["sources"] == ([row["source"]] if row.get("source") else [])


def test_the_schema_rejects_what_is_not_the_house_format():
    schema = json.loads((DATA / "style" / "schema.json").read_text(encoding="utf-8"))
    valid = {"reply": "Thanks for asking!", "route": "orders", "urgency": "low", "sources": []}
    check = jsonschema.Draft202012Validator(schema).is_valid
    assert check(valid)
    for wrong in ({"route": "sales"}, {"urgency": "urgent"}, {"sources": "KB-101"}, {"reply": ""},
                  {"extra": 1}, {"sources": ["101"]}):
        assert not check({**valid, **wrong}), wrong
    assert not check({k: v for k, v in valid.items() if k != "route"})


def test_style_facts_are_quoted_from_the_company(style, company):
    for row in style["train"] + style["validation"]:
        if row.get("source"):
            span(company[row["source"]], row["quote"])


def test_validation_shares_nothing_with_training(style):
    for key in ("customer", "quote"):
        seen = [{r[key] for r in style[s] if r.get(key)} for s in ("train", "validation")]
        assert not seen[0] & seen[1], key
    sentences = defaultdict(set)
    for split, found in style.items():
        for row in found:
            for s in re.split(r"(?<=[.!?])\s+", row["messages"][0]["content"]):
                if len(s.split()) > 4:
                    sentences[split].add(s.lower())
    assert not sentences["train"] & sentences["validation"]


def test_no_validation_reply_is_in_training(style):
    """But for the one fixed sentence in which the house says that it does not know."""
    unknown = ("I could not find this in our documents, so I have passed your question to a "
               "colleague.")
    said = {split: {json.loads(r["messages"][1]["content"])["reply"] for r in found}
            for split, found in style.items()}
    shared = {reply for reply in said["train"] & said["validation"] if unknown not in reply}
    assert not shared, shared


def test_no_exam_question_or_fact_is_in_the_style_training_set(style, exams, company, update):
    asked = {q.question.lower() for qs in exams.values() for q in qs}
    said = [r["messages"][0]["content"].lower() for r in style["train"]]
    assert not [q for q in asked for s in said if q in s]
    facts = [span(company[s], t) for split in ("dev", "test") for q in exams[split]
             for s, t in zip(q.source, q.quote, strict=True)]
    learned = [span(company[r["source"]], r["quote"]) for r in style["train"] if r.get("source")]
    assert not [(a, b) for a in facts for b in learned if overlap(a, b)]
    for row in style["train"]:
        if row.get("source") in update:
            assert row["quote"] in update[row["source"]].text, row["quote"]


def test_the_data_card_names_every_file_with_its_checksum():
    card = (DATA / "README.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"\| `([^`]+)` \|[^\n]*\| `([0-9a-f]{64})` \|", card))
    single = [p for folder in ("exam", "style") for p in sorted((DATA / folder).glob("*.json*"))]
    for path in single:
        name = path.relative_to(DATA).as_posix()
        assert listed.get(name) == hashlib.sha256(path.read_bytes()).hexdigest(), name
    for folder in ("company", "update"):
        assert listed.get(f"{folder}/") == folder_checksum(DATA / folder), folder


def folder_checksum(folder: Path) -> str:
    """The sha256 over the files' own, in the order of their paths."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*.md")):
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
