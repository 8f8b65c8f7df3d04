"""A chunk knows its place, its text is its slice's words, and no word of a document is lost."""

import random
import re
from collections import Counter

import pytest

from utils.blocks import blocks, sentences
from utils.chunking import Chunk, by_heading, by_sentence, by_words
from utils.documents import Document

CHUNKERS = {"sentence": by_sentence, "heading": by_heading, "words": by_words}


def document(text: str, title: str = "Guide") -> Document:
    return Document("doc", title, text.strip("\n"))


def words(text: str) -> Counter:
    return Counter(re.findall(r"\w+", text))


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


def check_spans(found: list[Chunk], text: str, apart: bool = True) -> None:
    """In range, increasing, and (but for overlapping windows) one after the other."""
    for chunk in found:
        assert 0 <= chunk.start < chunk.end <= len(text), chunk
        assert chunk.text.strip(), chunk
    for a, b in zip(found, found[1:], strict=False):
        assert a.start < b.start and a.end < b.end, (a, b)
        assert not apart or a.end <= b.start, (a, b)


def check_nothing_is_lost(found: list[Chunk], text: str) -> None:
    """Every word stands in a chunk's slice, its headings or, for a table's header, its text."""
    everything = words(" ".join(" ".join((c.text, *c.headings)) for c in found))
    assert not set(words(text)) - set(everything)


HANDBOOK = """# Handbook

Welcome to the shop. It opens at 9.30 a.m. on weekdays.

## 1. Returns

1.1 You may return a bike within **45 days**. 1.2 The [form](https://x.example/form) is
short, e.g. two lines.

### Costs

- Parcels cost EUR 5.50. Bikes cost EUR 64.
- Nothing is due for
  repairs under guarantee.
  1. Nested step one
  2. Nested step two

| Model | Weight | Price |
|:------|-------:|------:|
| Lark 2 | 16.5 kg | EUR 2,790 |
| Pelican \\| XL | | EUR 5,190 |

## 2. Repairs

```bash
# no heading
- no item
```

> Quoted words stay. Both sentences do.

## 3. Nothing below this one
"""


@pytest.mark.parametrize("name", CHUNKERS)
def test_spans_and_words_of_a_real_page(name):
    doc = document(HANDBOOK)
    found = CHUNKERS[name](doc)
    check_spans(found, doc.text)
    check_nothing_is_lost(found, re.sub(r"\(https[^)]*\)|^#+ 3.*$|bash|^\s*\d\. ", "", doc.text,
                                        flags=re.MULTILINE))


def test_the_text_of_prose_is_its_slice():
    doc = document(HANDBOOK)
    for chunk in by_sentence(doc):
        raw = doc.text[chunk.start:chunk.end]
        if "|" in raw or "```" in raw:
            continue
        plain = re.sub(r"\]\([^)]*\)|[*>`\[]|^#+ ", "", raw)
        assert chunk.text.split() == plain.split()
    for chunk in by_words(doc):
        assert chunk.text == doc.text[chunk.start:chunk.end]


def test_heading_paths():
    paths = {c.text: c.headings for c in by_sentence(document(HANDBOOK))}
    assert paths["Welcome to the shop."] == ("Handbook",)
    assert paths["Bikes cost EUR 64."] == ("Handbook", "1. Returns", "Costs")
    assert paths["Both sentences do."] == ("Handbook", "2. Repairs")


def test_nested_headings_close_what_lies_below_them():
    doc = document("# A\n\n### C\n\none\n\n## B\n\ntwo\n\n#### D ####\n\nthree\n\n# C#\n\nfour")
    assert [(b.text, b.headings) for b in blocks(doc.text)] == [
        ("one", ("A", "C")), ("two", ("A", "B")), ("three", ("A", "B", "D")), ("four", ("C#",))]


def test_the_place_names_the_title_once():
    (chunk,) = by_heading(document("# Guide\n\n## Costs\n\nFive euros.", title="Guide"))
    assert chunk.place == "Guide › Costs"


