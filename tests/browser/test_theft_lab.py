"""The theft lab: its scenarios in a real browser, and what it says of real requests without one."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, FrameLocator, Page, expect

from example_app.theft_lab import create_app
from example_app.theft_lab.facts import Decision
from example_app.theft_lab.sentences import REFRESH, outcome, span
from example_app.theft_lab.stage import Stage
from example_app.theft_lab.stream import Stream
from example_app.theft_lab.wire import Wire
from flask_supertokens.testing import SuperTokensClient
from tests.support.both import serve
from tests.support.browser import quiet_contexts

Contexts = Callable[..., BrowserContext]
EXPECTED_ERROR = "Failed to load resource: the server responded with a status of (401|504)"
"""Refusals are what the lab is about, and one answer is lost. A breach of the page's policy would be another complaint."""

OWNER, THIEF = "http://owner.theft-lab.localhost", "http://thief.theft-lab.localhost"
FORGIVEN = "A comes again, and {}. No alarm: another child, C."
AT_ONCE = FORGIVEN.format("none of its children has been used yet: an answer was lost, or two tabs asked")
LATE = FORGIVEN.format("a child of it was first used 20 seconds ago, within 30 seconds: it may be a second tab")
TWICE = "A comes again, but a child of it was first used {} ago: longer than 30 seconds, so this is no second tab."
BOTH = " Two parties hold this session: it is ended for both."
FOREIGN = "The server never signed this token: no session is touched, nobody is logged out."
SCENARIOS = {
    "Lost answer": ("Forgiven at the owner’s refresh", AT_ONCE, "refresh_raced, session_refreshed"),
    "Two tabs": ("Forgiven at the owner’s refresh", AT_ONCE, "refresh_raced, session_refreshed"),
    "Frozen tab": ("Forgiven at the owner’s refresh", LATE, "refresh_raced, session_refreshed"),
    "Thief first": ("Theft at the owner’s refresh", TWICE.format("5 minutes") + BOTH, "token_theft_detected"),
    "Thief later": ("Theft at the thief’s refresh", TWICE.format("30 minutes") + BOTH, "token_theft_detected"),
    "Stolen database": ("Not ours at the thief’s refresh", FOREIGN, "No signal"),
}


@pytest.fixture(scope="module")
def lab_address(browser: Browser) -> Iterator[str]:
    """The lab on a server with threads; nobody waits between the steps."""
    with serve(create_app({"LAB_PAUSE": 0})) as address:
        yield address.replace("127.0.0.1", "theft-lab.localhost")


@pytest.fixture
def a_context(browser: Browser) -> Iterator[Contexts]:
    """Makes browsers with options; none of their pages may complain of more than refusals."""
    options: dict[str, Any] = {}
    with quiet_contexts(lambda: browser.new_context(**options), EXPECTED_ERROR) as make:
        yield lambda **given: (options.update(given), make())[1]


@pytest.fixture
def lab(a_context: Contexts, lab_address: str) -> Page:
    return open_lab(a_context(), lab_address)


def open_lab(context: BrowserContext, address: str) -> Page:
    """The lab's page, ready to play."""
    page = context.new_page()
    page.goto(address)
    expect(page.get_by_role("button", name="Begin anew")).to_have_attribute("aria-disabled", "false")
    return page


def button(page: Page | FrameLocator, name: str) -> Any:
    return page.get_by_role("button", name=re.compile(f"^{name}"))


def browser_of(page: Page, who: str) -> FrameLocator:
    return page.frame_locator(f"#{who}")


def decisions(page: Page) -> list[str]:
    """The titles of the decisions in the timeline."""
    return page.locator("#timeline .title").all_inner_texts()


# -- scenarios, in the browser -----------------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("title", SCENARIOS)
def test_scenario_ends_with_its_decision_sentence_and_signal(lab: Page, title: str) -> None:
    """Each ends with the decision that it is about, its sentence, and the signal that the extension sent."""
    verdict, sentence, signals = SCENARIOS[title]
    button(lab, title).click()
    expect(lab.locator(".verdict")).to_have_text(f"{title}: {verdict}")
    expect(lab.locator("#decided .why")).to_have_text(sentence)
    last = lab.locator("#timeline .request", has_text=sentence).last
    expect(last).to_contain_text(signals)
    expect(lab.get_by_role("status").filter(has_text=sentence)).to_be_visible()


