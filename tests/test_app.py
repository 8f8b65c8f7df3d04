"""The assistant's page: what the server says to whom, and the page in a real browser."""

import http.client
import json
import shutil
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from utils import app
from utils.assistant import Answer
from utils.chunking import Chunk
from utils.documents import CourseError, load_documents
from utils.exam import exam
from utils.retrieval import Hit

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome", "chrome")
                 if (path := shutil.which(name))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-quic"]
NASTY = "<img src=x onerror=\"document.title='broken in'\"> & 20 % off"
TEXT = f"# Bells\n\nBefore it.\n\nThe small bell costs EUR 9. {NASTY}\n\nAfter it: 🔔."
PASSAGE = "The small bell costs EUR 9."


class Assistant:
    """Answers in the house's form from one passage, without a model."""

    name = "hybrid"

    def answer(self, question: str) -> Answer:
        if question == "break":
            raise ValueError("the model is gone")
        if question == "refuse":
            raise CourseError("The question is empty. Write what you want to know.")
        start = TEXT.index(PASSAGE)
        hit = Hit(Chunk("KB-1", f"Bells {NASTY}", (), start, start + len(PASSAGE), PASSAGE), 0.5,
                  {"dense": 1})
        house = {"reply": f"Thanks for asking! {PASSAGE} Ride well, your team", "route": "orders",
                 "urgency": "low", "sources": ["KB-1", "KB-9"]}
        text = {"plain": f"[1] {PASSAGE}", "nasty": NASTY}.get(question, json.dumps(house))
        cited = {"plain": ("KB-1",), "nasty": ()}.get(question, ("KB-1", "KB-9"))
        return Answer(question, text, cited, (hit,), ({"role": "user", "content": question},),
                      {"retrieval": 0.01, "generation": 0.2}, (1,))


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page over one document, with a stand-in for the assistant."""
    folder = tmp_path_factory.mktemp("bells")
    (folder / "bells.md").write_text(f"---\nid: KB-1\ntitle: 'Bells'\n---\n{TEXT}",
                                     encoding="utf-8")
    desk = app.Desk(Assistant(), load_documents(folder), folder.name)
    with app.server(desk) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield "http://{}:{}".format(*serving.server_address)
        serving.shutdown()


def get(address: str, data: object = None, **headers: str) -> tuple[int, dict]:
    body = None if data is None else data if isinstance(data, bytes) else json.dumps(data).encode()
    headers = {"Content-Type": "application/json"} | headers
    request = urllib.request.Request(address, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.loads(refusal.read())


# ---------------------------------------------------------------- what it says


def test_an_answer_comes_with_all_that_is_known_about_it(address):
    status, found = get(address + "/ask", {"question": "What is a small bell?"})
    assert status == 200 and found["reply"].startswith("Thanks for asking! The small bell")
    assert found["house"]["route"] == "orders" and found["valid"] is False  # KB-1 has one digit
    named, invented = found["cited"]
    assert named["title"] == "Bells" and invented == {"id": "KB-9", "title": None, "start": 0,
                                                      "end": 0}
    assert found["passages"][0]["text"] == PASSAGE and found["ms"] == {"retrieval": 10,
                                                                      "generation": 200}
    assert found["messages"] == [{"role": "user", "content": "What is a small bell?"}]


def test_the_cited_passage_is_found_in_its_document(address):
    _, answer = get(address + "/ask", {"question": "plain"})
    at = answer["cited"][0]
    status, found = get(f"{address}/document?id=KB-1&start={at['start']}&end={at['end']}")
    assert status == 200 and found["passage"] == PASSAGE and answer["house"] is None
    assert "Before it." in found["before"] and found["after"].endswith("🔔.")


def test_places_outside_the_document_are_moved_inside(address):
    for start, end in ((0, 0), (5, 2), (10 ** 9, 10 ** 9), ("x", "-1")):
        status, found = get(f"{address}/document?id=KB-1&start={start}&end={end}")
        assert status == 200
        assert "# Bells" in found["before"] + found["passage"] + found["after"]


@pytest.mark.parametrize(("path", "body", "status", "said"), [
    ("/document?id=KB-9", None, 400, "There is no document 'KB-9'"),
    ("/document?id=../../README.md", None, 400, "There is no document"),
    ("/app.py", None, 404, "There is no such page"),
    ("/elsewhere", {"question": "x"}, 404, "Questions go to /ask"),
    ("/ask", b"{", 400, "Send a JSON object"),
    ("/ask", [], 400, "Send a JSON object"),
    ("/ask", {"question": 7}, 400, "Send a JSON object"),
    ("/ask", b"", 400, "application/json"),
    ("/ask", b"x" * 70_000, 400, "at most 64,000 bytes"),
    ("/ask", {"question": "refuse"}, 400, "The question is empty."),
    ("/ask", {"question": "break"}, 500, "ValueError: the model is gone"),
])
def test_what_cannot_be_answered_is_a_sentence(address, path, body, status, said):
    code, found = get(address + path, body)
    assert code == status and said in found["error"]


def test_only_its_own_page_is_answered(address):
    port = address.rpartition(":")[2]
    asked = {"question": "plain"}
    assert get(address + "/ask", asked, Origin=address)[0] == 200
    assert get(address + "/ask", asked, Origin="https://example.org")[0] == 403
    assert get(address + "/ask", asked, Origin="null")[0] == 403
    assert get(address + "/ask", asked, **{"Content-Type": "text/plain"})[0] == 400
    assert get(address + "/about", Host=f"localhost:{port}")[0] == 200
    assert get(address + "/about", Host=f"example.org:{port}")[0] == 403


def test_the_page_loads_nothing_and_runs_nothing_else(address):
    with urllib.request.urlopen(address, timeout=10) as answer:
        policy, page = answer.headers["Content-Security-Policy"], answer.read().decode()
    assert "default-src 'none'" in policy and "unsafe" not in policy
    nonce = policy.partition("script-src 'nonce-")[2].partition("'")[0]
    assert nonce and page.count(f'nonce="{nonce}"') == 2 and "NONCE" not in page
    assert "http" not in page.lower() and "innerHTML" not in page


def test_it_listens_on_this_machine_only(address):
    port = int(address.rpartition(":")[2])
    assert address.startswith("http://127.0.0.1:")
    own = {a[4][0] for a in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)}
    for other in own - {"127.0.0.1"}:
        with pytest.raises(OSError):
            http.client.HTTPConnection(other, port, timeout=1).request("GET", "/about")


def test_a_port_that_is_taken_is_one_sentence(address):
    taken = int(address.rpartition(":")[2])
    with pytest.raises(CourseError, match=f"Port {taken} cannot be used .* leave --port out"):
        app.server(None, taken)
    with pytest.raises(CourseError, match="--port 70000 is no port"):
        app.server(None, 70000)


def test_the_first_questions_are_of_three_kinds():
    dev = exam("dev")
    chosen = [next(q for q in dev if q.question == text) for text in app.examples(dev)]
    assert [q.kind for q in chosen] == ["lookup", "table", "unanswerable"]


def test_the_command_serves_until_it_is_stopped(tmp_path):
    (tmp_path / "bell.md").write_text("# Bells\n\nThe small bell costs EUR 9.\n", encoding="utf-8")
    command = [sys.executable, "-m", "utils", "app", "--docs", str(tmp_path), "--system",
               "extractive"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        try:
            address = process.stdout.readline().split()[0]
            assert address.startswith("http://127.0.0.1:"), address
            status, found = get(address + "ask", {"question": "What does the small bell cost?"})
            assert status == 200 and found["cited"][0]["id"] == "bell"
            again = subprocess.run([*command, "--port", address.split(":")[2].strip("/")],
                                   cwd=ROOT, capture_output=True, text=True)
            assert again.returncode == 2 and "cannot be used" in again.stderr
        finally:
            process.terminate()


# ---------------------------------------------------------------- in a browser


@pytest.fixture
def page(address):
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.problems = []
        page.on("console", lambda m: m.type == "error" and page.problems.append(m.text))
        page.on("pageerror", lambda e: page.problems.append(str(e)))
        page.goto(address)
        yield page
        browser.close()


def asks(page, question: str):
    """The answer's box on the page."""
    before = page.locator(".answer").count()
    page.get_by_label("Your question").fill(question)
    page.keyboard.press("Enter")
    box = page.locator(".answer").nth(before)
    box.wait_for()
    return box