def test_a_heading_with_nothing_below_is_kept():
    doc = document("# Rules\n\n## Dogs are welcome\n\n## Cats are not ##\n\n# End")
    assert [b.text for b in blocks(doc.text)] == ["Dogs are welcome", "Cats are not", "End"]
    assert [c.headings for c in by_heading(doc)] == [
        ("Rules", "Dogs are welcome"), ("Rules", "Cats are not"), ("End",)]
    check_spans(by_sentence(doc), doc.text)


def test_table_rows_carry_their_column_names():
    rows = [b.text for b in blocks(document(HANDBOOK).text) if b.kind == "row"]
    assert rows == ["Model: Lark 2; Weight: 16.5 kg; Price: EUR 2,790",
                    "Model: Pelican | XL; Price: EUR 5,190"]


@pytest.mark.parametrize("table, rows", [
    ("| | Price |\n|---|---|\n| Bell | 5 |", ["Bell; Price: 5"]),
    ("|| Price |\n|---|---|\n|| 5 |", ["Price: 5"]),
    ("| A | B |\n|---|---|\n| 1 | 2 | 3 |\n| 4 |", ["A: 1; B: 2; 3", "A: 4"]),
    ("| **A** | B |\n| :-: | --- |\n| `x` | 1<br>2 |", ["A: x; B: 1 2"]),
    ("| a | b |\n| c | d |", ["a; b", "a: c; b: d"]),
    ("Model | Price\n--- | ---\nLark | 5\nHeron | 6", ["Model: Lark; Price: 5",
                                                      "Model: Heron; Price: 6"])])
def test_tables_of_several_kinds(table, rows):
    assert [b.text for b in blocks(table) if b.kind == "row"] == rows


def test_a_table_does_not_lend_its_header_to_the_next():
    text = "| A |\n|---|\n| 1 |\n\nBetween.\n\n| B | C |\n|---|---|\n| 2 | 3 |"
    assert [b.text for b in blocks(text)] == ["A: 1", "Between.", "B: 2; C: 3"]


def test_lists():
    items = [b.text for b in blocks(document(HANDBOOK).text) if b.kind == "item"]
    assert items == ["Parcels cost EUR 5.50. Bikes cost EUR 64.",
                     "Nothing is due for repairs under guarantee.",
                     "Nested step one", "Nested step two"]
    assert "- Nested step one" in by_heading(document(HANDBOOK))[2].text


def test_a_number_at_a_line_s_start_is_no_item_inside_a_paragraph():
    doc = document("We close on\n30. June and open again on\n14) a date to come.\n\n"
                   "1. Step\n2. Next")
    assert [(b.kind, b.text) for b in blocks(doc.text)] == [
        ("prose", "We close on 30. June and open again on 14) a date to come."),
        ("item", "Step"), ("item", "Next")]


@pytest.mark.parametrize("fence", ["```", "~~~"])
def test_code_stays_as_it_is(fence):
    doc = document(f"Run:\n\n{fence}bash\n# a comment. Not a heading\n\n| no | row |\n- no item\n"
                   f"{fence}\n\nDone.")
    kinds = [(b.kind, b.text.strip()) for b in blocks(doc.text)]
    assert kinds == [("prose", "Run:"),
                     ("code", "# a comment. Not a heading\n\n| no | row |\n- no item"),
                     ("prose", "Done.")]
    assert [c.text for c in by_sentence(doc)] == [text for _, text in kinds]


def test_a_code_block_that_is_never_closed_runs_to_the_end():
    doc = document("Run:\n\n```\nx = 1\n\n# y")
    assert [b.kind for b in blocks(doc.text)] == ["prose", "code"]
    check_nothing_is_lost(by_sentence(doc), doc.text)


def test_code_in_one_line_opens_no_block():
    assert [b.kind for b in blocks("```x = 1``` sets x.\n\nMore.")] == ["prose", "prose"]


def test_an_indented_hash_is_no_heading():
    assert [b.headings for b in blocks("# A\n\n    # install\n    pip")] == [("A",)]