@pytest.mark.browser
def test_honest_browser_is_never_signed_out(lab: Page) -> None:
    """Lost answer, two tabs, frozen tab: in the end a sibling has become the line, and the owner's call is answered."""
    for title in ("Lost answer", "Two tabs", "Frozen tab"):
        button(lab, title).click()
        expect(lab.locator(".verdict")).to_contain_text(title)
        assert decisions(lab)[-2:] == ["New line", "Noted"]
        assert "Theft" not in decisions(lab)
        expect(browser_of(lab, "owner").locator("#answer")).to_have_text("200 Hello Ada")


@pytest.mark.browser
def test_tokens_are_drawn_as_a_family(lab: Page) -> None:
    """Each below its parent, with who got it; the lost one is marked, the line is current."""
    button(lab, "Lost answer").click()
    expect(lab.locator(".verdict")).to_be_visible()
    rows = [re.sub(r"\s+", " ", text) for text in lab.locator("#family > li").all_inner_texts()]
    assert rows == ["A owner got it B lost on its way C owner got it current D owner got it"]
    expect(lab.locator("#family > li > ul > li > ul > li")).to_have_text("D owner got it")


@pytest.mark.browser
def test_stolen_session_is_over_for_both(lab: Page) -> None:
    """After the alarm neither browser has a token, and the tree says why."""
    button(lab, "Thief first").click()
    expect(lab.locator(".verdict")).to_be_visible()
    for who in ("owner", "thief"):
        expect(browser_of(lab, who).locator("#refresh")).to_have_text("none")
    expect(lab.locator("#family .ended")).to_have_text("Stolen: the session was ended.")


@pytest.mark.browser
def test_lab_played_by_hand_finds_one_of_the_two_at_their_next_refresh(lab: Page) -> None:
    """Within the window the thief is served like a tab; the next time that both refresh, one is found."""
    owner, thief = browser_of(lab, "owner"), browser_of(lab, "thief")
    button(owner, "Log in").click()
    expect(owner.locator("#answer")).to_have_text("200 Hello Ada")
    button(lab, "Copy the owner").click()
    expect(thief.locator("#refresh")).to_have_text("A")
    button(lab, "1 hour").click()
    for one in (thief, owner):
        expect(one.locator("#access")).to_contain_text("expired")
        button(one, "Call").click()
        expect(one.locator("#answer")).to_have_text("200 Hello Ada")
    assert decisions(lab).count("Forgiven") == 1
    button(lab, "5 minutes").click()
    button(thief, "Call").click()
    expect(thief.locator("#refresh")).to_have_text("D")
    button(owner, "Call").click()
    expect(owner.locator("#answer")).to_have_text("401 token theft detected")
    assert decisions(lab)[-1] == "Theft"


# -- for everybody -----------------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_keyboard_alone_reaches_everything_and_plays_a_scenario(lab: Page) -> None:
    """Tab reaches everything, what has the focus shows it, and a scenario is walked through step by step."""
    lab.locator("#stepwise").focus()
    lab.keyboard.press("Space")
    for _ in range(4):
        lab.keyboard.press("Tab")
    focused = lab.locator("button:focus-visible")
    expect(focused).to_contain_text("Thief first")
    assert focused.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
    lab.keyboard.press("Enter")
    following = lab.get_by_role("button", name="Next step")
    for _ in range(6):
        expect(following).to_have_attribute("aria-disabled", "false")
        expect(following).to_be_focused()
        lab.keyboard.press("Enter")
    expect(lab.locator(".verdict")).to_contain_text("Theft")
    expect(focused).to_contain_text("Thief first")


@pytest.mark.browser
def test_screen_reader_finds_its_way(lab: Page) -> None:
    """Named landmarks, named frames, a live log, and a decision that is announced."""
    for name in ("Scenarios", "What the server decided", "The browsers", "The tokens", "What happens"):
        expect(lab.get_by_role("region", name=name)).to_be_visible()
    expect(lab.get_by_role("log", name="What happens")).to_have_attribute("aria-live", "polite")
    assert [frame.get_attribute("title") for frame in lab.locator("iframe").all()] == [
        "Owner’s browser",
        "Thief’s browser",
    ]
    button(lab, "Two tabs").click()
    expect(lab.get_by_role("status").filter(has_text="Two tabs: Forgiven")).to_be_visible()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_shows_everything_without_sideways_scrolling(a_context: Contexts, lab_address: str, scheme: str) -> None:
    """At 390 px nothing is cut off or needs sideways scrolling, and all text has the contrast that WCAG asks for (4.5)."""
    page = open_lab(a_context(viewport={"width": 390, "height": 844}, color_scheme=scheme), lab_address)
    button(page, "Lost answer").click()
    expect(page.locator(".verdict")).to_be_visible()
    for frame in page.frames:
        assert frame.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert frame.evaluate(CONTRAST) >= 4.5
    assert all(frame.evaluate("document.documentElement.scrollHeight <= innerHeight") for frame in page.frames[1:])