def test_a_reader_asks_and_opens_a_source(page):
    assert "hybrid over 1 documents in bells" in page.locator("#about").inner_text()
    box = asks(page, "What does the small bell cost?")
    assert "The small bell costs EUR 9." in box.locator(".reply").inner_text()
    assert "KB-9: not among the documents, made up" in box.inner_text()
    box.get_by_role("button", name="KB-1 · Bells").click()
    panel = page.get_by_label("Document", exact=True)
    assert panel.locator("mark").inner_text() == PASSAGE
    assert "After it: 🔔." in panel.inner_text()
    page.keyboard.press("Escape")
    assert not panel.is_visible()
    assert page.problems == []


def test_the_trace_and_the_json_unfold(page):
    box = asks(page, "What does the small bell cost?")
    box.get_by_text("How it came about").click()
    assert "score 0.5 (rank: dense 1)" in box.inner_text()
    assert "user: What does the small bell cost?" in box.inner_text()
    box.get_by_text("JSON: not valid").click()
    assert '"urgency": "low"' in box.inner_text()
    box = asks(page, "plain")
    box.get_by_text("JSON: none").click()
    assert "The reply is no JSON object." in box.inner_text()


def test_nothing_that_is_shown_is_run(page):
    from playwright.sync_api import expect

    box = asks(page, "nasty")
    assert box.locator(".reply").inner_text() == NASTY
    box.get_by_text("How it came about").click()
    assert f"Bells {NASTY}" in box.inner_text()
    box.get_by_role("button", name="[1] KB-1").click()
    expect(page.get_by_label("Document", exact=True)).to_contain_text(NASTY)  # once it is fetched
    asks(page, NASTY)
    assert page.locator(".asked").last.inner_text() == NASTY
    assert page.locator("img").count() == 0 and page.title() == "The assistant"
    assert page.problems == []


def test_a_refusal_is_shown_and_the_next_question_is_answered(page):
    assert "The question is empty." in asks(page, "refuse").inner_text()
    assert "ValueError" in asks(page, "break").inner_text()
    assert "EUR 9" in asks(page, "plain").inner_text()


def test_an_adapter_that_is_not_finished_is_no_hybrid(monkeypatch, tmp_path):
    monkeypatch.setattr("utils.app.ADAPTERS", tmp_path)
    assert "not trained to its end" in app._lacking()
    (tmp_path / "hybrid").mkdir()
    (tmp_path / "hybrid" / "checkpoint.pt").write_bytes(b"half of it")
    assert "not trained to its end" in app._lacking()
