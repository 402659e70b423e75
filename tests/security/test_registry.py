"""A property: no configuration in a checkpoint leads to a call outside the registry."""

import contextlib
import dataclasses
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clozekit.config.registry import DATA, TASKS
from clozekit.config.stored import classes
from clozekit.errors import ConfigError, UserError
from clozekit.inference.load_predictor import make_predictor
from clozekit.runs.checkpoint_file import Checkpoint, load_checkpoint
from clozekit.runs.load_pretrained import from_checkpoint
from tests.security.strangers import (
    write_checkpoint,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return load_checkpoint(write_checkpoint(tmp_path_factory.mktemp("whole") / "a.ckpt"))


NAMES = st.sampled_from(
    [
        *TASKS,
        *DATA,
        "clozekit.models.encoder.Encoder",
        "os.system",
        "sympy.sympify",
        "builtins.eval",
        "subprocess.Popen",
        "torch.hub.load",
        "hydra.utils.get_method",
        "hydra.utils.instantiate",
        "clozekit.config.composition.build.build",
        "clozekit.models.encoder_class.import_module",
        "${oc.env:HOME}",
        "evilmod.X",
    ]
)
KEYS = st.sampled_from(
    ["_target_", "_args_", "_partial_", "_recursive_", "_convert_", "a", "path", "class_weights"]
)
VALUES = st.recursive(
    st.one_of(NAMES, st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(KEYS, inner, max_size=3),
        st.fixed_dictionaries({"_target_": NAMES}, optional={"a": inner, "_args_": inner}),
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    values=st.dictionaries(
        st.tuples(
            st.sampled_from(["task", "data", "encoder", "callbacks"]),
            st.one_of(KEYS, st.sampled_from(["classifier_dropout", "text_column", "hidden_act"])),
        ),
        VALUES,
        min_size=1,
        max_size=3,
    ),
    arguments=st.dictionaries(
        st.sampled_from(["multi_label", "x", "_target_"]), VALUES, max_size=1
    ),
)
def test_no_drawn_configuration_leads_outside_the_registry(
    whole: Checkpoint,
    values: dict[tuple[str, str], Any],
    arguments: dict[str, Any],
) -> None:
    config: dict[str, Any] = {
        key: dict(group) if isinstance(group, dict) else group
        for key, group in whole.config.items()
    }
    for (group, key), value in values.items():
        config.setdefault(group, {})[key] = value
    drawn = dataclasses.replace(
        whole, config=config, task_arguments=whole.task_arguments | arguments
    )
    allowed = {name.rpartition(".")[0] for name in (*TASKS, *DATA)}
    imported: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        real = classes.import_module

        def watched(name: str) -> Any:
            imported.append(name)
            return real(name)

        def forbidden(*arguments: Any, **options: Any) -> None:
            raise AssertionError("Hydra was asked to instantiate something")

        patch.setattr(classes, "import_module", watched)
        patch.setattr("hydra.utils.instantiate", forbidden)
        patch.setattr("hydra._internal.instantiate._instantiate2.instantiate", forbidden)
        patch.setattr("hydra._internal.utils._locate", forbidden)
        with contextlib.suppress(UserError):
            make_predictor(from_checkpoint(drawn))
    assert set(imported) <= allowed


def test_the_property_would_notice_an_import(whole: Checkpoint, own: str) -> None:
    config = {**whole.config, "task": {"_target_": "own_classes.OwnTask"}}
    drawn = dataclasses.replace(whole, config=config)
    with pytest.raises(ConfigError, match=r"trusted_modules=\[own_classes\]"):
        make_predictor(from_checkpoint(drawn))
    assert own not in sys.modules
    make_predictor(from_checkpoint(drawn, [own]))
    assert own in sys.modules
