"""The style sheet of pages, for light and dark screens and for printing."""

from clozekit.pages.marks import NUM_COLOURS

_HUES = (212, 28, 145, 340, 268, 185, 52, 5)
_SHADES = range(10)

_BASE = """
:root{--back:#fdfdfc;--card:#fff;--ink:#1d2126;--soft:#5f6873;--line:#dfe3e8;--accent:#2a62b8;
--wrong:#c0362c;--gold:#1c7c43;--bar:#4c80c9;--track:#e6eaf0;--first:#eef3fa;--second:#fbf1e3;
--third:#eaf6ec;--special:#eceef1;--masked:#ffe08a;--replaced:#ffc4b8;--kept:#d6efc9;
--answer:#c9e4ff;--unknown:#f3d3f2}
@media (prefers-color-scheme:dark){:root{--back:#15181c;--card:#1c2025;--ink:#e4e7eb;
--soft:#9aa4b0;--line:#333a43;--accent:#8ab4f8;--wrong:#ff8a80;--gold:#7bd6a0;--bar:#6f9fe3;
--track:#2b323b;--first:#222a36;--second:#332b20;--third:#203027;--special:#2a2f36;
--masked:#6b5300;--replaced:#6e2f25;--kept:#2c5222;--answer:#1f4a73;--unknown:#5a2a58}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{max-width:70rem;margin:0 auto;padding:1.5rem 1.25rem 4rem}
h1{font-size:1.5rem;margin:0;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:2.2rem 0 .7rem;padding-bottom:.25rem;
border-bottom:1px solid var(--line)}
h3{font-size:.95rem;margin:0 0 .5rem;overflow-wrap:anywhere}
h3 small{margin-left:.75rem;font-weight:400;color:var(--soft)}
.subtitle,footer{color:var(--soft);margin:.25rem 0 0}
footer{margin-top:3rem;font-size:.85rem}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;list-style:none;padding:0;margin:1rem 0 0}
a{color:var(--accent)}
bdi{unicode-bidi:isolate;white-space:pre-wrap;overflow-wrap:anywhere}
article{background:var(--card);border:1px solid var(--line);border-radius:.5rem;
padding:.8rem 1rem;margin:0 0 .8rem;overflow:hidden}
article.wrong{border-left:4px solid var(--wrong)}
.named{display:grid;grid-template-columns:7.5rem minmax(0,1fr);gap:.75rem;margin:.3rem 0}
.name{color:var(--soft);font-size:.85rem;padding-top:.1rem}
@media (max-width:40rem){.named{grid-template-columns:minmax(0,1fr);gap:0}}
.notes{margin:.4rem 0;padding-left:1.2rem}
.scrolling{overflow-x:auto;margin:0 0 1rem}
section>h3{margin:1.1rem 0 .3rem}
.facts{margin:0 0 .8rem}
table{border-collapse:collapse;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.3rem .7rem .3rem 0;
border-bottom:1px solid var(--line)}
thead th{color:var(--soft);font-weight:600}
td{max-width:40rem}
td bdi{overflow-wrap:break-word}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.facts th{color:var(--soft);font-weight:400;padding-right:1.5rem;white-space:nowrap}
.facts th,.facts td,.probabilities td{border:0;padding-top:.12rem;padding-bottom:.12rem}
.probabilities td{vertical-align:middle}
.heat th,.heat td{padding:.3rem .6rem}
.heat bdi{white-space:nowrap}
.histogram{display:block;width:100%;max-width:40rem;height:auto;margin:0 0 .9rem}
.histogram text{fill:var(--soft);font-size:12px}
.histogram line{stroke:var(--line)}
.bar{fill:var(--bar)}
.track{fill:var(--track)}
.share{width:60px;height:8px;display:block;margin-top:.4rem}
.probabilities .share{margin:0}
.prose{display:block;max-width:60rem}
mark{color:inherit;background:var(--answer);border-radius:.2rem;padding:.05rem .15rem}
mark small{margin-left:.35rem;font-size:.7rem;color:var(--soft);font-weight:600}
mark.gold{background:none;box-shadow:inset 0 -2px 0 var(--gold)}
mark.predicted,mark.gold.predicted{background:var(--answer)}
mark.mistaken{background:var(--replaced)}
mark.doubtful{outline:1.5px dashed var(--wrong)}
.chips{display:flex;flex-wrap:wrap;gap:.2rem;margin:.35rem 0;max-height:40rem;overflow:auto}
.chip{background:var(--first);border-radius:.25rem;padding:.05rem .3rem;text-align:center;
max-width:100%;overflow:hidden}
.chip small{display:block;font-size:.68rem;line-height:1.15;color:var(--soft)}
.chip.second{background:var(--second)}
.chip.plain{background:none}
.chip.special{background:var(--special);color:var(--soft)}
.chip.masked{background:var(--masked)}
.chip.replaced{background:var(--replaced)}
.chip.kept{background:var(--kept)}
.chip.unknown{background:var(--unknown)}
.chip.answer{background:var(--answer)}
.chip.target{box-shadow:inset 0 -2px 0 var(--accent)}
.chip.ignored{opacity:.55}
.chip.mistaken{box-shadow:inset 0 -2px 0 var(--wrong)}
.wrong-text{color:var(--wrong)}
.gold-text{color:var(--gold)}
@media print{article{break-inside:avoid}}
"""


def _style() -> str:
    rules = [_BASE]
    for number in range(NUM_COLOURS):
        hue = _HUES[number]
        rules.append(f".colour-{number}{{background:hsl({hue} 75% 50%/.24)}}")
    for shade in _SHADES:
        strength = 0.08 + 0.07 * shade
        rules.append(f".heat-{shade}{{background:hsl(8 80% 55%/{strength:.2f})}}")
        rules.append(f".right-{shade}{{background:hsl(212 80% 55%/{strength:.2f})}}")
    return "\n".join(rules)


STYLE = _style()
