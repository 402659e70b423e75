"""What the groups of `train` make."""

import inspect
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import Strategy

from clozekit.config.callbacks import metrics_of_callbacks
from clozekit.config.checks.components import check_components
from clozekit.config.composition.build import build
from clozekit.config.data import LabelledDataConfig
from clozekit.config.reading import Reading
from clozekit.config.train import TrainConfig
from clozekit.data.module import StreamDataModule
from clozekit.models.encoder import Encoder
from clozekit.optim.schedules import learning_rate_factor
from clozekit.tasks.base import TaskModule
from clozekit.tasks.fine_tuning import FineTuningModule
from clozekit.training.callbacks import make_callbacks, monitors_of
from clozekit.training.monitoring import check_monitors
from tests.config.given import OF_A_CORPUS, TASKS, Given, data_choice, read
from tests.config.hub_folders import READY, hub_name
from tests.programs.commands import compose_values, train_config
from tests.programs.task_files import write_task

PARAMETER = torch.nn.Parameter(torch.zeros(2, 2))


def check_train(name: str, given: Given) -> None:
    assert name == "train"
    check_task_and_data(given.train())


def check_encoder(name: str, given: Given) -> None:
    config = given.train(f"encoder={name}").encoder.model_copy(update={"vocab_size": 100})
    with torch.device("meta"):
        encoder = Encoder(config)
    num_layers, width = len(encoder.blocks), encoder.embeddings.token_embeddings.embedding_dim
    assert (num_layers, width) == (config.num_hidden_layers, config.hidden_size)


def check_task(name: str, given: Given) -> None:
    check_task_and_data(given.train(data=name))


def check_data(name: str, given: Given) -> None:
    if name == "labelled":
        check_what_the_data_of_fine_tuning_shares()
    else:
        check_task_and_data(given.train(data=name))


def check_what_the_data_of_fine_tuning_shares() -> None:
    fields = LabelledDataConfig.model_fields | Reading.model_fields
    values = read("data/labelled.yaml")
    assert values.keys() == fields.keys(), "the file says every key"
    for key, field in fields.items():
        assert field.is_required() or values[key] == field.get_default(), key
    for name in TASKS:
        if name not in OF_A_CORPUS:
            parent, own = read(f"data/{name}.yaml")["defaults"]
            assert own == "_self_", name
            # The data of a task may be like those of another one.
            assert parent == "labelled" or parent in TASKS, name


def check_task_and_data(config: TrainConfig) -> None:
    check_components(config)
    datamodule = build("data", config.data.arguments())
    assert isinstance(datamodule, StreamDataModule)
    batch = next(iter(datamodule.train_dataloader())).micro_batches[0]
    first_phase = (config.data.model_extra or {}).get("first_phase") or {}
    samples = first_phase.get("micro_batch_size", config.micro_batch_size)
    sequences = samples * getattr(batch, "num_choices", 1) * getattr(batch, "views", 1)
    # Sentences that are packed lie across documents, which are sequences of their own.
    is_packed = config.data.target.endswith(".MaskedLMDataModule")
    assert batch.batch_size > sequences if is_packed else batch.batch_size == sequences
    assert next(iter(datamodule.val_dataloader())).batch.batch_size > 0
    module = build(
        "task",
        config.task.arguments(),
        encoder=config.encoder.model_copy(update={"vocab_size": datamodule.vocab_size}),
        optimizer=partial(build, "optimizer", config.optimizer.arguments()),
        schedule=config.schedule,
        max_steps=10,
        weight_decay=0.0,
        log_every_n_steps=10,
        **datamodule.task_arguments(),
    )
    assert isinstance(module, TaskModule)
    module.configure_optimizers()
    monitors = monitors_of(make_callbacks(config), module)
    check_monitors(monitors, module, metrics_of_callbacks(config))
    logits = module(batch)
    if isinstance(module, FineTuningModule):
        assert isinstance(datamodule, module.datamodule_class)
        assert torch.isfinite(module.loss_sum(logits, batch))


def check_optimizer(name: str, given: Given) -> None:
    config = given.train(f"optimizer={name}").optimizer
    optimizer = build("optimizer", config.arguments(), [PARAMETER])
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert optimizer.param_groups[0]["lr"] == config.lr


def check_schedule(name: str, given: Given) -> None:
    schedule = given.train(f"schedule={name}").schedule
    assert learning_rate_factor(schedule.num_warmup_steps(10), schedule, 10) == 1.0