@pytest.mark.parametrize("text, expected", [
    ("One. Two! Three? Four… Five.", ["One.", "Two!", "Three?", "Four…", "Five."]),
    ("It is e.g. Steel. Ask Mr. Smith or Dr. A. Jones.", [
        "It is e.g. Steel.", "Ask Mr. Smith or Dr. A. Jones."]),
    ("See No. 5 and fig. 3. It fits approx. EUR 5.", ["See No. 5 and fig. 3.",
                                                      "It fits approx. EUR 5."]),
    ("Is there a fee? There is no. The price is full.", [
        "Is there a fee?", "There is no.", "The price is full."]),
    ("No. It is 38 mm longer. Yes. Both fit.", ["No. It is 38 mm longer.", "Yes. Both fit."]),
    ("Wait 30 min. Then ride.", ["Wait 30 min.", "Then ride."]),
    ("It weighs 2.5 kg. Version 1.2.3 is 0.5 kg lighter.", [
        "It weighs 2.5 kg.", "Version 1.2.3 is 0.5 kg lighter."]),
    ("Open from 9.30 to 17.00. Closed at 5 p.m. on Monday. Call before 5 p.m. It is free.", [
        "Open from 9.30 to 17.00.", "Closed at 5 p.m. on Monday.", "Call before 5 p.m.",
        "It is free."]),
    ("1.2 The deposit is due. 1.3 It is paid back.", ["1.2 The deposit is due.",
                                                      "1.3 It is paid back."]),
    ("1. The deposit is due. See page 5. It is short.", [
        "1. The deposit is due.", "See page 5.", "It is short."]),
    ("On the 3. of May. Then on the 4. of June.", ["On the 3. of May.", "Then on the 4. of June."]),
    ('He said "Stop." She stopped. “Why?” Nobody knew.', [
        'He said "Stop."', "She stopped.", "“Why?”", "Nobody knew."]),
    ("**Do not ride.** Call us. `E17` means low. [Here](x) is more.", [
        "**Do not ride.**", "Call us.", "`E17` means low.", "[Here](x) is more."]),
    ("Ends (really.) Next. It ends.) Good.", ["Ends (really.)", "Next.", "It ends.)", "Good."]),
    ("Žluťoučký kůň. Šťastný den. Ölung nötig.", ["Žluťoučký kůň.", "Šťastný den.",
                                                 "Ölung nötig."]),
    ("It costs 5. €6 is too much. £7, too.", ["It costs 5.", "€6 is too much.", "£7, too."]),
    ("a line\nthat goes on. Next\nline.", ["a line\nthat goes on.", "Next\nline."]),
    ("no end", ["no end"]), ("  \n ", []), ("...", ["..."])])
def test_sentences(text, expected):
    assert split(text) == expected


def test_bold_that_runs_over_two_sentences_leaves_no_marks():
    assert [c.text for c in by_sentence(document("**Please wait. We call you.** Then ride."))] == [
        "Please wait.", "We call you.", "Then ride."]


def test_sections_are_cut_between_blocks_and_never_joined():
    text = "\n\n".join(["# A", *["one two three four five."] * 5, "# B", "six.", "# B", "seven."])
    doc = document(text)
    sizes = [(c.headings, len(c.text.split())) for c in by_heading(doc, words=12)]
    assert sizes == [(("A",), 10), (("A",), 10), (("A",), 5), (("B",), 1), (("B",), 1)]


def test_windows_of_words():
    doc = document(" ".join(f"w{i}" for i in range(10)))
    assert [c.text for c in by_words(doc, 4)] == ["w0 w1 w2 w3", "w4 w5 w6 w7", "w8 w9"]
    overlapping = by_words(doc, 4, overlap=2)
    assert [c.text for c in overlapping] == ["w0 w1 w2 w3", "w2 w3 w4 w5", "w4 w5 w6 w7",
                                             "w6 w7 w8 w9"]
    check_spans(overlapping, doc.text, apart=False)
    assert by_words(document("")) == by_sentence(document("")) == by_heading(document("")) == []
    for wrong in ((4, 4), (4, -1), (0, 0)):
        with pytest.raises(ValueError, match="words must be 1 or more and overlap smaller"):
            by_words(doc, *wrong)


