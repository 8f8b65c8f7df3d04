"""A web page -> its title and its text as Markdown: headings, paragraphs, lists, tables.

A table keeps what its cells say of each other: the first row lends its names to the columns only
where it is a header, and a cell that reaches over several rows or columns counts in each of them.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser


class _Page(HTMLParser):
    """Writes a page's headings, paragraphs, lists and tables as Markdown."""

    SKIPPED = {"script", "style", "nav", "template", "svg", "noscript"}
    HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
    BLOCKS = HEADINGS | {"p", "div", "section", "article", "table", "caption", "ul", "ol", "br",
                         "header", "footer", "main", "dl", "dt", "dd", "blockquote", "pre", "li"}

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self.title = ""
        self.skip = 0
        self.in_title = False
        self.row: list[str] | None = None
        self.spans: list[tuple[int, int]] = []  # of the row's cells: columns, rows
        self.below: dict[int, tuple[int, str]] = {}  # column: rows still to fill, with what
        self.heads = self.rows = 0
        self.in_head = False

    def handle_starttag(self, tag, attrs):
        if tag in self.SKIPPED:
            self.skip += 1
        elif tag == "title":
            self.in_title = not self.skip  # a drawing has titles too
        elif tag in {"thead", "tbody"}:
            self._end_row()
            self.in_head = tag == "thead"
        elif tag == "tr":
            self._end_row()
            self.row, self.spans, self.heads = [], [], 0
        elif tag in {"td", "th"} and self.row is not None:
            self.row.append("")
            self.spans.append(tuple(_span(dict(attrs).get(f"{what}span")) for what in
                                    ("col", "row")))
            self.heads += tag == "th"
        elif tag in self.BLOCKS and self.row is None:
            if tag == "table":
                self.rows, self.below, self.in_head = 0, {}, False
            marks = {"li": "\n- ", "br": "\n"} | {h: f"\n\n{'#' * int(h[1])} "
                                                for h in self.HEADINGS}
            self._break(marks.get(tag, "\n\n"))
        elif tag in self.BLOCKS:
            self.handle_data(" ")  # two lines of one cell are two words

    def handle_endtag(self, tag):
        if tag in self.SKIPPED:
            self.skip = max(0, self.skip - 1)
        elif tag == "title":
            self.in_title = False
        elif tag in {"tr", "table"}:  # a page may leave out </tr>
            self._end_row()
            if tag == "table":
                self.out.append("\n\n")
        elif tag in self.BLOCKS and tag != "li" and self.row is None:
            self.out.append("\n\n")

    def handle_data(self, data):
        if self.skip:
            return
        if self.in_title:
            self.title += data
        elif self.row:
            self.row[-1] += data
        elif self.row is None:
            self.out.append(re.sub(r"\s+", " ", data))

    def close(self):
        super().close()
        self._end_row()

    def _break(self, mark: str) -> None:
        """A new block; the paragraph inside a list item stays on the item's line."""
        last = next((piece for piece in reversed(self.out) if piece.strip(" ")), "")
        if last != "\n- " or mark != "\n\n":
            self.out.append(mark)

    def _end_row(self) -> None:
        if self.row:
            cells = self._across([re.sub(r"\s+", " ", c).strip().replace("|", "\\|")
                                  for c in self.row])
            rule = "\n|" + "---|" * len(cells)
            line = "\n| " + " | ".join(cells) + " |"
            if self.rows == 0:
                line = line + rule if self._names_columns(cells) else "\n|" + " |" * len(
                    cells) + rule + line
            self.out.append(line)
            self.rows += 1
        self.row = None

    def _names_columns(self, cells: list[str]) -> bool:
        """Whether a table's first row is its header; 'Price | EUR 189' is a row like the others."""
        if self.heads or self.in_head:
            return (self.in_head or self.heads == len(self.row)) and len(cells) > 1
        return len(cells) > 2 and not re.search(r"\d", "".join(cells))

    def _across(self, texts: list[str]) -> list[str]:
        """The row's cells, those that reach over several columns or rows once for each."""
        cells, waiting = [], list(zip(texts, self.spans, strict=True))
        while waiting or len(cells) in self.below:
            left, text = self.below.pop(len(cells), (0, ""))
            if left:
                if left > 1:
                    self.below[len(cells)] = left - 1, text
                cells.append(text)
                continue
            text, (columns, rows) = waiting.pop(0)
            for _ in range(columns):
                if rows > 1:
                    self.below[len(cells)] = rows - 1, text
                cells.append(text)
        return cells


def _span(said: str | None) -> int:
    """A cell's colspan or rowspan; 1 where it says nothing, or nonsense."""
    return min(int(said), 20) if said and said.isascii() and said.isdigit() and int(said) else 1


def read_html(text: str) -> tuple[str, str]:
    parser = _Page()
    parser.feed(re.sub(r"<!\[[^>]*>?", " ", text))  # Word's "<![if …]>": the parser stops at some
    parser.close()
    lines = [line.strip() for line in "".join(parser.out).split("\n")]
    title = re.sub(r"\s+", " ", parser.title).strip()
    return title, re.sub(r"\n{3,}", "\n\n", "\n".join(lines))
