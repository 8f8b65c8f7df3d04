"""A finished reply -> the house's form around it, by program: no model is asked.

The reply is there and so is the document that it cites. The queue and the urgency are those that
went with this document most often in the style examples, the words of greeting and farewell those
that went with this urgency. It is a table and learns nothing from the customer's words; what an
adapter is worth is what it does better than this.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from utils.exam import Question, Sitting, grade
from utils.grading import house_json
from utils.prompts import FRAMED

COUNTED = ("route", "urgency")


def house_replies(examples: Iterable[Mapping]) -> list[dict]:
    """The replies of the house in the style examples; a broken one is passed over."""
    found = (house_json(example["messages"][-1]["content"]) for example in examples)
    return [reply for reply in found if reply and {*COUNTED, "sources"} <= reply.keys()]


def usual(key: str, named: Sequence[str], known: Sequence[dict]) -> str:
    """What stands under a key most often in the replies that name one of these documents.

    Where none does, all replies are counted.
    """
    near = [reply for reply in known if set(reply["sources"]) & set(named)] or known
    return Counter(reply[key] for reply in near).most_common(1)[0][0]


def frame(reply: object) -> tuple[str, str]:
    """The opening and the closing of what a house reply says; empty where it has none."""
    found = FRAMED.fullmatch(reply) if isinstance(reply, str) else None
    return (found["opening"], found["closing"]) if found else ("", "")


def usual_frame(urgency: str, known: Sequence[dict]) -> tuple[str, str]:
    """What stands around the replies of this urgency most often."""
    frames = Counter(frame(reply["reply"]) for reply in known if reply["urgency"] == urgency)
    return frames.most_common(1)[0][0]


def formed(text: str, cited: Sequence[str], known: Sequence[dict]) -> str:
    """The reply in the form of the house; `known` are the replies that are counted."""
    values = {key: usual(key, cited, known) for key in COUNTED}
    opening, closing = usual_frame(values["urgency"], known)
    if closing and not text.endswith((".", "!", "?")):
        text += "."
    said = " ".join(part for part in (opening, text, closing) if part)
    return json.dumps({"reply": said, **values, "sources": list(dict.fromkeys(cited))},
                      ensure_ascii=False)


def in_house_form(sitting: Sitting, questions: Sequence[Question], known: Sequence[dict]
                  ) -> Sitting:
    """What a system's replies would be graded, had a program put them into the form."""
    asked = {question.id: question for question in questions}
    replies = [formed(row["answer"], row["cited"], known) for row in sitting.rows]
    return Sitting(f"{sitting.system}, formed", [
        {**row, "answer": reply, "grades": grade(asked[row["id"]], reply, row["cited"])}
        for row, reply in zip(sitting.rows, replies, strict=True)])


def manners(text: str) -> dict[str, object]:
    """How a house reply greets, takes its leave, and which queue it names; of no JSON, nothing."""
    reply = house_json(text) or {}
    opening, closing = frame(reply.get("reply"))
    return {"opening": opening, "closing": closing, "route": reply.get("route")}
