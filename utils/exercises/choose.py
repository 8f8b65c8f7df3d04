"""The checks of notebook 06's exercises."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from utils.choosing import Case, above, needs

OPINIONS = {  # the questions of notebook 00, and what of the table answers them
    "documents that change every month": ("retrieve", "fine-tune", "fresh"),
    "valid JSON in the house's voice": ("fine-tune", "retrieve", "format"),
    "naming the sources": ("retrieve", "fine-tune", "cites"),
}
SYSTEM = {"retrieve": "rag", "fine-tune": "tuned"}
EXAMPLES = "200 labelled examples"


def check_opinions(opinions: Mapping[str, str | None], board: Mapping) -> None:
    """Sets the four opinions of notebook 00 beside the rows of the table."""
    asked = [*OPINIONS, EXAMPLES]
    if any(opinions.get(question) is None for question in asked):
        print("Not filled in yet: replace every None.")
        return
    for question, (right, other, metric) in OPINIONS.items():
        said = opinions[question]
        if said not in SYSTEM:
            print(f'{question}: answer "retrieve" or "fine-tune".')
            continue
        try:
            clear = above(board, SYSTEM[right], SYSTEM[other], metric)
            figures = " and ".join(
                f"{name} {board['systems'][name][metric]['value']:.2f}" for name in SYSTEM.values())
        except KeyError:
            print(f"{question}: {metric} of `rag` and `tuned` is not measured here yet.")
            continue
        verdict = ("your table cannot tell" if clear is None else
                   "your table agrees" if (said == right) == clear else "your table says otherwise")
        print(f"{question}: you said {said}; {verdict}. {metric}: {figures}.")
    print(f"{EXAMPLES}: " + {
        "enough": "enough for what? For the form, notebook 04's curve shows how many it took. For "
                  "facts no number was enough.",
        "too few": "too few for what? Look at notebook 04's curve for the form. For facts no "
                   "number was enough.",
        "the wrong question": "yes. A number of examples says nothing before you say what they are "
                              "to teach.",
    }.get(opinions[EXAMPLES], 'answer "enough", "too few" or "the wrong question".'))


def check_case(case: Case | None) -> None:
    """Whether a case says something, and nothing that contradicts itself."""
    if case is None:
        print("Not filled in yet: describe your own case.")
    elif not isinstance(case, Case):
        print("Make it a Case(…): its name, and what you know about the task.")
    elif not case.documents and (case.cites or case.changes_a_year):
        print("It has no documents, and yet it names them or they change. If answers stand "
              "anywhere in writing, leave documents=True.")
    elif not needs(case) and not case.voice:
        print("Nothing in it can be examined: no documents, no form, no labels. What would a "
              "wrong reply look like? That is what your case needs.")
    elif case.examples and not case.behaves:
        print(f"{case.examples} labelled examples, and neither form nor labels to learn from them? "
              "Facts are learned badly that way (notebook 04). Set form, voice or labels, or leave "
              "the examples out.")
    else:
        print(f"Understood. What decides it: {', '.join(needs(case)) or 'nothing on this table'}."
              + " No metric here hears a voice: write a grader for yours, as notebook 04 does for "
                "openings, or read thirty replies." * case.voice)


def check_pays_after(pays_after: Callable[[float, float, float], float | None]) -> None:
    """After how many questions a training has paid for itself in computing time."""
    try:
        some, none, worse = (pays_after(100.0, 700.0, 600.0), pays_after(100.0, 500.0, 500.0),
                             pays_after(100.0, 500.0, 600.0))
    except ZeroDivisionError:
        print("Where nothing is saved, it divides by zero: it never pays. Return math.inf.")
        return
    except Exception as problem:  # the learner's own function: anything can go wrong in it
        print(f"It stopped with {type(problem).__name__}: {problem}. It is given the seconds of "
              "the training and the milliseconds of a question, before and after.")
        return
    if some is None:
        print("Not filled in yet: return the number of questions.")
    elif abs(some - 1) < 1e-9:
        print("Seconds were divided by milliseconds: a second is 1000 of them.")
    elif abs(some - 1000) > 1e-6:
        print(f"100 s of training that save 100 ms a question pay after 1000 questions; yours "
              f"says {some:g}.")
    elif none != math.inf or worse != math.inf:
        print("Where a question takes as long as before, or longer, it never pays: math.inf.")
    else:
        print("Right. And the hours of the people who make the examples are not in it.")
