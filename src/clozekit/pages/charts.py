"""Charts without scripts: histograms, bars, and tables coloured by their values."""

from collections.abc import Mapping, Sequence

from clozekit.pages.elements import Html, element, isolated
from clozekit.pages.layout import NUMBER

_WIDTH, _HEIGHT, _BASE = 640, 150, 126
_SHADES = 10
_LONGEST_NAME = 20


def histogram(bars: Sequence[tuple[str, int]], title: str) -> Html:
    """Draws a bar for each count, with the first and last label and the largest count.

    Args:
        bars: The label and the count of each bar.
        title: What is counted, for readers who do not see the picture.
    """
    most = max((count for _, count in bars), default=0) or 1
    step = _WIDTH / max(1, len(bars))
    shapes = []
    for place, (label, count) in enumerate(bars):
        height = round((_BASE - 18) * count / most, 2)
        if count:
            height = max(height, 1)
        shapes.append(
            element(
                "rect",
                element("title", f"{label}: {count:,}"),
                x=round(place * step + step * 0.06, 2),
                y=round(_BASE - height, 2),
                width=round(step * 0.88, 2),
                height=height,
                class_="bar",
            )
        )
    shown = sorted({0, len(bars) // 2, len(bars) - 1}) if bars else []
    for place in shown:
        anchor = "start" if place == 0 else "end" if place == len(bars) - 1 else "middle"
        x = 0 if place == 0 else _WIDTH if place == len(bars) - 1 else (place + 0.5) * step
        label = bars[place][0]
        shapes.append(element("text", label, x=round(x, 2), y=_BASE + 18, text_anchor=anchor))
    shapes.append(element("line", x1=0, x2=_WIDTH, y1=_BASE, y2=_BASE))
    shapes.append(element("text", f"{most:,}", x=0, y=12, text_anchor="start"))
    return element(
        "svg",
        *shapes,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=title,
        class_="histogram",
    )


def share_bar(share: float) -> Html:
    """Draws a share, from 0 to 1, as a small bar."""
    width = round(60 * min(max(share, 0.0), 1.0), 2)
    filled = element("rect", x=0, y=0, width=width, height=8, class_="bar")
    whole = element("rect", x=0, y=0, width=60, height=8, class_="track")
    return element("svg", whole, filled, viewBox="0 0 60 8", role="img", class_="share")


def probabilities(values: Mapping[str, float], most: int) -> Html:
    """Makes a list of names with their probabilities, the largest first.

    Args:
        values: The probabilities by name.
        most: The number that is shown.
    """
    ranked = sorted(values.items(), key=lambda item: -item[1])
    rows = [
        element(
            "tr",
            element("td", share_bar(value)),
            element("td", f"{value:.3f}", class_=NUMBER),
            element("td", isolated(name)),
        )
        for name, value in ranked[:most]
    ]
    if len(ranked) > most:
        rows.append(element("tr", element("td", f"and {len(ranked) - most:,} more", colspan=3)))
    return element("table", element("tbody", *rows), class_="probabilities")


def heat_table(names: Sequence[str], counts: Sequence[Sequence[int]]) -> Html:
    """Makes a confusion matrix: a row for each gold class, coloured by its share of the row.

    Args:
        names: The classes.
        counts: `[gold, predicted]`.
    """
    short = [_short(name) for name in names]
    head = [element("th", "gold \\ predicted")]
    head += [
        element("th", isolated(label), scope="col", class_=NUMBER, title=name)
        for label, name in zip(short, names, strict=True)
    ]
    rows = []
    for place, (label, row) in enumerate(zip(short, counts, strict=True)):
        total = sum(row) or 1
        cells = [element("th", isolated(label), scope="row", title=names[place])]
        for column, count in enumerate(row):
            shade = min(_SHADES - 1, int(count / total * _SHADES)) if count else None
            kind = "right" if column == place else "heat"
            class_ = NUMBER if shade is None else f"{NUMBER} {kind}-{shade}"
            shown = f"{count:,}" if count else "·"
            cells.append(element("td", shown, class_=class_, title=f"{count / total:.1%}"))
        rows.append(element("tr", *cells))
    body = element("table", element("thead", element("tr", *head)), element("tbody", *rows))
    return element("div", body, class_="scrolling heat")


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
