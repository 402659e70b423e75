"""`clozekit predict`: predictions for one text or for a file of rows."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from itertools import count
from pathlib import Path
from typing import IO, Any

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from clozekit.config.predict import PredictConfig
from clozekit.data.files.cells import RowError
from clozekit.data.files.row import BadRow, NoRowsError
from clozekit.errors import ConfigError, DataError
from clozekit.files import as_json, write_text, write_text_atomically
from clozekit.inference.load_predictor import make_predictor
from clozekit.inference.missing_head import no_head
from clozekit.inference.prediction_page import prediction_page
from clozekit.inference.prediction_views import Shown
from clozekit.inference.row_predictor import Prediction, Predictor
from clozekit.inference.vector_files import VECTOR_FILES, open_vectors, vector_size
from clozekit.output.console import PlainConsole
from clozekit.output.display import printable, say
from clozekit.pages.elements import shortened
from clozekit.runs.load_pretrained import load_pretrained

ROWS_AT_ONCE = 1024
"""Number of rows that are held in memory and sorted by length for batching."""

MOST_OF_TITLE = 80
"""The number of characters of a text in the title of its page."""

MOST_SHOWN = 8
"""The number of values of a vector that are printed to the terminal."""


def predict(config: PredictConfig) -> None:
    """Prints or writes the predictions of a model.

    Raises:
        UserError: The model cannot be read, or a text or row does not fit its task.
    """
    config.check_output()
    pretrained = load_pretrained(config.checkpoint, config.trusted_modules)
    predictor = make_predictor(
        pretrained,
        data_options=config.data_options,
        task_options=config.task_options,
        top_k=config.top_k,
        batch_size=config.batch_size,
        device=config.device,
        precision=config.precision,
    )
    if predictor is None:
        raise ConfigError(no_head(pretrained))
    _check_format(predictor, config)
    if config.text is not None:
        _predict_text(predictor, config)
    else:
        _predict_file(predictor, config)


def _check_format(predictor: Predictor, config: PredictConfig) -> None:
    """Checks that the predictions can be written to the kind of file that is named."""
    if config.output is None or config.output.suffix.lower() not in VECTOR_FILES:
        return
    if config.is_page:
        raise ConfigError(f"format=html and output={config.output}: a page ends with .html")
    if vector_size(predictor) is None:
        raise ConfigError(
            f"output={config.output}: only the vectors of task=embedding are written to "
            f"{' or '.join(VECTOR_FILES)}; use a .jsonl file"
        )
    if config.output.suffix.lower() == ".npy" and config.on_bad_row == "skip":
        raise ConfigError(
            f"output={config.output}: an array has no ids, so that rows could not be told after a "
            "bad row is skipped; use a .parquet file, or on_bad_row=error"
        )


def _predict_text(predictor: Predictor, config: PredictConfig) -> None:
    assert config.text is not None
    try:
        row = predictor.row_of(config.text, config.text_pair)
        example = predictor.read(row, 0)
    except RowError as error:
        raise ConfigError(str(error)) from error
    (prediction,) = predictor.predict([example])
    if config.output is not None:
        shown = [Shown(0, _inputs(example, row), prediction)]
        _write(predictor, config, shortened(config.text, MOST_OF_TITLE), shown)
        say(f"wrote 1 prediction to {config.output}")
        return
    console = PlainConsole(soft_wrap=True)
    pair = config.text_pair
    console.print(config.text if pair is None else f"{config.text} | {pair}")
    for line in _described(prediction):
        console.print(f"  {line}")


def _predict_file(predictor: Predictor, config: PredictConfig) -> None:
    assert config.input is not None
    if config.output is None:
        for shown in _predictions(predictor, config):
            _write_line(sys.stdout, _as_line(shown))
        return
    number, has_more = _write(predictor, config, config.input, _predictions(predictor, config))
    of_file = f"the first {number:,}" if has_more else f"{number:,}"
    say(f"wrote {of_file} predictions to {config.output}")


def _write(
    predictor: Predictor, config: PredictConfig, title: str, rows: Iterable[Shown]
) -> tuple[int, bool]:
    """Writes predictions as a page, or in the format of the file's ending.

    Returns:
        The number of predictions, and whether there are more, which are left out.
    """
    path = config.output
    assert path is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    if config.is_page:
        page, number, has_more = prediction_page(title, config.checkpoint, rows)
        write_text(path, page)
        return number, has_more
    numbers = count()
    width = vector_size(predictor)
    predictions = map(_as_line, rows)
    if path.suffix.lower() in VECTOR_FILES and width is not None:
        with open_vectors(path, width) as file:
            for prediction, _ in zip(predictions, numbers, strict=False):
                file.write(prediction["id"], prediction["vector"])
    else:
        with write_text_atomically(path) as text:
            for prediction, _ in zip(predictions, numbers, strict=False):
                _write_line(text, prediction)
    return next(numbers), False


def _predictions(predictor: Predictor, config: PredictConfig) -> Iterator[Shown]:
    """Yields one prediction per row, in the order of the file."""
    assert config.input is not None
    try:
        rows = predictor.read_rows(config.input)
    except NoRowsError:
        return
    with _progress(config.input) as progress:
        waiting: list[tuple[int | str, Any, Any]] = []
        for number, (place, row) in enumerate(rows.with_bad_rows()):
            if progress is not None and number % 256 == 0:
                progress(getattr(row, "position", 0))
            try:
                if isinstance(row, BadRow):
                    raise RowError(row.problem)
                example = predictor.read(row, number)
            except RowError as error:
                message = f"{place}: {error}"
                if config.on_bad_row == "error":
                    raise DataError(message) from error
                say(f"skipped: {message}", file=sys.stderr)
                continue
            waiting.append((getattr(example, "id", number), example, _inputs(example, row)))
            if len(waiting) == ROWS_AT_ONCE:
                yield from _predicted(predictor, waiting)
                waiting = []
        yield from _predicted(predictor, waiting)


def _predicted(predictor: Predictor, waiting: list[tuple[int | str, Any, Any]]) -> Iterator[Shown]:
    predictions = predictor.predict([example for _, example, _ in waiting]) if waiting else []
    for (row_id, _, inputs), prediction in zip(waiting, predictions, strict=True):
        yield Shown(row_id, inputs, prediction)


def _inputs(example: Any, row: Any) -> Any:
    """Returns what a page shows of a row: the example of a task, or else the row's columns."""
    return example if is_dataclass(example) else dict(row)


