"""The checks of notebook 02's exercises."""

from __future__ import annotations

from collections.abc import Callable

from utils.exam import Difference, Sitting, compare

WHOLE = (20, 40)
RECALLS = (  # chunks, recall, what goes wrong there
    ([(20, 40)], 1.0, "One chunk that is the gold span has a recall of 1."),
    ([(60, 80)], 0.0, "A chunk that does not touch the span delivers nothing of it. Where they do "
                      "not touch, min(ends) − max(starts) is negative: cut it off at 0, or use "
                      "sets of characters."),
    ([(0, 30)], 0.5, "Of the chunk 0:30 only the characters 20 to 29 are gold."),
    ([(20, 32), (28, 36)], 0.8, "The characters 28 to 31 are in both chunks and were found once. "
                                "Collect the characters in a set, and count it at the end."),
    ([], 0.0, "With no chunk at all, nothing is found."),
)
FIRST, SECOND = ["A", "B", "C"], ["C", "A", "D"]
FUSED = ["A", "C", "B", "D"]
SIZES = {"Flat": 15.36, "PQ48": 0.48}


def check_recall(recall: Callable | None) -> None:
    """The share of a gold span that chunks deliver, each character counted once."""
    for chunks, right, why in RECALLS:
        try:
            found = recall(WHOLE, chunks)
        except Exception as problem:  # the learner's own function: anything can go wrong in it
            print(f"With chunks {chunks} it stopped with {type(problem).__name__}: {problem}.")
            return
        if found is None:
            print("Not filled in yet: return the share of the gold characters.")
            return
        if abs(found - right) > 1e-9:
            delivered = sum(end - start for start, end in chunks)
            if delivered and abs(found * delivered - right * 20) < 1e-9:
                why = "That is the precision: you divided by what was delivered. Recall divides " \
                      "by what was wanted."
            print(f"Gold {WHOLE}, chunks {chunks}: {found:.2f}, and it should be {right:.2f}. "
                  f"{why}")
            return
    print("Right: found once, counted once.")


def check_pairwise(gap: Difference | None, verdict: str | None, first: Sitting,
                   second: Sitting) -> None:
    """The paired difference of two chunkers' recall, and what it allows to say."""
    if gap is None or verdict is None:
        print("Not filled in yet: compute `gap`, then decide.")
        return
    if not isinstance(gap, Difference):
        print("`gap` should be what compare(...) returns. Two separate intervals forget that both "
              "chunkers were asked the same questions.")
        return
    right, turned = compare(first, second, "recall"), compare(second, first, "recall")
    clear = (first.system if right.value > 0 else second.system) if right.clear else "cannot tell"
    if gap == turned and gap != right:
        print(f"The order is {first.system} minus {second.system}; yours is the other way round.")
    elif gap != right:
        print(f"The difference in recall is {right.value:+.2f}, yours is {gap.value:+.2f}. Did you "
              'name the metric "recall"? compare looks at "facts" if you do not.')
    elif verdict not in {first.system, second.system, "cannot tell"}:
        print(f'Answer "{first.system}", "{second.system}" or "cannot tell".')
    elif verdict == clear:
        print(f"Right: {gap}.")
    elif clear == "cannot tell":
        print(f"{gap}. The interval holds zero: on these questions it may be luck.")
    else:
        print(f"{gap}. The interval leaves zero out, on the side of {clear}.")


def check_fusion(fuse: Callable | None) -> None:
    """Two rankings joined by reciprocal rank."""
    try:
        found = fuse(list(FIRST), list(SECOND))
    except KeyError as problem:
        print(f"{problem} stands in one list only. Start every text at 0: scores.get(text, 0).")
        return
    except Exception as problem:  # the learner's own function: anything can go wrong in it
        print(f"It stopped with {type(problem).__name__}: {problem}.")
        return
    if found is None:
        print("Not filled in yet: return the texts, best first.")
        return
    found = list(found)
    if found == FUSED:
        print("Right. A is high in both lists; C wins one and is last in the other.")
    elif found == FUSED[::-1]:
        print("Worst first: sorted() goes upwards unless you say reverse=True.")
    elif set(found) < set(FUSED):
        print(f"{sorted(set(FUSED) - set(found))} are missing. A text that one list has and the "
              "other has not is kept, with the points of one.")
    elif len(found) != len(set(found)):
        print("A text stands in yours twice. Add up its points first, then sort.")
    elif found == ["A", "B", "C", "D"]:
        print("Was the second list counted? Its first, C, should pass B.")
    else:
        print(f"Yours is {found}. Give 1 / (10 + rank) for each list a text stands in, rank 0 for "
              "the first, and add.")


def check_bytes(gigabytes: dict[str, float | None]) -> None:
    """What ten million vectors of 384 dimensions need under two kinds of index."""
    for name, right in SIZES.items():
        yours = gigabytes.get(name)
        if yours is None:
            print("Not filled in yet: replace both None with gigabytes (1 GB = 10⁹ bytes).")
            return
        ratio = yours / right
        if abs(ratio - 1) < 0.08:  # GB or GiB
            continue
        known = {0.25: "a float32 has 4 bytes, not 1", 8: "those are bits; 8 make a byte",
                 1000: "those are megabytes", 4: "a code of PQ48 has one byte a part, not four",
                 1e9: "those are bytes", 0.125: "a code of PQ48 has 8 bits a part, one byte"}
        hint = next((text for r, text in known.items() if abs(ratio / r - 1) < 0.08),
                    "multiply vectors by bytes a vector")
        print(f"{name}: {yours:g} GB is not it: {hint}.")
        return
    print("Right: 15.4 GB against half a gigabyte, which is why large collections are compressed.")
