"""Turns results into the tables of README.md, by card.

python experiments/gpu/tables.py                    # results/*/results.json, into README.md
python experiments/gpu/tables.py RESULTS.json …     # printed
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
README = FOLDER / "README.md"
NOTHING_RUN = "Nothing here was ever run on a GPU: there are no figures yet."
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
OURS = "clozekit"

Row = Mapping[str, Any]


def main() -> None:
    if sys.argv[1:]:
        print("\n".join(line for file in sys.argv[1:] for line in of_file(Path(file))))
        return
    README.write_text(page(README.read_text(encoding="utf-8")), encoding="utf-8")


def page(text: str) -> str:
    """Returns README.md with the sections of all cards."""
    files = sorted(FOLDER.glob("results/*/results.json"))
    lines = [line for file in files for line in of_file(file)] or [NOTHING_RUN]
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "\n".join([before + BEGIN, *lines, END + after])


def of_file(file: Path) -> Iterator[str]:
    """Yields the lines of a card's section."""
    results = json.loads(file.read_text(encoding="utf-8"))
    card, parts = results["card"], results["parts"]
    yield f"### {card['card']}"
    yield ""
    yield from _machine(card)
    rows = {name: part["rows"] for name, part in parts.items()}
    if "tests" in rows:
        yield from _tests(rows["tests"])
    pretraining = list(rows.get("pretraining", {}).values())
    fine_tuning = list(rows.get("fine_tuning", {}).values())
    yield from _section("Pretraining", list(_training(pretraining, card["card"])))
    trained = [row for row in fine_tuning if "programs" in row]
    yield from _section("Fine-tuning", list(_training(trained, card["card"])))
    predicted = [row for row in fine_tuning if "programs" not in row]
    yield from _section("Prediction", list(_prediction(predicted, card["card"])))
    yield from _section("Real text", list(_text(rows.get("text", {}))))
    yield from _section("Not measured", list(_missing(parts)))


def _section(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield from (f"#### {title}", "", *lines, "")


def _machine(card: Row) -> Iterator[str]:
    rates = []
    if card.get("matrix_product_rate"):
        rates.append(f"{card['matrix_product_rate'] / 1e12:,.0f} TFLOP/s measured")
    if card.get("data_sheet_rate"):
        rates.append(f"{card['data_sheet_rate'] / 1e12:,.0f} by its data sheet")
    yield (
        f"torch {card['torch']}, lightning {card['lightning']}, transformers "
        f"{card['transformers']}. Dense bfloat16 products: {', '.join(rates) or 'not measured'}."
    )
    yield ""


def _tests(rows: Mapping[str, Row]) -> Iterator[str]:
    for row in rows.values():
        counts = ", ".join(f"{row[name]} {name}" for name in ("passed", "failed", "errors"))
        number = row.get("collected", "?")
        yield f"Tests marked `gpu`: {counts}, {row['skipped']} skipped of {number}."
        yield from (f"- `{name}`: {message}" for name, message in row["failures"].items())
        yield ""


def _training(rows: list[Row], card: str) -> Iterator[str]:
    """One line a row. transformers' best is that of the row: compiled only beside compiled."""
    if not rows:
        return
    is_pretraining = rows[0]["kind"] == "pretraining"
    shares = ("of measured rate", "of data sheet") if is_pretraining else ()
    unit = "tokens/s" if is_pretraining else "examples/s"
    yield from _header(
        "card", "task", "encoder", "length", "dropout", "compile", "a batch", f"clozekit, {unit}",
        f"transformers' best, {unit}", "times as fast", *shares, "GiB at most",
        "transformers, GiB",
    )  # fmt: skip
    key = "tokens_per_second" if is_pretraining else "rows_per_second"
    for row in rows:
        ours, programs = row["programs"][OURS], row["programs"]
        others = {name: programs[name][key]["median"] for name in row["ratio"]}
        best = max(others, key=lambda name: others[name], default=None)
        yield _line(
            card,
            row["kind"],
            row["size"],
            row["seq_len"],
            row["dropout"],
            row["compile"],
            row["rows"],
            f"{ours[key]['median']:,.0f}",
            f"{others[best]:,.0f} ({_variant(best)})" if best else "",
            _spread(row["ratio"][best]) if best else "",
            *(
                _percent(ours.get(f"share_of_{rate}"))
                for rate in ("matrix_product_rate", "data_sheet_rate")
                if shares
            ),
            _gib(ours),
            _gib(programs[best]) if best else "",
        )


def _prediction(rows: list[Row], card: str) -> Iterator[str]:
    if not rows:
        return
    yield from _header(
        "card", "task", "encoder", "length", "precision", "a batch", "clozekit, examples/s",
        "its forward alone, examples/s", "transformers' forward, examples/s",
        "forward, times as fast",
    )  # fmt: skip
    for row in rows:
        rates = {name: f"{of['median']:,.0f}" for name, of in row["rows_per_second"].items()}
        yield _line(
            card,
            row["kind"],
            row["size"],
            row["seq_len"],
            row["precision"],
            row["batch_size"],
            rates[OURS],
            rates["clozekit, forward"],
            rates["transformers"],
            _spread(row["ratio_of_forward"]),
        )


def _text(rows: Mapping[str, Row]) -> Iterator[str]:
    for name, row in rows.items():
        if "skipped" in row:
            yield f"{name}: skipped, {row['skipped']}."
            continue
        held_out = row.get("held_out_mlm_loss") or []
        losses = ", ".join(f"{loss:.3f} at step {step:,.0f}" for step, loss in held_out[-1:])
        speed = row.get("tokens_per_second")
        yield (
            f"{name} on {row['text']}, {row.get('train_seconds', '?')} s of training"
            f"{f', {speed:,.0f} tokens/s' if speed else ''}; loss of masked words on held-out "
            f"text: {losses or 'not reached'}."
        )


def _missing(parts: Mapping[str, Row]) -> Iterator[str]:
    for name, part in parts.items():
        yield from (f"- {name}: {unit}: {error}" for unit, error in part["failures"].items())
        for unit, row in part["rows"].items():
            failed = row.get("failed_programs", {})
            yield from (f"- {name}: {unit}: {program}: {why}" for program, why in failed.items())
        if part["not_measured"]:
            yield f"- {name}: no time was left for {len(part['not_measured'])} rows"


def _header(*cells: str) -> Iterator[str]:
    yield _line(*cells)
    yield "|" + "---|" * len(cells)


def _line(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _variant(name: str) -> str:
    return re.sub(r"^transformers(, )?", "", name) or "not compiled"


def _spread(of: Row) -> str:
    return f"{of['median']:.2f} ({of['lowest']:.2f} to {of['highest']:.2f})"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _gib(program: Row) -> str:
    return f"{program['peak_mib'] / 1024:.1f}" if "peak_mib" in program else ""


if __name__ == "__main__":
    main()
