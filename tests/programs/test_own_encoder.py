"""An encoder of a user's own, through every verb."""

from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch

from clozekit.config.export import ExportConfig
from clozekit.errors import ConfigError
from clozekit.export import export
from clozekit.runs.checkpoint_file import load_checkpoint
from tests.programs.commands import QUIET, TINY, run_clozekit
from tests.programs.texts import write_labelled

MODULE = '''
import torch
from torch import nn

from clozekit.models import EncoderOutput, init_weights


class MeanEncoder(nn.Module):
    """Every block mixes each token with the mean of its sequence."""

    def __init__(self, config, add_pooling_layer=True):
        super().__init__()
        width = config.hidden_size
        self.config = config
        self.activation_checkpointing = False
        self.embeddings = nn.Module()
        self.embeddings.token_embeddings = nn.Embedding(config.vocab_size, width)
        self.blocks = nn.ModuleList(
            nn.Linear(width, width) for _ in range(config.num_hidden_layers)
        )
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.pooler = nn.Linear(width, width) if add_pooling_layer else None
        init_weights(self, config.initializer_range)

    def forward(self, input_ids, token_type_ids=None, *, packing):
        states = self.embeddings.token_embeddings(input_ids)
        lengths = packing.cu_seqlens.diff()
        for block in self.blocks:
            means = packing.pad(states).sum(dim=1) / lengths[:, None]
            mixed = states + self.config.mixing * means.repeat_interleave(lengths, dim=0)
            states = states + self.dropout(torch.tanh(block(mixed)))
        if self.pooler is None:
            return EncoderOutput(states, None)
        return EncoderOutput(states, torch.tanh(self.pooler(states[packing.first_tokens])))
'''
CHOICE = """
defaults:
  - tiny
  - _self_

_target_: my_encoders.MeanEncoder
mixing: 0.5
"""
OWN = ("--config-dir", "conf", "encoder=mean")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own_encoder")
    (folder / "my_encoders.py").write_text(MODULE)
    (folder / "conf" / "encoder").mkdir(parents=True)
    (folder / "conf" / "encoder" / "mean.yaml").write_text(CHOICE)
    return folder


def pretrain(
    folder: Path, corpus: Path, *arguments: str, own: tuple[str, ...] = ()
) -> "CompletedProcess[str]":
    return run_clozekit(
        "train",
        *own,
        f"data.path={corpus}",
        *TINY,
        *QUIET,
        "schedule=constant",
        "global_batch_size=8",
        "micro_batch_size=4",
        *arguments,
        cwd=folder,
    )


@pytest.fixture(scope="module")
def run(folder: Path, corpus: Path) -> Path:
    finished = pretrain(folder, corpus, "name=whole", "max_steps=6", own=OWN)
    assert finished.returncode == 0, finished.stderr
    return folder / "runs" / "whole"


@pytest.mark.slow
def test_a_resumed_run_equals_a_whole_one(folder: Path, run: Path, corpus: Path) -> None:
    for steps in ("max_steps=3", "max_steps=6"):
        finished = pretrain(folder, corpus, "name=cut", "resume=auto", steps, own=OWN)
        assert finished.returncode == 0, finished.stderr
    assert "resumed at step 3" in finished.stdout
    whole, cut = (
        load_checkpoint(path / "checkpoints" / "last.ckpt") for path in (run, run / "../cut")
    )
    assert whole.config["encoder"]["_target_"] == "my_encoders.MeanEncoder"
    assert whole.config["encoder"]["mixing"] == 0.5
    assert whole.step == cut.step == 6
    assert whole.state_dict.keys() == cut.state_dict.keys()
    assert "model.encoder.blocks.0.weight" in whole.state_dict
    for name, tensor in whole.state_dict.items():
        assert torch.equal(tensor, cut.state_dict[name]), name

    refused = pretrain(folder, corpus, "name=cut", "resume=auto", "max_steps=6")
    assert refused.returncode == 2
    assert "encoder._target_=my_encoders.MeanEncoder" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.slow
def test_it_predicts(folder: Path, run: Path) -> None:
    arguments = ("predict", f"checkpoint={run}", 'text="the [MASK] sails the ship"')
    refused = run_clozekit(*arguments, cwd=folder)
    assert refused.returncode == 2
    assert "set trusted_modules=[my_encoders]" in refused.stderr
    finished = run_clozekit(*arguments, "trusted_modules=[my_encoders]", cwd=folder)
    assert finished.returncode == 0, finished.stderr
    assert "the [MASK] sails the ship" in finished.stdout


@pytest.mark.slow
def test_it_is_fine_tuned_and_evaluated(folder: Path, run: Path) -> None:
    write_labelled(folder / "rows.csv", 60, 0)
    arguments = (
        "name=topics",
        "task=classification",
        "data=classification",
        "data.train=rows.csv",
        "data.validation=rows.csv",
        "data.max_seq_length=48",
        f"encoder.pretrained={run}",
        "max_steps=4",
        "global_batch_size=8",
        "micro_batch_size=8",
        "fine_tuning.layerwise_lr_decay=0.9",
        "fine_tuning.reinit_layers=1",
        *QUIET,
    )
    refused = run_clozekit("train", *arguments, cwd=folder)
    assert refused.returncode == 2
    assert "was trained with my_encoders.MeanEncoder" in refused.stderr
    assert not (folder / "runs" / "topics").exists()
    trusted = "trusted_modules=[my_encoders]"
    finished = run_clozekit("train", *arguments, trusted, cwd=folder)
    assert finished.returncode == 0, finished.stderr
    finished = run_clozekit("evaluate", "checkpoint=runs/topics", trusted, cwd=folder)
    assert finished.returncode == 0, finished.stderr
    assert "accuracy" in finished.stdout


@pytest.mark.slow
def test_only_its_weights_are_exported(folder: Path, run: Path) -> None:
    for format_ in ("transformers", "onnx"):
        out = folder / format_
        config = ExportConfig(checkpoint=str(run), format=format_, out=out)
        with pytest.raises(ConfigError, match="only be exported with format=safetensors"):
            export(config)
        assert not out.exists()
    out = folder / "weights"
    export(ExportConfig(checkpoint=str(run), format="safetensors", out=out))
    assert '"_target_": "my_encoders.MeanEncoder"' in (out / "encoder.json").read_text()
    assert "An encoder of the class `my_encoders.MeanEncoder`" in (out / "README.md").read_text()


@pytest.mark.slow
def test_a_class_that_cannot_be_used_is_refused_before_the_run_has_a_folder(
    folder: Path, corpus: Path
) -> None:
    finished = pretrain(
        folder, corpus, "name=missing", "max_steps=1", "encoder._target_=my_encoders.Nothing"
    )
    assert finished.returncode == 2
    assert "encoder._target_=my_encoders.Nothing cannot be imported" in finished.stderr
    assert not (folder / "runs" / "missing").exists()