CONTRAST = """() => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const light = (color) => {
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        const parts = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((part) => part / 255);
        const [red, green, blue] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const ground = (one) => {
        const color = getComputedStyle(one).backgroundColor;
        return color === "rgba(0, 0, 0, 0)" && one.parentElement ? ground(one.parentElement) : color;
    };
    const contrast = (one) => {
        const [dark, bright] = [light(getComputedStyle(one).color), light(ground(one))].sort((a, b) => a - b);
        return (bright + 0.05) / (dark + 0.05);
    };
    const says = (one) => one.checkVisibility() && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    return Math.min(...[...document.body.querySelectorAll("*")].filter(says).map(contrast));
}"""


@pytest.mark.browser
def test_inline_code_does_not_run(browser: Browser, lab_address: str) -> None:
    """On the page and in both frames the policy holds, and a breach is said, so that the other tests would fail on one."""
    context = browser.new_context()
    said: list[str] = []
    context.on("console", lambda message: said.append(message.text))
    for frame in open_lab(context, lab_address).frames:
        frame.evaluate(INLINE)
        assert frame.evaluate("document.title") != "broken"
    context.close()
    assert len([text for text in said if "Content Security Policy" in text]) == 3


INLINE = """() => {
    const one = document.createElement("div");
    one.innerHTML = "<b onclick='document.title = `broken`'></b>";
    one.firstChild.click();
}"""


# -- what it says, without a browser -----------------------------------------------------------------------------------


@pytest.fixture
def app() -> Flask:
    made = create_app()
    made.test_client_class = SuperTokensClient
    return made


@pytest.fixture
def stage(app: Flask) -> Stage:
    made: Stage = app.extensions["theft_lab"]
    return made


class Visitor:
    """The owner's or the thief's browser, without one: it sends a request and gets the lab's word for what was decided."""

    def __init__(self, app: Flask, host: str = OWNER) -> None:
        self.client, self.host, self.stage = app.test_client(), host, app.extensions["theft_lab"]

    def __call__(self, call: str, **options: Any) -> tuple[str, str]:
        method, path = call.split()
        self.client.open(path, method=method, base_url=self.host, **options)
        decision: Decision = self.stage.decisions[-1]
        return decision.title, decision.sentence


@pytest.fixture
def owner(app: Flask) -> Visitor:
    """An owner who has just logged in."""
    visitor = Visitor(app)
    assert visitor("POST /api/login") == ("New session", "A session begins; its first refresh token is [A].")
    return visitor


CALL, SIGN_OUT = "GET /api/me", "POST /auth/signout"


def test_call_after_sign_in_asks_no_database(owner: Visitor) -> None:
    """No parent, no question to the database."""
    assert owner(CALL) == ("Passed", "The access token of [A] is good; the database is not asked.")


def test_only_child_is_noted_passed_in_the_window_and_confirmed_after_it(owner: Visitor, stage: Stage) -> None:
    """Noted at its first use, passed within the window, confirmed after it."""
    assert owner(REFRESH)[0] == "New child"
    assert owner(CALL)[0] == "Noted"
    assert owner(CALL) == ("Passed", "The access token of [B] is good.")
    stage.clock.move(60)
    title, sentence = owner(CALL)
    assert (title, sentence.startswith("[B] is an only child")) == ("Confirmed", True)


def test_refresh_with_a_young_child_gives_no_refresh_token(owner: Visitor) -> None:
    """A refresh that is repeated with the new token gives no refresh token."""
    owner(REFRESH)
    assert owner(REFRESH) == ("Access token only", "[B] is so young that it stays: only the access token is new.")


def test_token_of_a_line_that_has_moved_on_is_a_theft_at_once(app: Flask, owner: Visitor, stage: Stage) -> None:
    """Once a child has refreshed, its parent is theft at once, though the window is open."""
    thief = Visitor(app, THIEF)
    thief.client = owner.client.steal()
    for _ in range(2):
        owner(REFRESH)
        stage.clock.move(60)
    thief.host = OWNER  # cookies of the test client keep to a host
    title, sentence = thief(REFRESH)
    assert (title, sentence) == ("Theft", "[A] comes after the line has moved on to [B]. " + BOTH.strip())
    assert owner(CALL) == ("Refused", "The session of [C] has ended: its tokens are worthless.")


