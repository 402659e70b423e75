"""The commands of docs/cluster.md mean what the guide says (tests/docs: that they are valid)."""

from hydra import compose, initialize_config_dir

from clozekit.config.composition.location import conf_dir
from clozekit.config.composition.overrides import as_overrides
from clozekit.config.prepare import PrepareConfig
from tests.docs.composing import first_value
from tests.docs.pages import ROOT, commands_in
from tests.programs.commands import compose_values

COMMANDS = commands_in((ROOT / "docs" / "cluster.md").read_text(encoding="utf-8"))


def test_preparations_run_on_the_engines_of_the_guide() -> None:
    found = [rest for verb, *rest in COMMANDS if verb == "prepare"]
    values = [compose_values("prepare", *as_overrides("prepare", rest)) for rest in found]
    engines = [PrepareConfig.model_validate(each).executor.engine for each in values]
    assert engines == ["slurm", "slurm", "ray", "ray"]


def test_the_sweep_is_submitted() -> None:
    (sweep,) = [rest[1:] for verb, *rest in COMMANDS if verb == "train"]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        composed = compose("train", [first_value(each) for each in sweep], return_hydra_config=True)
    launcher = composed.hydra.launcher
    assert launcher._target_.endswith("SubmititLauncher")
    assert (launcher.timeout_min, launcher.parameters.slurm_partition) == (240, "gpu")
