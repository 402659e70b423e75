"""A family of encoders made of the file that CONTRIBUTING shows."""

import json
import re
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertForMaskedLM, BertForSequenceClassification

from clozekit.errors import DataError
from clozekit.interop import card, families
from clozekit.interop.head_names import make_model
from clozekit.interop.saving import save_transformers
from clozekit.interop.transformers import load_transformers
from tests.interop.folders import random_model, write_vocabulary

GUIDE = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTION = GUIDE.split("## Another family of published encoders\n")[1].split("\n## ")[0]
LABELS = {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}


@pytest.fixture
def nordic(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The module of the guide, in the list of families."""
    (source,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    module = types.ModuleType("nordic")
    exec(compile(source, "CONTRIBUTING.md", "exec"), module.__dict__)
    for user in (families, card):
        monkeypatch.setattr(user, "FAMILIES", (*families.FAMILIES, module.NORDIC))
    return module


def write_folder(folder: Path, nordic: types.ModuleType, model_class: Any) -> Any:
    """Writes BERT's weights by the names of the new family."""
    bert = random_model(model_class)
    folder.mkdir()
    bert.save_pretrained(folder)
    pretrained = load_transformers(folder)
    heads = frozenset({name.partition(".")[0] for name in pretrained.weights} - {"encoder"})
    renamed = {}
    for ours, parts in nordic.names(pretrained.encoder, heads).items():
        if ours in pretrained.weights:
            for part, tensor in zip(parts, pretrained.weights[ours].chunk(len(parts)), strict=True):
                renamed[part] = tensor.contiguous()
    save_file(renamed, folder / "model.safetensors")
    config = {theirs: getattr(pretrained.encoder, ours) for ours, theirs in nordic.KEYS.items()}
    architectures = [model_class.__name__.replace("Bert", "Nordic")]
    config |= {"model_type": "nordic", "architectures": architectures, **LABELS}
    (folder / "config.json").write_text(json.dumps(config))
    write_vocabulary(folder)
    return bert


@pytest.mark.parametrize("model_class", [BertForMaskedLM, BertForSequenceClassification])
def test_the_guides_family_is_read_and_written(
    model_class: Any, nordic: types.ModuleType, tmp_path: Path
) -> None:
    bert = write_folder(tmp_path / "before", nordic, model_class)
    pretrained = load_transformers(tmp_path / "before")
    assert pretrained.unused == () and pretrained.encoder.classifier_activation == "relu"
    (head,) = {name.partition(".")[0] for name in pretrained.weights} - {"encoder"}
    model = make_model([head], pretrained.encoder, 2).eval()
    model.load_state_dict(pretrained.weights)
    ids = torch.randint(5, 60, (2, 12), generator=torch.Generator().manual_seed(0))
    expected = bert.bert(ids).last_hidden_state
    torch.testing.assert_close(model.encoder(ids).sequence_output, expected, rtol=1e-5, atol=1e-5)  # type: ignore[call-arg]

    (tmp_path / "after").mkdir()
    assert save_transformers(pretrained, tmp_path / "after") == []
    before, after = (
        load_file(tmp_path / name / "model.safetensors") for name in ("before", "after")
    )
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    config = json.loads((tmp_path / "after" / "config.json").read_text())
    given = json.loads((tmp_path / "before" / "config.json").read_text())
    assert config["model_type"] == "nordic" and config["architectures"] == given["architectures"]
    assert {key: config[key] for key in nordic.KEYS.values()} == {
        key: given[key] for key in nordic.KEYS.values()
    }
    again = load_transformers(tmp_path / "after")
    assert again.encoder == pretrained.encoder
    text = card.model_card(
        given["architectures"][0],
        "transformers",
        1,
        {"name": "a", "data": {}, "global_batch_size": 1},
        None,
        {},
        "1",
    )
    assert "nordic" in text.data.tags


def test_what_the_guides_family_does_not_support_is_refused(
    nordic: types.ModuleType, tmp_path: Path
) -> None:
    write_folder(tmp_path / "before", nordic, BertForMaskedLM)
    file = tmp_path / "before" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"activation": "silu"}))
    with pytest.raises(DataError, match="activation=silu; only gelu is supported"):
        load_transformers(tmp_path / "before")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"activation": "gelu", "depth": 0}))
    with pytest.raises(DataError, match="depth=0: it should be greater than 0"):
        load_transformers(tmp_path / "before")
    assert families.family_of_encoder(nordic.read_config({}, file)) is nordic.NORDIC
