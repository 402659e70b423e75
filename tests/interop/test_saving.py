"""What is exported loads in transformers as it is, and comes back tensor for tensor."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordPiece
from torch import Tensor
from transformers import (
    AutoTokenizer,
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)

from clozekit.corpus.tokenizers.tokenizer_files import load_tokenizer
from clozekit.interop.card import model_card
from clozekit.interop.head_names import make_model
from clozekit.interop.pretrained import Pretrained
from clozekit.interop.saving import loading_call, save_safetensors, save_transformers
from clozekit.interop.transformers import load_transformers
from clozekit.models import Encoder
from tests.interop.folders import WORDS, random_model, write_vocabulary
from tests.models.batches import tiny_config

TEXTS = ["The cow sails!", "SÉA séa 中文 \t the", "", "sail [MASK] seas", "un##known zzz"]


def inputs() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = torch.ones(3, 12, dtype=torch.long)
    mask[1, 7:] = 0
    return {
        "input_ids": torch.randint(1, 60, (3, 12), generator=generator),
        "token_type_ids": torch.randint(0, 2, (3, 12), generator=generator),
        "attention_mask": mask,
    }


@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_new"])
@pytest.mark.parametrize("sizes", [{}, {"hidden_size": 24, "num_hidden_layers": 3}])
@pytest.mark.parametrize(
    "model_class",
    [
        BertModel,
        BertForPreTraining,
        BertForMaskedLM,
        BertForNextSentencePrediction,
        BertForSequenceClassification,
        BertForTokenClassification,
        BertForQuestionAnswering,
        BertForMultipleChoice,
    ],
)
def test_in_out_and_in_again(
    model_class: Any,
    sizes: dict[str, int],
    hidden_act: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bert = random_model(model_class, hidden_act=hidden_act, **sizes)
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    bert.save_pretrained(tmp_path / "before")
    write_vocabulary(tmp_path / "before")
    before = load_transformers(tmp_path / "before")
    assert save_transformers(before, tmp_path / "after") == []

    after = load_transformers(tmp_path / "after")
    torch.testing.assert_close(after.weights, before.weights, rtol=0, atol=0)
    assert after.encoder == before.encoder
    assert after.label_names == before.label_names

    (architecture,) = json.loads((tmp_path / "after" / "config.json").read_text())["architectures"]
    assert architecture == model_class.__name__
    again = loaded_without_a_warning(architecture, tmp_path / "after", caplog)
    assert {n: t.dtype for n, t in again.state_dict().items()} == {
        n: t.dtype for n, t in bert.state_dict().items()
    }
    # The two forms of the approximate GELU differ by rounding.
    given = inputs()
    if model_class is BertForMultipleChoice:
        given = {name: tensor[None] for name, tensor in given.items()}
    torch.testing.assert_close(again(**given), bert(**given), rtol=1e-5, atol=1e-5)


def loaded_without_a_warning(
    architecture: str, folder: Path, caplog: pytest.LogCaptureFixture, **options: Any
) -> Any:
    transformers.logging.enable_propagation()
    try:
        with warnings.catch_warnings(), caplog.at_level("WARNING"):
            warnings.simplefilter("error")
            model, report = getattr(transformers, architecture).from_pretrained(
                folder, output_loading_info=True, attn_implementation="eager", **options
            )
    finally:
        transformers.logging.disable_propagation()
    assert not caplog.records
    assert not any(report.values()), report
    return model.eval()


def test_the_check_sees_a_part_that_is_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    random_model(BertForMaskedLM).save_pretrained(tmp_path)
    with pytest.raises(AssertionError):
        loaded_without_a_warning("BertModel", tmp_path, caplog)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"lowercase": False},
        {"lowercase": True, "strip_accents": False, "handle_chinese_chars": False},
    ],
)
def test_the_tokenizer_is_the_same_in_transformers(
    settings: dict[str, bool], tmp_path: Path
) -> None:
    write_vocabulary(tmp_path)
    tokenizer = load_tokenizer(tmp_path / "vocab.txt", **settings)
    check_tokenizer(tokenizer, tmp_path / "model", "BertTokenizer")
    assert (tmp_path / "model" / "vocab.txt").read_text() == (tmp_path / "vocab.txt").read_text()


def test_a_tokenizer_that_is_not_berts_keeps_its_ways(tmp_path: Path) -> None:
    write_vocabulary(tmp_path)
    tokenizer = load_tokenizer(tmp_path / "vocab.txt")
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    check_tokenizer(tokenizer, tmp_path / "model", "TokenizersBackend")


def check_tokenizer(tokenizer: Tokenizer, folder: Path, class_name: str) -> None:
    assert isinstance(tokenizer.model, WordPiece)
    model = random_pretrained(tokenizer, folder)
    folder.mkdir()
    save_transformers(model, folder)
    theirs = AutoTokenizer.from_pretrained(folder)
    assert type(theirs).__name__ == class_name
    assert theirs.model_max_length == 16 and theirs.pad_token_id == 0
    for text in TEXTS:
        for pair in (None, "the sea"):
            encoding, their = tokenizer.encode(text, pair), theirs(text, pair)
            assert their["input_ids"] == encoding.ids, text
            assert their["token_type_ids"] == encoding.type_ids, text


def random_pretrained(tokenizer: Tokenizer, folder: Path) -> Pretrained:
    source = folder.with_name("source")
    random_model(BertForPreTraining).save_pretrained(source)
    tokenizer.save(str(source / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"}  # the file is taken as it is
    (source / "tokenizer_config.json").write_text(json.dumps(settings))
    return load_transformers(source)


def test_a_head_that_transformers_has_not_is_left_out_and_named(tmp_path: Path) -> None:
    write_vocabulary(tmp_path)
    model = random_pretrained(load_tokenizer(tmp_path / "vocab.txt"), tmp_path / "a")
    model.weights["mine.dense.weight"] = torch.zeros(2)
    left_out = save_transformers(model, tmp_path)
    assert left_out == ["masked_lm_head", "mine", "next_sentence_head"]
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["BertModel"]


@pytest.mark.parametrize("model_class", [BertForTokenClassification, BertForSequenceClassification])
@pytest.mark.parametrize(
    "settings",
    [
        {"id2label": {0: "O", 1: "B-é", 2: "I-é"}},
        {"num_labels": 1},
        {"num_labels": 3, "problem_type": "multi_label_classification"},
    ],
)
def test_labels_and_what_they_are_for_are_kept(
    settings: dict[str, Any], model_class: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    bert = random_model(model_class, **settings)
    bert.save_pretrained(tmp_path / "before")
    before = load_transformers(tmp_path / "before")
    save_transformers(before, tmp_path / "after")
    after = load_transformers(tmp_path / "after")
    assert (after.label_names, after.problem_type) == (before.label_names, before.problem_type)
    config = loaded_without_a_warning(model_class.__name__, tmp_path / "after", caplog).config
    assert config.id2label == bert.config.id2label
    assert config.label2id == {name: i for i, name in bert.config.id2label.items()}
    if model_class is BertForSequenceClassification:
        one = "regression" if config.num_labels == 1 else None
        assert config.problem_type == settings.get("problem_type", one)


def test_a_tagger_of_answers_is_exported_as_an_encoder_without_pooler(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours = make_model(["answer_tagging_head"], tiny_config(vocab_size=60)).eval()
    model = Pretrained(tmp_path, ours.encoder.config, ours.state_dict(), None)
    assert save_transformers(model, tmp_path) == ["answer_tagging_head"]
    call = "BertModel.from_pretrained(folder, add_pooling_layer=False)"
    assert loading_call(model) == call
    bert = loaded_without_a_warning("BertModel", tmp_path, caplog, add_pooling_layer=False)
    given = inputs()
    expected = ours.encoder(**given).sequence_output
    mask = given["attention_mask"].bool()
    hidden = bert(**given).last_hidden_state
    torch.testing.assert_close(hidden[mask], expected[mask], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "model_class", [BertModel, BertForTokenClassification, BertForMultipleChoice]
)
def test_other_models_are_loaded_by_their_class_alone(model_class: Any, tmp_path: Path) -> None:
    random_model(model_class).save_pretrained(tmp_path)
    call = loading_call(load_transformers(tmp_path))
    assert call == f"{model_class.__name__}.from_pretrained(folder)"


def test_safetensors_keep_our_names(tmp_path: Path) -> None:
    write_vocabulary(tmp_path)
    model = random_pretrained(load_tokenizer(tmp_path / "vocab.txt"), tmp_path / "a")
    save_safetensors(model, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    torch.testing.assert_close(weights, model.weights, rtol=0, atol=0)
    config = json.loads((tmp_path / "encoder.json").read_text())
    encoder = Encoder(model.encoder.model_validate(config))
    encoder.load_state_dict(
        {
            name.removeprefix("encoder."): tensor
            for name, tensor in weights.items()
            if name.startswith("encoder.")
        }
    )
    vocabulary = Tokenizer.from_file(str(tmp_path / "tokenizer.json")).get_vocab()
    assert vocabulary == {word: i for i, word in enumerate(WORDS)}


def test_a_card_tells_data_steps_metrics_and_configuration(tmp_path: Path) -> None:
    config = {
        "name": "first",
        "global_batch_size": 64,
        "data": {"_target_": "a.B", "path": "data/mine", "seed": 0},
    }
    card = model_card(
        "BertForPreTraining", "transformers", 1200, config, "abc", {"validation/loss": 2.5}, "1.0"
    )
    card.save(tmp_path / "README.md")
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.library_name == "transformers" and card.data.pipeline_tag == "fill-mask"
    for part in (
        "# first",
        "1,200 steps of 64 samples",
        "- path: `data/mine`",
        "`abc`",
        "| validation/loss | 2.5000 |",
        "  path: data/mine",
    ):
        assert part in card.text


def test_a_card_tells_the_sources_of_a_mixture() -> None:
    data = {
        "_target_": "a.B",
        "path": {"news": {"path": "data/news", "weight": 3}, "<b>": "x"},
        "phases": [{"ratio": 1, "global_batch_size": 8}],
    }
    config = {"name": "first", "global_batch_size": 64, "data": data}
    text = model_card("BertModel", "transformers", 1200, config, None, {}, "1.0").text
    assert "- path.news: `data/news`" in text and "- path.&#60;b&#62;: `x`" in text
    # The batch is not the same in all phases.
    assert "in 1,200 steps." in text


@pytest.mark.parametrize(
    ("architecture", "pipeline"),
    [
        ("BertForTokenClassification", "token-classification"),
        ("BertForQuestionAnswering", "question-answering"),
        ("BertForMultipleChoice", "multiple-choice"),
        ("BertForSequenceClassification", "text-classification"),
    ],
)
def test_a_card_names_the_pipeline(architecture: str, pipeline: str) -> None:
    config = {"name": "first", "global_batch_size": 64, "data": {}}
    card = model_card(architecture, "transformers", 1, config, None, {}, "1.0")
    assert card.data.pipeline_tag == pipeline
