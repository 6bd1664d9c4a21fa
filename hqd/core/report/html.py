"""The report as one page of html that stands alone: no script, nothing fetched, readable on a phone and in the dark.

Law: what a task, a model or a person wrote enters through `escape` only; the policy in the head forbids scripts and
every request besides.
"""

from __future__ import annotations

from html import escape

from hqd.core.report.page import Report, Section, headline, sections
from hqd.core.report.svg import chart

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--soft:#5b6570;--edge:#d8dee4;--a:#2f6fb7;--b:#c4571a;
--c:#3a8a4d;--d:#8250b5}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--paper:#14171a;--soft:#9aa4ae;--edge:#343a40;--a:#6ca6e8;
--b:#ee9160;--c:#74c588;--d:#bd9ae6}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:62rem;padding:1rem;font:16px/1.5 system-ui,sans-serif;color:var(--ink);
background:var(--paper)}
h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}
p,figcaption,.soft{color:var(--soft);font-size:.9rem;margin:.3rem 0}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(15rem,1fr));gap:.6rem;margin:1rem 0}
dl div{border:1px solid var(--edge);border-radius:.4rem;padding:.5rem .7rem}
dt{color:var(--soft);font-size:.85rem}dd{margin:0;overflow-wrap:anywhere}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.88rem;min-width:100%}
th,td{text-align:left;padding:.25rem .8rem .25rem 0;border-bottom:1px solid var(--edge);vertical-align:top}
td{font-variant-numeric:tabular-nums}th{font-weight:600;color:var(--soft);white-space:nowrap}
figure{margin:.8rem 0}svg{width:100%;max-width:44rem;height:auto;font:11px system-ui,sans-serif}
svg text{fill:var(--soft)}.grid{stroke:var(--edge)}.range{stroke:var(--ink);stroke-width:1.2}
.s0{fill:var(--a)}.s1{fill:var(--b)}.s2{fill:var(--c)}.s3{fill:var(--d)}.band{opacity:.16}
.line{fill:none;stroke-width:1.8}.l0{stroke:var(--a)}.l1{stroke:var(--b)}.l2{stroke:var(--c)}.l3{stroke:var(--d)}
"""


def page(report: Report, title: str, made: str) -> str:
    """The whole page. `made`: when and at which commit, for people."""
    figures = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in headline(report))
    missing = "".join(f"<li>{escape(remark)}</li>" for remark in report.remarks)
    return "".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1><p>{escape(made)}</p><dl>{figures}</dl>",
            *(_section(section) for section in sections(report)),
            f"<h2>What is missing</h2><ul>{missing}</ul>" if missing else "",
            "</body></html>\n",
        ]
    )


def _section(section: Section) -> str:
    notes = "".join(f"<p>{escape(note)}</p>" for note in section.notes)
    charts = "".join(
        f"<figure>{drawn}<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, what in section.charts
        if (drawn := chart(what, caption))
    )
    heads = "".join(f"<th>{escape(head)}</th>" for head in section.heads)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in section.rows)
    table = f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    return f'<section id="{escape(section.key)}"><h2>{escape(section.title)}</h2>{charts}{notes}' + (
        f"{table}</section>" if section.rows else "</section>"
    )