def _as_line(shown: Shown) -> Prediction:
    return {"id": shown.row_id, **shown.prediction}


def _described(prediction: Prediction) -> Iterator[str]:
    """Yields the lines that describe a prediction in the terminal."""
    for words in prediction.get("words", ()):
        if isinstance(words, list):
            yield "[MASK]: " + ", ".join(f"{w['word']} {w['probability']:.3f}" for w in words)
    if "follows" in prediction:
        yield f"the second text follows the first: {prediction['follows']:.3f}"
    if "in_order" in prediction:
        yield f"the texts are in their order: {prediction['in_order']:.3f}"
    if "tags" in prediction:
        for word, tag, score in zip(
            prediction["words"], prediction["tags"], prediction["scores"], strict=True
        ):
            yield f"{word}: {tag} {score:.3f}"
    elif "candidates" in prediction:
        yield f"answer: {prediction['answer'] or '(none)'}"
        for candidate in prediction["candidates"]:
            yield f"  {candidate['probability']:.3f} {candidate['text']}"
    elif isinstance(prediction.get("scores"), dict):
        ranked = sorted(prediction["scores"].items(), key=lambda item: -item[1])
        yield ", ".join(f"{name} {score:.3f}" for name, score in ranked)
    elif "score" in prediction:
        yield f"score {prediction['score']:.4f}"
    elif "vector" in prediction:
        vector = prediction["vector"]
        shown = ", ".join(f"{value:.4f}" for value in vector[:MOST_SHOWN])
        yield f"vector of {len(vector)}: {shown}{', …' if len(vector) > MOST_SHOWN else ''}"


@contextmanager
def _progress(path: str) -> Iterator[Any]:
    """Shows a progress bar for reading a file, if stderr is a terminal."""
    console = PlainConsole(file=sys.stderr)
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    size = Path(path).stat().st_size if Path(path).is_file() else 0
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(printable(path), total=size)
        yield lambda position: progress.update(bar, completed=position)


def _write_line(file: IO[str], value: Prediction) -> None:
    file.write(as_json(value) + "\n")
