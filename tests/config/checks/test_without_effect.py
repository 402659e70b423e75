"""Keys of the command line that do nothing are refused."""

from pathlib import Path

import pytest

from clozekit.config.checks.key_conflicts import check_key_conflicts
from clozekit.config.checks.without_effect import check_effects
from clozekit.config.composition.overrides import as_overrides
from clozekit.errors import ConfigError
from tests.programs.commands import train_config

RUN = ("name=mine", "data.path=a", "max_steps=20")
FINE = (
    *("name=mine", "task=classification", "data=classification", "data.train=a.csv"),
    *("data.tokenizer=b", "max_steps=20"),
)
LOADED = (*FINE, "encoder.pretrained=runs/first")
SPANS = "data.validation_masking.span_mask"

USELESS = {
    "a last rate that never comes": (
        (*RUN, "schedule=constant", "schedule.min_lr_ratio=0.5"),
        "schedule.min_lr_ratio=0.5 has no effect with schedule.decay=constant",
    ),
    "two lengths of the decay": (
        (*RUN, "schedule=wsd", "schedule.decay_steps=5", "schedule.decay_ratio=0.3"),
        "schedule.decay_ratio=0.3 has no effect with schedule.decay_steps=5; give one of the two",
    ),
    "two lengths of the warmup": (
        (*RUN, "schedule.warmup_ratio=0.3", "schedule.warmup_steps=5"),
        "schedule.warmup_ratio=0.3 has no effect with schedule.warmup_steps=5; give one of the two",
    ),
    "spans that are not masked": (
        (*RUN, "data.span_geometric_p=0.3"),
        "data.span_geometric_p=0.3 has no effect with data.span_mask=false",
    ),
    "spans that only validation has": (
        (*RUN, f"{SPANS}=true", "data.max_span_length=3"),
        "data.max_span_length=3 has no effect with data.span_mask=false",
    ),
    "spans that validation has not": (
        (*RUN, "data.span_mask=true", "data.validation_masking.max_span_length=3"),
        f"data.validation_masking.max_span_length=3 has no effect with {SPANS}=false",
    ),
    "a comparison after the end": (
        (*RUN, "callbacks.unigram_baseline.after_n_steps=21"),
        "callbacks.unigram_baseline.after_n_steps=21 has no effect with max_steps=20, which is "
        "less",
    ),
    "rates of a frozen encoder": (
        (*LOADED, "fine_tuning.freeze_encoder=true", "fine_tuning.layerwise_lr_decay=0.9"),
        "fine_tuning.layerwise_lr_decay=0.9 has no effect with fine_tuning.freeze_encoder=true",
    ),
    "a frozen block that begins anew": (
        (*LOADED, "fine_tuning.freeze_encoder=true", "fine_tuning.reinit_layers=1"),
        "fine_tuning.reinit_layers=1 with fine_tuning.freeze_encoder=true would leave random "
        "weights untrained",
    ),
    "a frozen random encoder": (
        (*FINE, "fine_tuning.freeze_encoder=true"),
        "fine_tuning.freeze_encoder=true would keep the random weights of an encoder without "
        "encoder.pretrained; set encoder.pretrained, or fine_tuning.freeze_encoder=false",
    ),
    "how to compile what is not compiled": (
        (*RUN, "compile.mode=max-autotune"),
        "compile.mode=max-autotune has no effect with compile.enabled=false; set compile=default",
    ),
    "shapes of what is not compiled": (
        (*RUN, "compile.pad_tokens_to=64"),
        "compile.pad_tokens_to=64 has no effect with compile.enabled=false; set compile=default",
    ),
    "rollbacks that never happen": (
        (*RUN, "divergence.max_rollbacks=1"),
        "divergence.max_rollbacks=1 has no effect with divergence.action=stop",
    ),
    "a progress bar that is left out": (
        (*RUN, "++trainer.enable_progress_bar=true", "callbacks.progress=null"),
        "trainer.enable_progress_bar=true has no effect without a progress bar; add progress to "
        "callbacks",
    ),
    "loaders of the next epoch": (
        (*RUN, "++trainer.reload_dataloaders_every_n_epochs=1"),
        "trainer.reload_dataloaders_every_n_epochs=1 has no effect with "
        "trainer.limit_train_batches=null, with which Lightning sees the whole run as one epoch",
    ),
    "a part of no test split": (
        (*FINE, "++trainer.limit_test_batches=2"),
        "trainer.limit_test_batches=2 has no effect with data.test=null",
    ),
    "batches ahead without workers": (
        (*RUN, "trainer=cpu", "data.prefetch_factor=4"),
        "data.prefetch_factor=4 has no effect with data.num_workers=null, which means 0 on the "
        "CPU; set data.num_workers",
    ),
    "the best checkpoints by no metric": (
        (*RUN, "callbacks.checkpoints.save_top_k=3", "callbacks.checkpoints.monitor=null"),
        "callbacks.checkpoints.save_top_k=3 has no effect with callbacks.checkpoints.monitor=null",
    ),
    "rotations of positions that are vectors": (
        (*RUN, "encoder.global_rope_theta=500"),
        "encoder.global_rope_theta=500.0 has no effect with "
        "encoder.position_embedding_type=absolute",
    ),
    "rotations of layers that there are not": (
        (*RUN, "encoder.position_embedding_type=rotary", "encoder.local_rope_theta=500"),
        "encoder.local_rope_theta=500.0 has no effect with encoder.local_attention=null",
    ),
    "a random pooler that begins anew": (
        (*FINE, "fine_tuning.reinit_pooler=true"),
        "fine_tuning.reinit_pooler=true has no effect with encoder.pretrained=null, without which "
        "all weights are random",
    ),
}

