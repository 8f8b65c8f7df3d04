"""What a real folder holds is read; what cannot be read is named in one sentence."""

import os
import warnings

import pytest

from utils.chunking import by_sentence
from utils.documents import LARGEST, BadFile, CourseError, load_document, load_documents


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def pdf(*lines, title="Bell manual") -> bytes:
    """The smallest PDF that holds these lines of text."""
    shown = b" T* ".join(f"({line}) Tj".encode("latin-1") for line in lines)
    stream = b"BT /F1 12 Tf 14 TL 72 720 Td " + shown + b" ET"
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>",
               b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
               b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
               b"/Resources << /Font << /F1 5 0 R >> >> >>",
               b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
               b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
               f"<< /Title ({title}) >>".encode()]
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return out + b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table) + (
        b"trailer\n<< /Size %d /Root 1 0 R /Info 6 0 R >>\nstartxref\n%d\n%%%%EOF\n"
        % (len(objects) + 1, len(out)))


def quietly(folder):
    """The documents of a folder that must give no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load_documents(folder)


def beside_a_good_one(folder, *sentence):
    """The good document is loaded all the same, and one warning says what is wrong."""
    write(folder, "good.md", "# Good\n\nIt is read.")
    with pytest.warns(UserWarning) as caught:
        documents = load_documents(folder)
    assert [d.title for d in documents] == ["Good"]
    assert len(caught) == 1
    message = str(caught[0].message)
    for part in ("Left out", *sentence):
        assert part in message, message
    assert "\n" not in message and message.endswith(".")
    assert caught[0].filename == __file__  # the reader's line is named, not the library's
    return message


# ---------------------------------------------------------------- what is read


def test_markdown_with_front_matter(tmp_path):
    write(tmp_path, "a.md", "---\nid: KB-101\ntitle: Delivery times\nupdated: 2026-03-01\n---\n"
                            "\n# Delivery\n\nFive days.\n")
    (document,) = quietly(tmp_path)
    assert (document.id, document.title) == ("KB-101", "Delivery times")
    assert document.meta["updated"] == "2026-03-01"
    assert document.text == "# Delivery\n\nFive days."
    assert document.path == tmp_path / "a.md"


def test_markdown_without_front_matter(tmp_path):
    write(tmp_path, "sub/opening-hours.md", "# Hours #\n\nNine to five.")
    write(tmp_path, "sub/price_list.md", "No heading here.")
    first, second = quietly(tmp_path)
    assert (first.id, first.title, first.meta) == ("sub/opening-hours", "Hours", {})
    assert (second.id, second.title) == ("sub/price_list", "Price list")


def test_a_title_may_hold_a_colon(tmp_path):
    write(tmp_path, "a.md", "---\ntitle: Delivery: times and costs\nid: \"007\"\n---\nText.")
    write(tmp_path, "b.md", "---\ntitle: *Important*\nid: KB-2\n---\nText.")
    first, second = quietly(tmp_path)
    assert (first.title, first.id) == ("Delivery: times and costs", "007")
    assert (second.title, second.id) == ("*Important*", "KB-2")


def test_line_ends_of_windows_and_old_macs(tmp_path):
    write(tmp_path, "mac.md", b"---\rid: m\r---\rOne.\rTwo.\r")
    write(tmp_path, "windows.md", b"---\r\nid: w\r\n---\r\nOne.\r\nTwo.\r\n")
    assert [(d.id, d.text) for d in quietly(tmp_path)] == [("m", "One.\nTwo."), ("w", "One.\nTwo.")]


def test_text(tmp_path):
    write(tmp_path, "notes.txt", "---\nThis line is no front matter in a text file.\n")
    (document,) = quietly(tmp_path)
    assert document.title == "Notes" and document.text.startswith("---\nThis line")


def test_text_with_a_byte_order_mark(tmp_path):
    write(tmp_path, "a.txt", "Zürich".encode("utf-16"))
    write(tmp_path, "b.txt", "Zürich".encode("utf-8-sig"))
    assert [d.text for d in quietly(tmp_path)] == ["Zürich", "Zürich"]


def test_html_headings_and_paragraphs(tmp_path):
    write(tmp_path, "a.html", """<!DOCTYPE html><html><head><title>Shop &amp;
        Hours</title><style>p {}</style><script>alert("<p>")</script></head><body>
        <nav><a href="/">Menu</a></nav><svg><title>Logo</title></svg>
        <h1>Opening\n hours</h1><p>Open <b>daily</b>.<br>Closed on Sundays.</p><h2>Winter</h2>
        <p>Ten to&nbsp;four.</p></body></html>""")
    (document,) = quietly(tmp_path)
    assert document.title == "Shop & Hours"
    assert document.text == ("# Opening hours\n\nOpen daily.\nClosed on Sundays.\n\n## Winter\n\n"
                             "Ten to four.")


def test_html_lists(tmp_path):
    write(tmp_path, "a.htm", "<p>Bring:</p><ul><li>a lamp</li><li><p>a rope</p></li>"
                             "<li>a <em>map</em></ul><ol><li>Go.</ol>")
    text = quietly(tmp_path)[0].text
    assert [line for line in text.split("\n") if line] == [
        "Bring:", "- a lamp", "- a rope", "- a map", "- Go."]


@pytest.mark.parametrize("closed", [True, False])
def test_html_tables(tmp_path, closed):
    """With and without the </tr> and </td> that a page may leave out."""
    page = ("<p>See</p><table><caption>Prices</caption><tr><th>Part</th><th>Price</th></tr>"
            "<tr><td>Bell<br>brass</td><td><p>EUR 5</p></td></tr>"
            "<tr><td>a|b</td><td></td></tr></table><p>Tax included.</p>")
    write(tmp_path, "a.html", page if closed else page.replace("</tr>", "").replace("</td>", ""))
    assert quietly(tmp_path)[0].text == (
        "See\n\nPrices\n\n| Part | Price |\n|---|---|\n| Bell brass | EUR 5 |\n| a\\|b |  |\n\n"
        "Tax included.")


@pytest.mark.parametrize("mark", ["<![if !IE]>", "<![foo[ x ]]>", "<![%x", "<![CDATA[ x ]]>", "<?"])
def test_odd_marks_in_html_do_not_stop_the_reading(tmp_path, mark):
    write(tmp_path, "a.html", f"<p>Before.</p>{mark}<p>After.</p>")
    assert "Before." in quietly(tmp_path)[0].text


def test_pdf_with_text(tmp_path):
    write(tmp_path, "bell.pdf", pdf("Ring the bell twice.", "Then wait for 5 minutes."))
    (document,) = quietly(tmp_path)
    assert document.title == "Bell manual"
    assert document.text.split("\n") == ["Ring the bell twice.", "Then wait for 5 minutes."]


def test_hidden_files_readmes_and_other_kinds_are_passed_over(tmp_path):
    for name in ("a.md", ".hidden.md", ".git/b.md", "README.md", "photo.png", "sub/c.TXT"):
        write(tmp_path, name, "Text.")
    assert [d.id for d in quietly(tmp_path)] == ["a", "sub/c"]


def test_the_checksum_follows_title_and_text_alone(tmp_path):
    one = load_document(write(tmp_path, "a.md", "---\ntitle: T\nversion: 1\n---\nText."))
    two = load_document(write(tmp_path, "a.md", "---\ntitle: T\nversion: 2\n---\nText."))
    three = load_document(write(tmp_path, "a.md", "---\ntitle: T\n---\nText, changed."))
    assert one.checksum == two.checksum != three.checksum


# ---------------------------------------------------------------- what is not


def test_empty_folder(tmp_path):
    with pytest.raises(CourseError, match=r"No readable document in .*\. The course reads .*\.md"):
        load_documents(tmp_path)


def test_missing_folder(tmp_path):
    with pytest.raises(CourseError, match=r"There is no folder .*nowhere\. Check the path; it is "
                                          r"read from .*\."):
        load_documents(tmp_path / "nowhere")


def test_a_file_instead_of_a_folder(tmp_path):
    with pytest.raises(CourseError, match=r"a\.md is a file, and a folder is needed\. Name the "
                                          r"folder that holds it\."):
        load_documents(write(tmp_path, "a.md", "Text."))


@pytest.mark.parametrize("content", [
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", bytes(range(1, 256)), b"\xff\xfe\x00"],
    ids=["picture", "no zero byte", "half a UTF-16 character"])
def test_a_binary_file_named_markdown(tmp_path, content):
    write(tmp_path, "picture.md", content)
    beside_a_good_one(tmp_path, "picture.md", "binary file", "Remove it or export it as text.")


def test_a_latin_1_file_is_read_with_a_warning(tmp_path):
    write(tmp_path, "old.md", "# Post\n\nGrüße aus Zürich".encode("latin-1"))
    with pytest.warns(UserWarning, match=r"old\.md, line 3: not UTF-8; .*Save it as") as caught:
        (document,) = load_documents(tmp_path)
    assert "Grüße aus Zürich" in document.text and len(caught) == 1


@pytest.mark.parametrize("content", ["", " \n\t\n", "---\ntitle: Nothing below\n---\n\n"])
def test_an_empty_document(tmp_path, content):
    write(tmp_path, "empty.md", content)
    beside_a_good_one(tmp_path, "empty.md: it is empty", "Add its text or remove the file.")


def test_front_matter_that_is_never_closed(tmp_path):
    write(tmp_path, "open.md", "---\ntitle: Open\n\nThe text begins.")
    beside_a_good_one(tmp_path, "open.md, line 1:", "never closed", "Add a second '---' line")


@pytest.mark.parametrize("lines, number", [
    (["title: Fine", "this is no pair", "id: x"], 3), (["no pair at all"], 2),
    (["title: A: B", "id: x", "and: more: colons", "nothing here"], 5)])
def test_front_matter_with_a_line_that_is_no_pair(tmp_path, lines, number):
    write(tmp_path, "bad.md", "\n".join(["---", *lines, "---", "Text."]))
    beside_a_good_one(tmp_path, f"bad.md, line {number}:", "front matter", "Write ")


def test_a_document_over_the_size_limit(tmp_path):
    write(tmp_path, "dump.txt", b"a" * (LARGEST + 1))
    beside_a_good_one(tmp_path, "dump.txt: 10,000,001 bytes are more than the 10,000,000",
                      "Split it into parts.")


def test_a_broken_pdf(tmp_path):
    write(tmp_path, "broken.pdf", b"%PDF-1.4\nand then nothing")
    beside_a_good_one(tmp_path, "broken.pdf: the PDF cannot be read", "save it again")


def test_a_pdf_that_holds_only_pictures(tmp_path):
    write(tmp_path, "scan.pdf", pdf(""))
    beside_a_good_one(tmp_path, "scan.pdf: the PDF holds no text", "Run it through OCR")


def test_duplicate_ids(tmp_path):
    write(tmp_path, "a.md", "---\nid: KB-1\n---\n# Good\n\nFirst.")
    write(tmp_path, "b.md", "---\nid: KB-1\n---\n# Second\n\nSecond.")
    with pytest.warns(UserWarning) as caught:
        documents = load_documents(tmp_path)
    assert [d.title for d in documents] == ["Good"] and len(caught) == 1
    message = str(caught[0].message)
    assert "b.md: its id 'KB-1' is already that of" in message and "a.md" in message
    assert message.endswith("Give one of them another id or name.")


def test_many_bad_files_are_named_one_by_one(tmp_path):
    write(tmp_path, "a.md", "")
    write(tmp_path, "b.pdf", b"no PDF")
    write(tmp_path, "c.md", "# Fine\n\nText.")
    write(tmp_path, "d.md", b"\x00\x01\x02")
    write(tmp_path, "e.txt", "Fine, too.")
    with pytest.warns(UserWarning) as caught:
        assert [d.id for d in load_documents(tmp_path)] == ["c", "e"]
    assert [next(n for n in ("a.md", "b.pdf", "d.md") if n in str(w.message)) for w in caught] == [
        "a.md", "b.pdf", "d.md"]


def test_only_bad_files(tmp_path):
    write(tmp_path, "a.md", "")
    with pytest.warns(UserWarning, match="a.md"), pytest.raises(CourseError, match="No readable"):
        load_documents(tmp_path)


def test_one_document_by_itself(tmp_path):
    assert load_document(write(tmp_path, "a.md", "Text.")).id == "a"
    with pytest.raises(BadFile, match="gone.md: it cannot be opened .* Check the file"):
        load_document(tmp_path / "gone.md")
    with pytest.raises(BadFile, match="a.docx: files of this kind are not read. Save it as"):
        load_document(write(tmp_path, "a.docx", "Text."))


@pytest.mark.parametrize("page, rows", [
    ("<tr><th>Price</th><td>EUR 189</td></tr>", ["Price: EUR 189"]),
    ("<tr><th>Price</th><td>EUR 189</td></tr><tr><th>Weight</th><td>2.4 kg</td></tr>",
     ["Price: EUR 189", "Weight: 2.4 kg"]),
    ("<tr><td>Opening hours: 9 to 5</td></tr>", ["Opening hours: 9 to 5"]),
    ("<tr><td>Model</td><td>Price</td><td>Weight</td></tr>"
     "<tr><td>K1</td><td>EUR 189</td><td>2 kg</td></tr>",
     ["Model: K1; Price: EUR 189; Weight: 2 kg"]),
    ("<thead><tr><td>Model</td><td>Price</td></tr></thead><tr><td>K1</td><td>EUR 9</td></tr>",
     ["Model: K1; Price: EUR 9"]),
    ("<tr><th>Day</th><th>From</th><th>To</th></tr><tr><td rowspan=2>Mon</td><td>9</td><td>12</td>"
     "</tr><tr><td>14</td><td>18</td></tr><tr><td>Tue</td><td colspan='2'>closed</td></tr>",
     ["Day: Mon; From: 9; To: 12", "Day: Mon; From: 14; To: 18",
      "Day: Tue; From: closed; To: closed"]),
    ("<tr><th>A</th><th>B</th></tr><tr><td rowspan=x colspan=0>1</td><td>2</td></tr>",
     ["A: 1; B: 2"])])
def test_a_table_without_a_header_row_loses_nothing(tmp_path, page, rows):
    write(tmp_path, "page.html", f"<p>The tent.</p><table>{page}</table>")
    (found,) = quietly(tmp_path)
    assert [c.text for c in by_sentence(found)] == ["The tent.", *rows]


def test_a_link_to_a_folder_is_named_and_not_followed(tmp_path):
    write(tmp_path, "elsewhere/secret.md", "The code is 4711.")
    write(tmp_path, "docs/page.md", "We open at 9.")
    (tmp_path / "docs" / "more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.warns(UserWarning, match="more: it is a link to a folder"):
        assert [d.id for d in load_documents(tmp_path / "docs")] == ["page"]


def test_a_folder_of_nothing_but_a_readme_says_why(tmp_path):
    write(tmp_path, "README.md", "All about it.")
    with pytest.raises(CourseError, match="files called README and hidden ones are left out"):
        load_documents(tmp_path)


def test_a_name_that_is_no_utf8_is_a_name_all_the_same(tmp_path):
    try:
        with open(os.fsencode(tmp_path) + b"/Preise_f\xfcr.md", "wb") as file:
            file.write(b"Tea costs EUR 2.")
    except OSError:
        pytest.skip("this disk takes no such names")
    (found,) = quietly(tmp_path)
    assert found.id.encode("utf-8") and found.title.encode("utf-8")
    assert found.id.startswith("Preise_f")


def test_a_name_of_three_hundred_letters_is_no_folder():
    with pytest.raises(CourseError, match="There is no folder"):
        load_documents("x" * 300)