def test_request_of_nobody_is_not_said_to_have_brought_a_foreign_token(app: Flask) -> None:
    """It has no token at all."""
    nobody = Visitor(app)
    for call in (CALL, REFRESH):
        assert nobody(call) == ("Refused", "No token came with it: nobody is logged in here.")
    assert nobody(SIGN_OUT) == ("Refused", "There is no session to end.")


def test_sign_out_ends_the_session_and_says_so(owner: Visitor) -> None:
    """The session is gone, and the sentence says so."""
    assert owner(SIGN_OUT)[0] == "Ended"


def test_lost_response_takes_no_cookie_along(owner: Visitor) -> None:
    """The wire drops the whole answer: the browser keeps the token that it had, and the child exists all the same."""
    title, sentence = owner("POST /auth/session/refresh", query_string={"wire": "lose"})
    assert (title, sentence.endswith("The answer is lost on its way.")) == ("New child", True)
    assert owner(REFRESH)[0] == "Forgiven"


def test_wire_lets_two_requests_meet() -> None:
    """The first one waits for the second: neither is decided before both are on their way."""
    wire, passed = Wire(), threading.Event()
    first = threading.Thread(target=lambda: (wire.delay("meet"), passed.set()))
    first.start()
    assert not passed.wait(0.05)
    wire.delay("meet")
    assert passed.wait(5)
    first.join()


def test_outcome_of_nothing_has_nothing_to_sum_up() -> None:
    """Without a refresh that matters there is nothing to sum up."""
    assert outcome([]) is None


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0 seconds"), (1999, "1 second"), (60_000, "1 minute"), (7_199_000, "1 hour"), (172_800_000, "2 days")],
)
def test_span_is_said_in_its_largest_unit_rounded_down(milliseconds: int, text: str) -> None:
    """From seconds to days."""
    assert span(milliseconds) == text


# -- the page and its stream, without a browser ------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1:5000", "evil.example:5000"])
def test_other_hosts_lead_to_the_lab_and_no_other_name_is_served(app: Flask, host: str) -> None:
    """Only below its own host are page and browsers of one site; no other name is served."""
    response = app.test_client().get("/", base_url=f"http://{host}")
    assert (response.status_code, response.headers["Location"]) == (302, "http://theft-lab.localhost:5000/")


@pytest.mark.parametrize("host", ["http://theft-lab.localhost", OWNER, THIEF])
def test_pages_need_nothing_that_their_policy_forbids(app: Flask, host: str) -> None:
    """No inline code, nothing from elsewhere; the page frames the two browsers, and nobody else frames anything."""
    response = app.test_client().get("/", base_url=host)
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'; object-src 'none';")
    assert "unsafe" not in policy
    wanted = "'none'" if host not in (OWNER, THIEF) else "http://theft-lab.localhost"
    assert policy.endswith(f"frame-ancestors {wanted}")
    assert not any(found in response.text for found in ("<style", " style=", " onclick=", "<script>"))


def test_stream_tells_in_order_and_stays_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events come in the order in which they were told; a silent connection says that it is there, and is forgotten after it."""
    monkeypatch.setattr("example_app.theft_lab.stream.HEARTBEAT", 0.01)
    stream = Stream()
    events = stream.listen()
    assert next(events).startswith(":")
    stream.tell("note", text="first")
    stream.tell("clock", text="second")
    assert [next(events) for _ in range(3)] == [
        'event: note\ndata: {"text": "first"}\n\n',
        'event: clock\ndata: {"text": "second"}\n\n',
        ": still here\n\n",
    ]
    events.close()  # type: ignore[attr-defined]
    assert stream._listeners == []


def test_clock_never_goes_back(stage: Stage) -> None:
    """Keys and cookies of the play before would come from the future."""
    stage.clock.move(86_400)
    moved = stage.clock.milliseconds
    stage.clear()
    assert stage.clock.milliseconds == moved


def test_names_go_on_after_z(stage: Stage) -> None:
    """The same token keeps its name; the 27th has one too."""
    names = [stage.name(str(number)) for number in range(27)]
    assert (names[0], names[25], names[26], stage.name("0")) == ("A", "Z", "A2", "A")