USEFUL = [
    (*RUN, "schedule=wsd", "schedule.decay_steps=5"),
    (*RUN, "schedule=wsd", "schedule.warmup_steps=5"),
    (*RUN, "experiment=two_phases", "schedule.warmup_ratio=0.1"),
    (*RUN, "schedule.min_lr_ratio=0.5"),
    (*RUN, "schedule=constant", "schedule.min_lr_ratio=0"),
    (*RUN, "data.span_mask=true", "data.span_geometric_p=0.3"),
    (*RUN, "callbacks.unigram_baseline.after_n_steps=20"),
    (*LOADED, "fine_tuning.freeze_encoder=true", "fine_tuning.layerwise_lr_decay=1"),
    (*LOADED, "fine_tuning.reinit_layers=1", "fine_tuning.reinit_pooler=true"),
    (*RUN, "compile=default", "compile.pad_tokens_to=64"),
    (*RUN, "compile.fullgraph=false"),
    (*RUN, "divergence.action=rollback", "divergence.max_rollbacks=1"),
    (*RUN, "++trainer.enable_progress_bar=true"),
    (
        *(*RUN, "++trainer.enable_progress_bar=true", "callbacks.progress=null"),
        "+callbacks.mine={_target_: my.Bar}",
    ),
    (*RUN, "++trainer.reload_dataloaders_every_n_epochs=1", "trainer.limit_train_batches=2"),
    (*FINE, "++trainer.limit_test_batches=2", "data.test=a.csv"),
    (*FINE, "++trainer.limit_test_batches=0"),
    (*RUN, "trainer=cpu", "data.prefetch_factor=4", "data.num_workers=2"),
    (*RUN, "callbacks.checkpoints.save_top_k=3"),
    (*RUN, "encoder=modern_tiny", "encoder.global_rope_theta=500", "encoder.local_rope_theta=9"),
    (*RUN, "schedule.min_lr_ratio=0.5", "debug=overfit"),
    (*RUN, "from_run=runs/a", "schedule=wsd", "schedule.decay_steps=5", "schedule.decay_ratio=0.3"),
]


@pytest.mark.parametrize("mistake", USELESS)
def test_a_given_key_that_does_nothing_is_refused(mistake: str) -> None:
    given, message = USELESS[mistake]
    with pytest.raises(ConfigError) as caught:
        check_effects(train_config(*given), given)
    assert str(caught.value) == message


@pytest.mark.parametrize("given", USEFUL)
def test_what_does_something_or_is_not_given_is_kept(given: tuple[str, ...]) -> None:
    check_effects(train_config(*given), given)


def test_a_run_that_is_continued_keeps_its_keys(tmp_path: Path) -> None:
    given = (*RUN, f"runs_dir={tmp_path}", "data.span_geometric_p=0.3", "resume=auto")
    config = train_config(*given)
    with pytest.raises(ConfigError):
        check_effects(config, given)
    config.run_dir.mkdir()
    (config.run_dir / "config.yaml").touch()
    check_effects(config, given)


def test_in_a_sweep_a_key_may_be_useless_in_some_jobs() -> None:
    given = (*RUN, "data.span_mask=false", "data.span_geometric_p=0.3")
    config = train_config(*given)
    check_effects(config, given, ["data.span_mask"])
    check_effects(config, given, ["experiment"])
    with pytest.raises(ConfigError):
        check_effects(config, given, ["data.span_geometric_p"])


def test_two_objectives_exclude_each_other() -> None:
    given = ("objective=next_sentence", "data.pair_objective=sentence_order")
    with pytest.raises(ConfigError, match=f"{given[0]} and {given[1]} exclude each other"):
        check_key_conflicts(as_overrides("train", given))
    check_key_conflicts(as_overrides("train", [given[0], "data.pair_objective=next_sentence"]))
    check_key_conflicts(as_overrides("train", ["objective=null", given[1]]))


@pytest.mark.parametrize("other", ["task=masked_lm", "data=masked_lm", "data=classification"])
def test_an_objective_has_its_own_task_and_data(other: str) -> None:
    objective = "objective=sentence_order"
    with pytest.raises(
        ConfigError, match=f"{objective} and {other} exclude each other; {objective}"
    ):
        check_key_conflicts([objective, other])
    check_key_conflicts([objective, "task=pretraining", "data=pretraining"])
    check_key_conflicts(["objective=my_own", other])


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("data.path={a: {path: data/a}, a: {path: data/b}}", "a"),
        ("data.path={a: {path: x, path: y}}", "path"),
        ("task.class_weights={b: 1, b: 2}", "b"),
        ("data.phases=[{ratio: 0.5, ratio: 0.4}, {ratio: 0.5}]", "ratio"),
    ],
)
def test_a_name_that_is_twice_in_a_mapping_is_refused(given: str, name: str) -> None:
    with pytest.raises(ConfigError, match=f"the name {name} is given twice"):
        check_key_conflicts(as_overrides("train", [given]))


@pytest.mark.parametrize(
    "given", ["data.path={a: {path: x}, b: {path: y}}", "data.phases=[{ratio: 1}, {ratio: 1}]"]
)
def test_a_name_may_be_in_several_mappings(given: str) -> None:
    check_key_conflicts(as_overrides("train", [given]))
