"""Pictures: text is drawn as it is, and one that fails is told in one line."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from clozekit.inference import evaluation_figures
from clozekit.inference.evaluation_figures import plot_classes, plot_confusion
from clozekit.output.figures import drawn, label_of, picture

ODD = ["cost $$", "$10-$99", "$\\frac$", "PP$$", "a_b^c", "\x1b[31m", "\u202eabc", "😀", "x" * 300]


def test_text_with_dollars_is_drawn_as_it_is(tmp_path: Path) -> None:
    with picture(tmp_path / "a.png", 5, 4) as figure:
        axes = figure.subplots()
        axes.set_xticks([0, 1], ["$10-$99", "cost $$"])
        axes.set_title("$\\frac$ $x$")
        texts = [axes.title, *axes.get_xticklabels()]
        assert not any(text.get_parse_math() for text in texts)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_odd_labels_break_no_picture_and_warn_of_nothing(tmp_path: Path) -> None:
    counts = np.arange(len(ODD) ** 2).reshape(len(ODD), -1)
    scores = {name: {"precision": 0.5, "recall": 0.25} for name in ODD}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_confusion(counts, ODD, tmp_path / "confusion.png")
        plot_classes(scores, tmp_path / "classes.png")
    assert {path.name for path in tmp_path.iterdir()} == {"confusion.png", "classes.png"}


def test_of_many_classes_the_most_frequent_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    def label(name: str) -> str:
        shown.append(name)
        return name

    monkeypatch.setattr(evaluation_figures, "label_of", label)
    monkeypatch.setattr(evaluation_figures, "MOST_CLASSES", 2)
    plot_confusion(np.diag([3, 1, 5]), ["a", "b", "c"], tmp_path / "confusion.png")
    scores = {
        n: {"precision": 1.0, "recall": 1.0, "support": s}
        for n, s in {"a": 1, "b": 5, "c": 3}.items()
    }
    plot_classes(scores, tmp_path / "classes.png")
    assert shown == ["a", "c", "b", "c"]


def test_labels_are_cut_and_without_control_characters() -> None:
    assert label_of("x" * 300) == "x" * 24 + "…"
    assert label_of("a\x1b\nb") == r"a\x1b\nb"
    assert label_of("$a$") == "$a$"


def test_a_picture_that_fails_is_one_line_and_leaves_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def draw(path: Path) -> None:
        with picture(path, 5, 4):
            raise ValueError("no\nway")

    drawn(tmp_path / "a.png", draw)
    assert capsys.readouterr().err == (
        f"{tmp_path / 'a.png'} could not be drawn (ValueError: no)\n"
    )
    assert not list(tmp_path.iterdir())
    assert drawn(tmp_path / "b.png", lambda path: path.name) == "b.png"