# ---------------------------------------------------------------- random documents


WORDS = ("Bolt chain drei 1.5 kg EUR Mr. No. 9.30 a.m. e.g. it's größer x² E-17 Wait. Ride! Why? "
         "“Yes.” (or so) Š A. 1. 30. end. pump").split()


def random_markdown(seed: int) -> str:
    """Pages with all that the chunker knows, in an order nobody would choose."""
    draw = random.Random(seed)

    def phrase(most: int = 12) -> str:
        return " ".join(draw.choice(WORDS) for _ in range(draw.randint(1, most)))

    def table() -> str:
        columns = draw.randint(1, 4)
        lines = [[f"Column{n}" for n in range(columns)], ["---"] * columns]
        lines += [[phrase(3) for _ in range(columns)] for _ in range(draw.randint(1, 3))]
        return "\n".join("| " + " | ".join(row) + " |" for row in lines)

    parts = {
        "heading": lambda: "#" * draw.randint(1, 6) + " " + phrase(3),
        "prose": lambda: "\n".join(phrase() for _ in range(draw.randint(1, 3))),
        "list": lambda: "\n".join(" " * draw.choice((0, 2, 4)) + draw.choice(("- ", "* ", "+ "))
                                  + phrase() for _ in range(draw.randint(1, 4))),
        "table": table,
        "code": lambda: f"```\n{phrase()}\n\n{phrase()}\n```",
        "quote": lambda: "> " + phrase(),
        "rule": lambda: draw.choice(("---", "* * *")),
    }
    return "\n\n".join(parts[draw.choice(list(parts))]() for _ in range(draw.randint(1, 15)))


@pytest.mark.parametrize("name", CHUNKERS)
def test_random_pages_lose_no_word(name):
    for seed in range(300):
        doc = document(random_markdown(seed))
        found = CHUNKERS[name](doc)
        check_spans(found, doc.text)
        check_nothing_is_lost(found, doc.text)


def test_random_noise_is_survived():
    draw = random.Random(1)
    pieces = ["#", "##", "```", "~~~", "|", "||", "---", "|---|", "- ", "1. ", "> ", "**", "_",
              "[", "](", ")", "\\|", ".", "?", "word", "Word", "5", "\n", "\n\n", "\t", "\u2028",
              "\f", " ", "<br>", "é", "🚲"]
    for _ in range(3000):
        doc = document("".join(draw.choice(pieces) for _ in range(draw.randint(0, 40))))
        for chunker in (by_sentence, by_heading, by_words):
            check_spans(chunker(doc), doc.text)
        check_spans(by_words(doc, 5, overlap=3), doc.text, apart=False)


@pytest.mark.parametrize("text, found", [
    ("| | |\n|---|---|\n| Price | EUR 189 |\n| Weight | 2 kg |",
     ["Price: EUR 189", "Weight: 2 kg"]),
    ("| A | B |\n|---|---|\n| x | 1 |\n| | |\n| y | 2 |", ["A: x; B: 1", "A: y; B: 2"]),
    ("It is 300 m high [12] and old.[3] See [the list](l.md) [4].",
     ["It is 300 m high and old.", "See the list."]),
    ("The fee is EUR&nbsp;12 &amp; more.", ["The fee is EUR 12 & more."]),
    ("Array a[0], the b[1] and [1](one.md) stay.", ["Array a[0], the b[1] and 1 stay."]),
    ("Built in 1889[3] of iron[12].", ["Built in 1889 of iron."]),
    ("[1] Options are read first.", ["[1] Options are read first."])])
def test_columns_without_names_footnotes_and_entities(text, found):
    chunks = by_sentence(document(text))
    assert [c.text for c in chunks] == found
    check_spans(chunks, document(text).text)