def check_compile(name: str, given: Given) -> None:
    config = given.train(f"compile={name}").compile
    assert config.enabled == (name != "off")
    assert config.uses_cuda_graphs == (name == "reduce_overhead")
    options = config.model_dump(exclude={"enabled", "pad_tokens_to"})
    torch.compile(torch.nn.Linear(1, 1), **options)


def check_objective(name: str, given: Given) -> None:
    config = train_config("name=mine", f"objective={name}", "data.path=a", "max_steps=1")
    assert config.task.target.rpartition(".")[2] == (
        "MaskedLMModule" if name == "masked_lm" else "PretrainingModule"
    )
    assert (config.data.model_extra or {}).get("pair_objective", "masked_lm") == name


def check_debug(name: str, given: Given) -> None:
    config = given.train(f"debug={name}")
    arguments = config.trainer.arguments()
    key, value = {
        "overfit": ("overfit_batches", 2),
        "fast": ("fast_dev_run", True),
        "profile": ("profiler", "simple"),
    }[name]
    assert arguments[key] == value
    trainer = build("trainer", arguments, logger=False, max_steps=config.max_steps)
    assert isinstance(trainer, Trainer)
    if name == "overfit":
        assert config.encoder.hidden_dropout_prob == 0
        assert config.encoder.attention_probs_dropout_prob == 0
    # It comes after an experiment, whose length it replaces.
    after = compose_values("train", "name=a", "experiment=glue/cola", f"debug={name}")
    assert after["max_epochs"] is None and after["max_steps"] <= 300
    check_task_and_data(config)


def check_trainer(name: str, given: Given) -> None:
    arguments = given.train(f"trainer={name}").trainer.arguments()
    if "strategy" in arguments:
        check_strategy(arguments["strategy"])
    if has_device(arguments.get("accelerator", "auto")):
        trainer = build("trainer", arguments, logger=False, max_steps=1)
        assert isinstance(trainer, Trainer)
        return
    # Without the device the Trainer cannot be made, but all that it would be made of can.
    assert arguments.pop("_target_") == "lightning.pytorch.Trainer"
    inspect.signature(Trainer).bind(**arguments)


def check_strategy(arguments: dict[str, Any]) -> None:
    """No process may wait for ever, or for a forward that another one does not compute."""
    assert isinstance(build("strategy", arguments), Strategy)
    assert arguments["broadcast_buffers"] is False
    assert arguments["timeout"] == {"_target_": "datetime.timedelta", "minutes": 10}


def has_device(accelerator: str) -> bool:
    return {
        "gpu": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }.get(accelerator, True)


def check_logger(name: str, given: Given) -> None:
    ((key, component),) = given.train(f"logger={name}").logger.items()
    assert component is not None and key == name
    assert isinstance(build(f"logger.{key}", component.arguments()), Logger)


def check_callbacks(name: str, given: Given) -> None:
    rows = write_task(given.folder, "classification", 4, seed=0) if name == "probes" else None
    files = [f"callbacks.probes.{split}={rows}" for split in ("train", "validation") if rows]
    callbacks = given.train(f"callbacks={name}", *files).callbacks
    assert callbacks
    for key, component in callbacks.items():
        assert component is not None
        assert isinstance(build(f"callbacks.{key}", component.arguments()), Callback)


def check_experiment(name: str, given: Given) -> None:
    own = ["name=mine", f"experiment={name}", f"runs_dir={given.folder}"]
    if name in READY:
        assert compose_values("train", *own)["data"]["path"] == hub_name(name)
        # The hub's data sets, but for the choices of task and data, which are the experiment's.
        own += [o for o in given.data(name) if not o.startswith(("task=", "data="))]
    else:
        plain = compose_values("train", *own, "++data.path=a", "++data.train=a")
        own += given.data(data_choice(plain["data"]["_target_"]))
    if name == "paper_modern":
        # A forward of its own encoder, of 22 layers, takes long.
        assert train_config(*own).encoder.num_hidden_layers == 22
        own.append("encoder=modern_tiny")
    config = train_config(*own)
    assert (config.max_steps or config.max_epochs or 0) > 0
    check_task_and_data(config)
    for key, component in config.callbacks.items():
        assert component is None or build(f"callbacks.{key}", component.arguments())
