"""HTML by hand: escaped text, tables, figures drawn into the page."""

import html
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from jaxwin.plots import INK, to_svg

if TYPE_CHECKING:
    import matplotlib.figure


def escape(text: object) -> str:
    """Text from outside; whatever it holds, it stays text."""
    return html.escape(str(text))


def paragraph(*sentences: str, kind: str = "") -> str:
    """Sentences of ready HTML as a paragraph."""
    return f"<p{_kind(kind)}>{' '.join(filter(None, sentences))}</p>"


def bullets(items: Iterable[str]) -> str:
    """Ready HTML as a list."""
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"


def section(name: str, title: str, *parts: str) -> str:
    """A section under a heading, `name` its anchor."""
    body = "\n".join(filter(None, parts))
    return (
        f'<section id="{name}" aria-labelledby="{name}-title">\n'
        f'<h2 id="{name}-title">{title}</h2>\n{body}\n</section>'
    )


def folded(title: str, body: str) -> str:
    """What is read on demand; print shows it open."""
    return f"<details><summary>{title}</summary>\n{body}\n</details>"


def table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = ""
) -> str:
    """A table of ready HTML cells, the first of each row its heading.

    It scrolls by itself where the screen is narrow.
    """
    lines = ["".join(f'<th scope="col">{cell}</th>' for cell in head)]
    for first, *rest in rows:
        cells = "".join(f"<td>{cell}</td>" for cell in rest)
        lines.append(f'<th scope="row">{first}</th>{cells}')
    body = "\n".join(f"<tr>{line}</tr>" for line in lines[1:])
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}">\n'
        f"<table{_kind(kind)}><caption>{caption}</caption>\n"
        f"<thead><tr>{lines[0]}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def code(text: str) -> str:
    """Code or a command, to copy."""
    return f"<pre><code>{escape(text)}</code></pre>"


def figure(
    drawn: "matplotlib.figure.Figure", name: str, alternative: str, caption: str
) -> str:
    """A figure as inline SVG in the colours of the page.

    `name` makes the identifiers inside unique, `alternative` (plain text) is what is
    read out in place of the picture.
    """
    svg = to_svg(drawn)
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Named after their content: equal pictures would share a name that nobody uses.
    svg = re.sub(r'(<image\b[^<>]*?)\sid="[^"]*"', r"\1", svg)
    svg = re.sub(r'(<[a-zA-Z][^<>]*?\sid=")', rf"\1{name}-", svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\1{name}-", svg)
    svg = svg.replace(INK, "currentColor")
    box = re.search(r'viewBox="[^"]*"', svg)
    assert box is not None
    opening = f'<svg {box[0]} role="img" aria-label="{escape(alternative)}">'
    svg = opening + svg[svg.index(">") + 1 :]
    return f"<figure>{svg.strip()}<figcaption>{caption}</figcaption></figure>"


def document(title: str, body: str) -> str:
    """The whole page: opens offline, needs no script."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _kind(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


STYLE = """
:root { color-scheme: light dark; --text: #1d2226; --soft: #5b636b; --ground: #fff;
  --panel: #f4f6f8; --line: #d5dadf; --warn: #fff4e0; --edge: #d55e00; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e7ea; --soft: #a3abb3;
  --ground: #15181b; --panel: #1e2327; --line: #3a4147; --warn: #2e2418; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text);
  font: 1rem/1.55 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 51rem; margin: 0 auto; padding: 1.5rem 1rem 4rem;
  overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .6rem; }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; }
p, ul { margin: .6rem 0; } ul { padding-left: 1.2rem; } li { margin: .35rem 0; }
sub, sup { line-height: 0; font-size: .75em; }
.lead { font-size: 1.15rem; }
.soft, figcaption, caption { color: var(--soft); font-size: .9rem; }
.answer { background: var(--panel); border-radius: .5rem; padding: .5rem 1.1rem; }
.warning { background: var(--warn); border-left: .25rem solid var(--edge);
  padding: .6rem .9rem; border-radius: .25rem; }
figure { margin: 1.2rem 0; } figure svg { display: block; width: 100%;
  max-width: 36rem; height: auto; margin: 0 auto; color: var(--soft); }
figcaption { max-width: 36rem; margin: .4rem auto 0; }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums;
  font-size: .92rem; overflow-wrap: normal; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { padding: .25rem .9rem .25rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 600; } tbody th { font-weight: 500; }
.wide { font-size: .84rem; }
.wide td, .wide tbody th { white-space: nowrap; }
.wide.pairs tbody th { white-space: normal; min-width: 4rem; }
.wide.judged td:last-child { white-space: normal; min-width: 6.5rem; }
.wide .soft { font-size: inherit; }
.criteria td:first-of-type { min-width: 11rem; }
.wide th, .wide td { padding-right: .6rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; }
dt { color: var(--soft); } dd { margin: 0; }
summary { cursor: pointer; color: var(--soft); padding: .4rem 0; }
pre { background: var(--panel); padding: .7rem .9rem; border-radius: .4rem;
  white-space: pre-wrap; font-size: .88rem; }
@media (max-width: 30rem) { dl { grid-template-columns: 1fr; }
  dd { margin-bottom: .4rem; } h1 { font-size: 1.35rem; } }
@media print { :root { --text: #000; --soft: #444; --ground: #fff; --panel: #fff;
  --line: #bbb; --warn: #fff; color-scheme: light; }
  main { max-width: none; padding: 0; }
  html { font-size: 10pt; } .scroll { overflow: visible; }
  figure, tr, .answer, .warning { break-inside: avoid; } h2 { break-after: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; }
  summary { list-style: none; } table { font-size: 8pt; }
  .wide td, .wide tbody th { white-space: normal; } }
"""
