"""The report on paper: html that stands alone and lets nobody in, markdown, JSON, charts."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

from hqd.core.report.html import page
from hqd.core.report.page import Bars, Columns, Lines, figures, headline, sections
from hqd.core.report.plain import markdown, plain
from hqd.core.report.svg import chart
from hqd.model.failure import Failure
from tests.unit.report_scenes import Scene, red

HOSTILE = '</title><script>alert(1)</script>"><img src=x onerror=alert(2)>|`_*'
VOID = {"meta", "rect", "line", "circle", "polygon", "polyline"}


class Tags(HTMLParser):
    """Every tag with its attributes, and whether they close as they should."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _value in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def scene(playbook: str = "brief", gate: str = "len", agent: str = "small") -> Scene:
    made = Scene(playbook=playbook).attempt(Failure.GATE, gates=[red(gate)], agent=agent)
    return made.attempt(mode="retry", agent=agent).review().landed().done()


def test_a_page_with_hostile_names_has_no_tag_of_theirs_and_asks_for_nothing() -> None:
    made = figures([scene(HOSTILE, HOSTILE, HOSTILE).told()], without=True, remarks=[HOSTILE])
    text = page(made, HOSTILE, HOSTILE)
    seen = Tags()
    seen.feed(text)
    assert seen.open == []
    assert not {"script", "img", "link", "iframe", "object"} & set(seen.tags)
    assert not {name for name in seen.attributes if name.startswith("on")} | {"src", "href"} & seen.attributes
    assert "default-src &#x27;none&#x27;" in text
    assert text.count("<h1>") == 1
    assert "&lt;script&gt;" in text
    assert not re.search(r"https?://", text)


def test_a_page_is_readable_on_a_phone_and_in_the_dark_and_has_charts() -> None:
    text = page(figures([scene().told()]), "HQ", "now")
    assert 'name="viewport"' in text
    assert "prefers-color-scheme:dark" in text
    assert text.count("<svg ") == 3
    assert "NaN" not in text


def test_markdown_makes_no_markup_and_no_column_of_what_a_name_says() -> None:
    text = markdown(figures([scene(HOSTILE, HOSTILE).told()]), HOSTILE)
    assert "<script>" not in text
    assert "\\|\\`\\_\\*" in text
    table = text[text.index("## Where attempts die") :].splitlines()
    rows = [line for line in table[1:] if line.startswith("| ")][:2]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1


def test_json_has_counts_rates_and_intervals() -> None:
    told = json.loads(json.dumps(plain(figures([scene().told()]))))
    assert told["outcomes"]["clean"]["hits"] == 1
    assert told["outcomes"]["first_pass"] == {"hits": 0, "n": 1, "rate": 0.0, "interval": [0.0, 0.793451]}
    assert told["deaths"][0]["cause"] == "gate len"
    assert told["weeks"][0]["monday"] == "2026-11-02"


def test_an_empty_hq_has_a_report_that_says_so() -> None:
    made = figures([])
    assert dict(headline(made))["cost per accepted result"] == "none is done yet"
    assert dict(headline(made))["clean"].startswith("none yet")
    assert sections(made) == ()
    assert "<svg" not in page(made, "HQ", "now")


def test_a_cost_that_nobody_told_is_unknown_and_not_nothing() -> None:
    silent = Scene("20261102-silent-000001").attempt(cost=None).done()
    told = dict(headline(figures([silent.told()])))
    assert told["cost"] == "unknown in 1 try: none told what it cost"
    assert told["cost per accepted result"] == "unknown: no try told what it cost"
    made = figures([silent.told()])
    assert [made.weeks[0].result, made.playbooks[0].result, made.outcomes.result] == [None, None, None]
    some = dict(headline(figures([silent.told(), Scene("20261102-dear-000002").attempt(cost=0.5).done().told()])))
    assert some["cost per accepted result"] == "at least $0.25"


def test_charts_draw_what_they_are_given() -> None:
    lines = chart(
        Lines(("2026-W01", "2026-W02", "2026-W03"), (("clean", ((1.0, 0.5, 1.0), None, (0.0, 0.0, 0.5))),)), "c"
    )
    assert lines.count("<circle") == 2
    assert lines.count("<polyline") == 2, "a gap stays a gap"
    assert 'cy="14.0"' in lines, "1.0 stands at the top"
    assert 'cy="210.0"' in lines
    bars = chart(Bars((("a", 0.5, 0.25, 1.0), ("b", 0.25, 0.0, 0.5))), "c")
    assert re.findall(r'<rect [^>]*width="([\d.]+)"', bars) == ["160.0", "80.0"]  # of 320 for the highest end
    columns = chart(Columns(("2026-W01",), (("done", (3.0,)), ("dropped", (1.0,)))), "c")
    assert re.findall(r'height="([\d.]+)" class="s', columns)[-2:] == ["147.0", "49.0"]
    assert chart(Lines((), ()), "c") == chart(Bars(()), "c") == ""
