"""How `compile` is applied to a task, and that training with it is training without it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from clozekit.config.train_groups import CompileConfig
from clozekit.models.static_shapes import StaticEncoder
from clozekit.training.compiling import compile_encoder
from tests.tasks.modules import Module, module_of
from tests.tasks.training import DrawnRows, trainer_of


def test_without_compile_nothing_is_changed() -> None:
    module = module_of("classification")
    compile_encoder(module, CompileConfig())
    assert module.encoder._compiled_call_impl is None and module.model.static_encoder is None
    assert module.keeps_gradients is False


def test_an_encoder_is_compiled_for_all_shapes_or_for_a_few() -> None:
    module = module_of("classification")
    names = list(module.state_dict())
    compile_encoder(module, CompileConfig(enabled=True))
    assert module.encoder._compiled_call_impl is not None and module.model.static_encoder is None

    module = module_of("classification")
    compile_encoder(module, CompileConfig(enabled=True, dynamic=False, pad_tokens_to=64))
    static = module.model.static_encoder
    assert module.encoder._compiled_call_impl is None and isinstance(static, StaticEncoder)
    assert static.shapes.tokens == 64 and module.keeps_gradients is False
    assert list(module.state_dict()) == names


@pytest.mark.parametrize("mode", ["reduce-overhead", "max-autotune"])
def test_cuda_graphs_need_static_shapes_and_gradients_outside_of_them(mode: Any) -> None:
    with pytest.raises(ValidationError, match=f"mode={mode} records a CUDA graph for each shape"):
        CompileConfig(enabled=True, mode=mode)
    assert CompileConfig(mode=mode).enabled is False, "the mode alone changes nothing"
    module = module_of("classification")
    compile_encoder(module, CompileConfig(enabled=True, mode=mode, pad_tokens_to=64))
    assert module.keeps_gradients is True


def trained(module: Module, task: str, folder: Path) -> dict[str, torch.Tensor]:
    trainer = trainer_of(folder, 3, precision="64-true")
    trainer.fit(module, datamodule=DrawnRows(task, micro_batch_size=2))
    return dict(module.state_dict())


@pytest.mark.parametrize("task", ["classification", "question_answering"])
def test_training_with_static_shapes_is_training_without(task: str, tmp_path: Path) -> None:
    expected = trained(module_of(task), task, tmp_path)
    torch._dynamo.reset()
    module = module_of(task)
    module.model.static_encoder = StaticEncoder(
        module.encoder, 64, dynamic=False, fullgraph=True, backend="eager"
    )
    module.keeps_gradients = True
    weights = trained(module, task, tmp_path)
    before = module_of(task).state_dict()
    for name, weight in expected.items():
        torch.testing.assert_close(weights[name], weight, rtol=0, atol=1e-9, msg=name)
    assert not torch.equal(
        before["model.encoder.blocks.0.attention.qkv.weight"].double(),
        expected["model.encoder.blocks.0.attention.qkv.weight"],
    )
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None and not parameter.grad.any(), name
