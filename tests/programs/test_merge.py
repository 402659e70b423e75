"""`clozekit merge`: the mean of the weights of checkpoints."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from clozekit.config.merge import MergeConfig
from clozekit.errors import ConfigError, DataError
from clozekit.evaluate import evaluate
from clozekit.export import export
from clozekit.loading import load
from clozekit.merge import merge
from clozekit.output.display import PlainWarning
from clozekit.runs.checkpoint_file import load_checkpoint
from clozekit.runs.merging import shares_of
from clozekit.train import train
from tests.programs.commands import QUIET, TINY, compose_values, train_config

SMALL = (
    *(*TINY, *QUIET),
    "max_steps=2",
    "global_batch_size=8",
    "micro_batch_size=8",
    "trainer.limit_val_batches=1",
    "optimizer.lr=1e-2",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("merging")


@pytest.fixture(scope="module")
def runs(folder: Path, corpus: Path) -> tuple[Path, ...]:
    """Two pretraining runs of different seeds."""
    for name, seed in (("a", 0), ("b", 1)):
        train(
            train_config(
                f"name={name}", f"runs_dir={folder}", f"data.path={corpus}", *SMALL, f"seed={seed}"
            )
        )
    return folder / "a", folder / "b"


@pytest.fixture(scope="module")
def merged(folder: Path, runs: tuple[Path, ...]) -> Path:
    merge(config(folder / "merged", *runs, weights=[3, 1]))
    return folder / "merged"


def config(out: Path, *checkpoints: Path, **more: Any) -> MergeConfig:
    return MergeConfig.model_validate(
        {"checkpoints": list(map(str, checkpoints)), "out": str(out), **more}
    )


def changed(file: Path, out: Path, change: Any) -> Path:
    content = torch.load(file, weights_only=True)
    change(content)
    torch.save(content, out)
    return out


def test_weights_are_a_weighted_mean(merged: Path, runs: tuple[Path, ...]) -> None:
    mean, a, b = (load_checkpoint(run).state_dict for run in (merged, *runs))
    assert mean.keys() == a.keys()
    for name, tensor in mean.items():
        exact = (0.75 * a[name].double() + 0.25 * b[name].double()).to(tensor.dtype)
        assert tensor.dtype == a[name].dtype and torch.equal(tensor, exact), name


def test_sums_are_computed_in_double_precision(folder: Path, runs: tuple[Path, ...]) -> None:
    def half(content: Any) -> None:
        content["state_dict"] = {k: v.bfloat16() for k, v in content["state_dict"].items()}

    files = [
        changed(run / "checkpoints" / "last.ckpt", folder / f"{run.name}.ckpt", half)
        for run in runs
    ]
    merge(config(folder / "halves", *files, weights=[1, 255]))
    name = "model.encoder.embeddings.token_embeddings.weight"
    mean, a, b = (load_checkpoint(p).state_dict[name] for p in (folder / "halves", *files))
    assert mean.dtype == torch.bfloat16
    assert torch.equal(mean, ((a.double() + 255 * b.double()) / 256).bfloat16())


def test_the_record_names_the_checkpoints(merged: Path, runs: tuple[Path, ...]) -> None:
    record = json.loads((merged / "run.json").read_text())
    assert [(part["weight"], part["step"]) for part in record["merged"]] == [(0.75, 2), (0.25, 2)]
    assert record["id"] not in [part["run_id"] for part in record["merged"]]


def test_the_result_predicts_exports_and_is_trained_on(
    merged: Path, folder: Path, corpus: Path
) -> None:
    assert load(merged).predict(["the old [MASK] ."])
    from clozekit.config.export import ExportConfig

    for kind in ("transformers", "safetensors"):
        out = folder / f"exported-{kind}"
        export(ExportConfig(checkpoint=str(merged), out=out, format=kind))
        assert (out / "model.safetensors").is_file()
    common = (f"runs_dir={folder}", f"data.path={corpus}", *SMALL)
    train(train_config("name=further", f"encoder.pretrained={merged}", *common))
    for key in ("resume", "from_run"):
        with pytest.raises(DataError, match=r"no complete checkpoint|cannot be resumed"):
            train(train_config("name=resumed", f"{key}={merged}", *common))


def test_merged_classifiers_are_evaluated(folder: Path, corpus: Path) -> None:
    from clozekit.config.evaluate import EvaluateConfig
    from tests.programs.texts import write_labelled

    rows = write_labelled(folder / "rows.csv", 24, 1)
    names = [f"classes{seed}" for seed in (0, 1)]
    for name in names:
        train(
            train_config(
                *(f"name={name}", f"runs_dir={folder}", "task=classification"),
                *("data=classification", f"data.train={rows}", f"seed={name[-1]}"),
                f"data.tokenizer={corpus / 'tokenizer.json'}",
                *SMALL,
            )
        )
    merge(config(folder / "classes", *(folder / name for name in names)))
    out = folder / "evaluated"
    values = compose_values(
        "evaluate", f"checkpoint={folder / 'classes'}", f"input={rows}", f"out={out}"
    )
    evaluate(EvaluateConfig.model_validate(values))
    assert out.exists()
    with pytest.raises(DataError, match=r"task\._target_ is .*Pretraining.*, not .*Classification"):
        merge(config(folder / "mixed", folder / "classes", folder / "a"))
    assert not (folder / "mixed").exists()


def edit(part: str, key: str, value: Any) -> Any:
    def change(content: Any) -> None:
        meta = content["clozekit"]
        group = meta["config"][part] if part in meta["config"] else meta[part]
        group[key] = value

    return change


def drop(content: Any) -> None:
    content["state_dict"].pop("model.masked_lm_head.bias")


def poison(content: Any) -> None:
    content["state_dict"]["model.masked_lm_head.bias"][0] = float("nan")


def cut(content: Any) -> None:
    state = content["state_dict"]
    state["model.masked_lm_head.bias"] = state["model.masked_lm_head.bias"][:-1].clone()


def other_tokenizer(content: Any) -> None:
    content["clozekit"]["tokenizer"] += " "


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edit("encoder", "layer_norm_eps", 0.5), r"encoder\.layer_norm_eps is 0\.5, not "),
        (edit("encoder", "_target_", "my.Encoder"), r"encoder\._target_ is my\.Encoder, not "),
        (edit("task", "pooling", "cls"), r"task\.pooling is 'cls', not "),
        (
            edit("data", "pair_objective", "sentence_order"),
            r"data\.pair_objective is 'sentence_order', not 'next_sentence'",
        ),
        (edit("task", "_target_", "my.Task"), r"task\._target_ is my\.Task, not "),
        (edit("task_arguments", "label_names", ["a"]), "its task has another label_names"),
        (other_tokenizer, "it has another tokenizer"),
        (drop, r"masked_lm_head\.bias is in only one of them"),
        (cut, r"masked_lm_head\.bias has the shape"),
        (poison, r"masked_lm_head\.bias has values that are NaN or infinite"),
    ],
)
def test_what_does_not_fit_is_refused(
    change: Any, message: str, folder: Path, runs: tuple[Path, ...], tmp_path: Path
) -> None:
    other = changed(runs[1] / "checkpoints" / "last.ckpt", tmp_path / "other.ckpt", change)
    with pytest.raises(DataError, match=message):
        merge(config(tmp_path / "out", runs[0], other))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("key", ["classifier_dropout", "n_best", "temperature"])
def test_how_a_task_is_trained_and_decoded_may_differ(
    key: str, runs: tuple[Path, ...], tmp_path: Path
) -> None:
    change = edit("task", key, 1)
    other = changed(runs[1] / "checkpoints" / "last.ckpt", tmp_path / "other.ckpt", change)
    merge(config(tmp_path / "out", runs[0], other))
    assert (tmp_path / "out" / "run.json").exists()


def test_other_settings_of_rows_are_told(runs: tuple[Path, ...], tmp_path: Path) -> None:
    change = edit("data", "max_seq_length", 12)
    other = changed(runs[1] / "checkpoints" / "last.ckpt", tmp_path / "other.ckpt", change)
    told = r"other\.ckpt, data\.max_seq_length is 12, not \d+; the merged model reads rows like "
    with pytest.warns(PlainWarning, match=told):
        merge(config(tmp_path / "out", runs[0], other))
    pairs = edit("data", "text_pair_column", "b")
    other = changed(runs[1] / "checkpoints" / "last.ckpt", tmp_path / "pairs.ckpt", pairs)
    with pytest.raises(DataError, match=r"data\.text_pair_column is 'a column', not None"):
        merge(config(tmp_path / "pairs", runs[0], other))


@pytest.mark.parametrize("weight", [1e308, 5e-324])
def test_sums_of_weights_do_not_overflow(weight: float) -> None:
    assert shares_of([weight, weight]) == [0.5, 0.5]
    assert shares_of([weight, 1.0])[0] == (weight > 1)


def test_another_dtype_is_refused(runs: tuple[Path, ...], tmp_path: Path) -> None:
    def double(content: Any) -> None:
        content["state_dict"] = {k: v.double() for k, v in content["state_dict"].items()}

    other = changed(runs[1] / "checkpoints" / "last.ckpt", tmp_path / "other.ckpt", double)
    with pytest.raises(DataError, match=r"is torch\.float64, not torch\.float32"):
        merge(config(tmp_path / "out", runs[0], other))


def test_a_checkpoint_is_not_counted_twice(runs: tuple[Path, ...], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(runs[0])
    with pytest.raises(DataError, match="is given twice"):
        merge(config(tmp_path / "out", runs[0], tmp_path / "link"))


def test_an_existing_folder_is_kept(runs: tuple[Path, ...], merged: Path) -> None:
    before = (merged / "run.json").read_bytes()
    with pytest.raises(ConfigError, match="is not empty"):
        merge(config(merged, *runs))
    assert (merged / "run.json").read_bytes() == before


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weights": [1]}, "weights has 1 values; it should have one for each of the 2"),
        ({"weights": [1, 0]}, "greater than 0"),
        ({"weights": [1, "inf"]}, "finite"),
        ({"checkpoints": ["a"]}, "at least 2"),
    ],
)
def test_wrong_keys_are_told(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MergeConfig.model_validate({"checkpoints": ["a", "b"], "out": "c"} | values)
