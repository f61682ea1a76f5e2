"""examples/browser: a page on another origin submits and follows, in a real Chromium, by each of its three ways."""
import hashlib

import pytest
from selenium.webdriver.common.by import By

from lib.browser import chromium, site
from lib.paths import ROOT
from lib.wait import eventually

KEY = "a-key-that-no-page-should-hold"
NO_WEBSOCKETS = "window.WebSocket = class { constructor() { throw new Error('not let through'); } };"
NO_STREAMS = "window.EventSource = class { constructor() { throw new Error('not let through'); } };"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture(scope="module")
def origin():
    with site(ROOT / "examples/browser") as origin:
        yield origin


class Page:
    def __init__(self, driver, url):
        self.driver = driver
        driver.get(url)

    def element(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def fill(self, name, text):
        self.element(f"#{name}").clear()
        self.element(f"#{name}").send_keys(text)

    def submit(self, task="sleep", payload='{"seconds": 1.3}', key=""):
        self.fill("task", task)
        self.fill("payload", payload)
        self.fill("key", key)
        self.element("button").click()
        return eventually(lambda: self.driver.find_elements(By.CSS_SELECTOR, "#tasks li"),
                          what=lambda: self.element("#problem").text)[0].get_attribute("data-id")

    def card(self):
        item = self.element("#tasks li")
        told = [entry.split(":") for entry in item.get_attribute("data-told").split()]
        return {"status": item.get_attribute("data-status"), "via": item.get_attribute("data-via"),
                "revs": [int(rev) for rev, _ in told], "told": [status for _, status in told]}

    def await_end(self, timeout=90):
        eventually(lambda: self.card()["status"] in ("succeeded", "failed", "canceled", "dead"), timeout=timeout,
                   what=self.driver.get_log("browser"))
        card = self.card()
        assert card["revs"] == sorted(set(card["revs"]))
        return card


@pytest.fixture
def start(stack, browser, origin):
    """start(via=…, gateway={…}) gives the page, opened on a gateway that names its origin."""
    def open_page(via=None, scripts=(), **gateway):
        stack.start({"gateway": {"cors": {"origins": [origin]}, **gateway}})
        more = f"&via={via}" if via else ""
        added = [browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": source})["identifier"]
                 for source in scripts]
        try:
            return Page(browser, f"{origin}/index.html?gateway={stack.client.base}{more}")
        finally:
            for identifier in added:
                browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": identifier})

    yield open_page
    browser.get("about:blank")


@pytest.mark.parametrize("way", ["websocket", "sse", "poll"])
def test_each_way_tells_of_a_task_to_its_end(start, stack, way):
    page = start(via=way)
    task = page.submit()
    card = page.await_end()
    assert (card["status"], card["via"]) == ("succeeded", way)
    assert card["told"][-2:] == ["running", "succeeded"]
    assert stack.client.status(task)["rev"] >= card["revs"][-1]


@pytest.mark.parametrize("way", ["websocket", "sse", "poll"])
def test_with_a_key_a_ticket_opens_each_way(start, stack, way):
    auth = {"keys": [{"tenant": "acme", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}]}
    page = start(via=way, auth=auth)
    page.submit(key=KEY)
    assert page.await_end()["status"] == "succeeded"
    assert KEY not in stack.gateway.log_text()


def test_a_submission_that_is_refused_is_told(start):
    page = start()
    page.fill("task", "nobody-runs-this")
    page.element("button").click()
    eventually(lambda: "queue for this task" in page.element("#problem").text)


def test_without_a_choice_it_is_a_websocket(start):
    page = start()
    page.submit("echo", '{"n": 1.10}')
    assert page.await_end()["via"] == "websocket"
    assert '"n": 1.1' in page.element("#tasks li pre").text


@pytest.mark.parametrize("scripts, way", [([NO_WEBSOCKETS], "sse"), ([NO_WEBSOCKETS, NO_STREAMS], "poll")])
def test_where_one_way_is_closed_it_takes_the_next(start, scripts, way):
    page = start(scripts=scripts)
    page.submit(payload='{"seconds": 5}' if way == "poll" else '{"seconds": 3}')
    card = page.await_end()
    assert (card["status"], card["via"]) == ("succeeded", way)


def test_a_gateway_that_comes_back_is_found_again(start, stack):
    page = start(via="websocket")
    task = page.submit(payload='{"seconds": 4}')
    eventually(lambda: page.card()["told"], what="the page follows")
    stack.gateway.kill()
    stack.gateway.start()
    card = page.await_end()
    assert (card["status"], card["via"]) == ("succeeded", "websocket")
    stack.await_ready("gateway")
    assert stack.client.status(task)["status"] == "succeeded"


def opened(browser, stack):
    return browser.execute_async_script(
        "const [url, done] = arguments; const socket = new WebSocket(url);"
        "socket.onopen = () => done('open'); socket.onerror = () => done('refused');",
        stack.client.base.replace("http", "ws") + "/v1/ws")


def test_a_page_of_another_site_is_not_let_in(stack, browser, origin):
    stack.start({"gateway": {"auth": "none"}})
    page = Page(browser, f"{origin}/index.html?gateway={stack.client.base}")
    page.element("button").click()
    eventually(lambda: page.element("#problem").text, what="the page says that it may not")
    assert opened(browser, stack) == "open"  # both are of this machine
    browser.get(origin.replace("127.0.0.1", "another.test"))
    assert opened(browser, stack) == "refused"
