"""`clozekit inspect`: what the model gets of the data of a run."""

from clozekit.config.inspect import InspectConfig
from clozekit.files import write_text
from clozekit.inspection.html_page import inspection_page
from clozekit.inspection.inspecting import inspection_of
from clozekit.inspection.shown import Inspection
from clozekit.inspection.terminal import print_inspection
from clozekit.output.display import say
from clozekit.runs.load_pretrained import load_pretrained
from clozekit.training.assembly import make_datamodule


def inspect(config: InspectConfig) -> Inspection:
    """Prints what the model gets of the data, or writes it as a page.

    The data are read by the DataModule of the run, so that what is shown is what training reads.

    Returns:
        What was shown.

    Raises:
        UserError: The configuration or the data cannot be used.
    """
    config.check_out()
    pretrained = None
    if config.encoder.pretrained is not None:
        pretrained = load_pretrained(
            config.encoder.pretrained, config.trusted_modules, needs_task_head=False
        )
    datamodule = make_datamodule(config, pretrained)
    datamodule.check_samples()
    inspection = inspection_of(datamodule, _title(config), config.split, config.examples)
    if config.out is None:
        print_inspection(inspection)
    else:
        config.out.parent.mkdir(parents=True, exist_ok=True)
        write_text(config.out, inspection_page(inspection))
        say(f"wrote {config.out}")
    return inspection


def _title(config: InspectConfig) -> str:
    """Names the data: the corpus or corpora, or the file of training rows."""
    arguments = config.data.model_extra or {}
    path, train = arguments.get("path"), arguments.get("train")
    if isinstance(path, dict):
        return f"Mixture of {', '.join(map(str, path))}"
    return " ".join(str(each) for each in (path, train) if each is not None) or config.data.target
