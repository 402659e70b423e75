"""The files of conf/, and what they leave to the user."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from clozekit.config.composition.location import conf_dir
from clozekit.config.train import TrainConfig
from tests.config.hub_folders import READY, ready_overrides
from tests.programs.commands import train_config
from tests.programs.task_files import write_task

FILES = sorted(
    str(path.relative_to(conf_dir()))
    for path in conf_dir().rglob("*.yaml")
    if "local" not in path.parts  # this machine's own, which no one else has
)
TASKS = [Path(file).stem for file in FILES if file.startswith("task/")]
OF_A_CORPUS = ("pretraining", "masked_lm")


@dataclass
class Given:
    """What the configurations leave to the user."""

    corpus: Path
    hub: Path
    folder: Path

    def data(self, name: str) -> list[str]:
        """The overrides that a choice of the data group needs; of the hub's, also the choice."""
        if name in OF_A_CORPUS:
            return [f"data.path={self.corpus}"]
        tokenizer = f"data.tokenizer={self.corpus / 'tokenizer.json'}"
        if name in READY:
            return [*ready_overrides(self.hub, name), tokenizer]
        return [f"data.train={write_task(self.folder, name, 20, seed=0)}", tokenizer]

    def train(self, *overrides: str, data: str = "pretraining") -> TrainConfig:
        is_chosen = data == "pretraining" or data in READY
        chosen = [] if is_chosen else [f"task={data}", f"data={data}"]
        sizes = ("max_steps=10", "global_batch_size=8", "micro_batch_size=4")
        return train_config(
            "name=mine",
            f"runs_dir={self.folder}",
            *chosen,
            *overrides,
            *self.data(data),
            *sizes,
        )


def data_choice(target: str) -> str:
    """The choice of the data group whose file names a DataModule."""
    name = target.rsplit(".", 2)[1]
    names = {"pair_datamodule": "pretraining", "masked_lm_datamodule": "masked_lm"}
    return names.get(name, name)


def read(file: str) -> dict[str, Any]:
    values = yaml.safe_load((conf_dir() / file).read_text())
    assert isinstance(values, dict)
    return values
