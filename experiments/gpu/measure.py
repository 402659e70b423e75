"""What clozekit does on a GPU: its tests, its speed beside transformers', a run on real text.

    python experiments/gpu/measure.py [--budget 420] [--out FOLDER] [--parts tests pretraining …]
    python experiments/gpu/measure.py --smoke --out FOLDER      # on the CPU, at toy sizes

Results are written after every row, so a run that is cut off keeps what it has measured. Another
run on the same card measures the rows that are missing.
"""

import argparse
import json
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent


def main() -> None:
    given = _arguments()
    if given.out is not None:
        _refuse_complete(_earlier_results(given.out), given)
    if given.smoke:
        _prepare_smoke()
    import units
    from parts import Report, run_part

    from clozekit.files import write_json

    # Otherwise the processes of the part would outlive this one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    settings: dict[str, Any] = {"smoke": given.smoke, "device": "cpu" if given.smoke else "cuda"}
    facts, log = _card(settings)
    folder = given.out or FOLDER / "results" / _as_folder_name(facts["card"])
    results = _earlier_results(folder)
    _refuse_complete(results, given)
    for key in ("card", "torch", "transformers") if results else ():
        if results["card"][key] != facts[key]:
            sys.exit(f"{folder}/results.json is of {results['card'][key]}; choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "card.log").write_text(log)
    results = results or {"card": facts, "smoke": given.smoke, "parts": {}}
    rates = ("matrix_product_rate", "data_sheet_rate")
    settings |= {key: results["card"].get(key) for key in rates}
    write_json(folder / "results.json", results)
    for name, share in units.SHARES.items():
        if name not in given.parts:
            continue
        left = given.budget - (time.monotonic() - began)
        limit = max(0.0, left * share)
        earlier = results["parts"].get(name, {})
        work = units.of_part(name, given.smoke, given.text, limit)
        work = [unit for unit in work if not _is_measured(unit.name, earlier)]
        if not work:
            continue

        def changed(report: Report, name: str = name, earlier: dict[str, Any] = earlier) -> None:
            results["parts"][name] = _together(earlier, report)
            write_json(folder / "results.json", results)

        print(f"{name}: at most {limit:.0f} s", flush=True)
        _say(run_part(work, limit, settings, folder / f"{name}.log", changed))
    print(f"{folder}/results.json: {time.monotonic() - began:.0f} s", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ("tests", "pretraining", "fine_tuning", "text")
    parser.add_argument("--budget", type=float, default=420, help="seconds for everything")
    parser.add_argument("--out", type=Path, help="default: results/<card> beside this file")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--text", help="text for the last part: .txt, .jsonl, .csv or .parquet")
    parser.add_argument("--smoke", action="store_true", help="toy sizes on the CPU")
    given = parser.parse_args()
    if given.smoke and given.out is None:
        parser.error("--smoke needs --out, so that no toy figures stand beside real ones")
    return given


def _prepare_smoke() -> None:
    """Sets what a run on the CPU needs before torch is imported, and imports what takes long."""
    # torch.compile then calls the function as it is. Set to 0, it compiles on the CPU too.
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import gpu_tests  # noqa: F401
    import prediction_speed  # noqa: F401
    import real_text  # noqa: F401
    import training_speed  # noqa: F401

    import clozekit.prepare
    import clozekit.train  # noqa: F401


def _earlier_results(folder: Path) -> dict[str, Any]:
    """Returns the results that are there."""
    file = folder / "results.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _refuse_complete(results: dict[str, Any], given: argparse.Namespace) -> None:
    """Exits if nothing of the parts is missing, because no row is measured again."""
    parts = [results["parts"].get(part) for part in given.parts] if results else [None]
    if all(part and not part["failures"] and not part["not_measured"] for part in parts):
        sys.exit("results.json has all rows of these parts; choose another --out")


def _is_measured(unit: str, part: dict[str, Any]) -> bool:
    return unit in part.get("rows", {}) and unit not in part["failures"]


def _together(earlier: dict[str, Any], report: Any) -> dict[str, Any]:
    """Adds what an earlier run has measured of a part."""
    part = report.as_json()
    if earlier:
        kept = {unit: row for unit, row in earlier["rows"].items() if _is_measured(unit, earlier)}
        part["rows"] = kept | part["rows"]
        seconds = {unit: of for unit, of in earlier["unit_seconds"].items() if unit in kept}
        part["unit_seconds"] = seconds | part["unit_seconds"]
    return part


def _card(settings: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Measures the card, in a process of its own as all that uses it; returns the log too."""
    import units
    from parts import run_part

    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "card.log"
        card = run_part(units.card(), units.CARD_SECONDS, settings, file, lambda report: None)
        log = file.read_text() if file.exists() else ""
    facts = card.rows.get("card", {})
    if "problem" in facts:
        sys.exit(f"no GPU can be used: {facts['problem']}; --smoke runs on the CPU")
    if not facts:
        error = card.failures.get("card", f"no answer in {units.CARD_SECONDS:.0f} s")
        sys.exit(f"{log}\nno GPU can be used: {error}")
    return facts, log


def _as_folder_name(card: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-")


def _say(report: Any) -> None:
    done, left = len(report.rows), len(report.not_measured)
    print(f"  {done} rows, {left} without time, {report.seconds:.0f} s", flush=True)
    for unit, error in report.failures.items():
        print(f"  failed: {unit}: {error}", flush=True)


if __name__ == "__main__":
    main()
