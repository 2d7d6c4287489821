"""CSS of the pages, for light and dark mode."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #626c7a; --line: #dde2e9; --back: #f6f7f9; --card: #fff;
  --bar: #3b6fb6; --faint: #dfe6f0; --gone: #c9862b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #98a2b0; --line: #323a46; --back: #14181e;
  --card: #1c222b; --bar: #6f9fe0; --faint: #2a3442; --gone: #d9a15a; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0 auto; max-width: 1120px; padding: 40px 24px 80px; background: var(--back); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 20px; margin: 48px 0 8px; scroll-margin-top: 16px; }
h3 { font-size: 15px; margin: 24px 0 2px; scroll-margin-top: 16px; }
p { margin: 0 0 12px; color: var(--soft); max-width: 76ch; }
a { color: var(--bar); text-decoration: none; } a:hover { text-decoration: underline; }
nav { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 16px 0 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px 20px; margin: 12px 0;
  overflow-x: auto; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 20px 0 12px; }
.tiles .card { margin: 0; } .tiles b { display: block; font-size: 26px; line-height: 1.2; font-weight: 600;
  font-variant-numeric: tabular-nums; } .tiles span { color: var(--soft); font-size: 13px; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); gap: 0 20px; }
.pair > * { min-width: 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 16px 6px 0; text-align: right; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 500; white-space: nowrap; }
th:first-child, td:first-child, .text { text-align: left; } .text { padding-right: 0; }
td:first-child { overflow-wrap: anywhere; min-width: 11em; } td.text { overflow-wrap: anywhere; }
tr:last-child td { border-bottom: 0; }
.funnel { display: grid; grid-template-columns: max-content 1fr max-content; gap: 4px 16px; align-items: center; }
.funnel .track { height: 24px; border-radius: 6px; overflow: hidden; display: flex; background: var(--faint); }
.funnel .track i { background: var(--bar); } .funnel .track u { background: var(--gone); }
.funnel b { text-align: right; font-variant-numeric: tabular-nums; }
.funnel small { grid-column: 2 / -1; color: var(--soft); font-size: 13px; margin-bottom: 12px; }
.funnel small a { color: inherit; text-decoration: underline; text-underline-offset: 2px; }
.funnel small span { white-space: nowrap; margin-right: 14px; display: inline-block; }
.stack { display: flex; height: 22px; border-radius: 6px; overflow: hidden; gap: 2px; margin: 4px 0 10px; }
.stack i { display: block; } .key { display: flex; flex-wrap: wrap; gap: 4px 20px; }
.key i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 7px; }
.key b { font-variant-numeric: tabular-nums; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)); gap: 12px; }
.sheet.pairs { grid-template-columns: repeat(auto-fill, minmax(212px, 1fr)); }
figure { margin: 0; min-width: 0; }
figure img { width: 100px; height: 100px; object-fit: cover; border-radius: 6px; margin-right: 4px; }
figure .blank { display: inline-block; width: 100px; height: 100px; border-radius: 6px; background: var(--faint); }
figcaption { font-size: 11px; line-height: 1.3; color: var(--soft); overflow-wrap: anywhere; }
td { white-space: pre-line; }
svg { display: block; width: 100%; max-width: 760px; height: auto; }
svg text { fill: var(--soft); font-size: 11px; } .pair svg text { font-size: 13px; } svg rect { fill: var(--bar); }
"""
