"""Lightning's averages of weights: what is evaluated, saved, resumed, branched and taken back."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from clozekit.config.evaluate import EvaluateConfig
from clozekit.evaluate import evaluate
from clozekit.train import train
from tests.programs.commands import QUIET, TINY, compose_values, train_config
from tests.programs.observed_runs import Run
from tests.programs.task_files import write_task
from tests.programs.weight_hooks import Looking

EMA = (
    "+callbacks.ema._target_=lightning.pytorch.callbacks.EMAWeightAveraging",
    "+callbacks.ema.decay=0.7",
)
HOOKS = "tests.programs.weight_hooks"
SAME_RATE = ("schedule=constant", "optimizer.lr=0.01")


def saved(folder: Path, name: str = "last") -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
    return content


def are_equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    assert ours.keys() == theirs.keys()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("resumes", [False, True])
def test_the_results_are_of_the_saved_average(resumes: bool, corpus: Path, tmp_path: Path) -> None:
    rows = write_task(tmp_path, "classification", 40, seed=0)
    data = [f"data.{split}={rows}" for split in ("train", "validation", "test")]
    given = [
        *("name=x", f"runs_dir={tmp_path}", "task=classification", "data=classification", *TINY),
        *(*QUIET, *data, f"data.tokenizer={corpus / 'tokenizer.json'}", "max_steps=4"),
        *("global_batch_size=8", "micro_batch_size=4", "validate_every_n_steps=2", *SAME_RATE),
        *EMA,
    ]
    results = train(train_config(*given))
    if resumes:
        assert train(train_config(*given, "resume=auto")) == pytest.approx(results)
    values = compose_values("evaluate", f"checkpoint={tmp_path}/x", f"out={tmp_path}/out")
    found = evaluate(EvaluateConfig.model_validate({**values, "input": str(rows)}))
    # The same rows.
    for split in ("validation", "test"):
        assert found["loss"] == pytest.approx(results[f"{split}/loss"], rel=1e-5)


def test_the_results_of_pretraining_are_of_the_average_after_a_resumption_too(run: Run) -> None:
    results = []
    for more in ((), ("resume=auto",)):
        run("ends", "max_steps=4", *EMA, *SAME_RATE, *more)
        results.append((run.folder / "ends" / "results.json").read_text())
    assert results[0] == results[1]


@pytest.fixture(scope="module")
def whole(run: Run) -> Path:
    """A run of 6 steps."""
    return run("whole", *EMA, *SAME_RATE, "callbacks.checkpoints.save_top_k=-1")


# The last step is validated, or only saved at the end.
@pytest.mark.parametrize("max_steps", [3, 4])
def test_a_longer_run_goes_on_from_the_trained_weights(
    max_steps: int, run: Run, whole: Path
) -> None:
    name = f"longer{max_steps}"
    folder = run(name, f"max_steps={max_steps}", *EMA, *SAME_RATE)
    short = saved(folder)
    assert not are_equal(short["state_dict"], short["current_model_state"])
    run(name, *EMA, *SAME_RATE, "resume=auto")
    ours, theirs = saved(folder), saved(whole)
    for part in ("state_dict", "current_model_state", "averaging_state"):
        assert are_equal(ours[part], theirs[part]), part


def test_an_average_is_saved_without_checkpoints(run: Run) -> None:
    folder = run("bare", *EMA, *SAME_RATE, "callbacks.checkpoints=null")
    content = saved(folder)
    assert not are_equal(content["state_dict"], content["current_model_state"])


def test_a_rollback_takes_the_weights_and_their_average_back(run: Run) -> None:
    folder = run(
        "back",
        *(f"+callbacks.look._target_={HOOKS}.Looking", "+callbacks.look.steps=[5]"),
        *(*EMA, f"+callbacks.diverge._target_={HOOKS}.Diverging", "+callbacks.diverge.step=4"),
        *("divergence.action=rollback", "callbacks.checkpoints.save_top_k=-1", *SAME_RATE),
        "max_steps=5",
    )
    content = saved(folder, "step-3")
    assert are_equal(Looking.trained[5], content["current_model_state"])
    assert are_equal(Looking.average[5], content["state_dict"])
    assert Looking.updated[5] == 3


def test_an_error_in_a_validation_does_not_exchange_the_weights(run: Run, whole: Path) -> None:
    failing = (
        "+callbacks.fail._target_=tests.programs.failing.Failing",
        *("+callbacks.fail.hook=on_validation_batch_end", "+callbacks.fail.steps=3"),
    )
    given = (*EMA, *SAME_RATE, "callbacks.checkpoints.every_n_steps=2")
    with pytest.raises(ValueError, match="a mistake in a callback"):
        run("fails", *given, *failing)
    folder = run("fails", *given, "resume=auto")
    assert are_equal(saved(folder)["current_model_state"], saved(whole)["current_model_state"])


@pytest.mark.parametrize("averages", [False, True])
def test_a_branch_begins_at_the_trained_weights(averages: bool, run: Run, whole: Path) -> None:
    run(
        f"branch{averages}",
        *(
            f"from_run={whole}",
            "from_step=3",
            f"+callbacks.look._target_={HOOKS}.Looking",
            *SAME_RATE,
        ),
        *(EMA if averages else ()),
    )
    assert are_equal(Looking.start, saved(whole, "step-3")["current_model_state"])
