"""Where the configuration tree lies."""

from pathlib import Path


def conf_dir() -> Path:
    """Gives the folder `conf/`: the checkout's where the package runs from one, else the wheel's.

    An editable install may hold a copy of the tree too, made when it was installed and stale since.
    """
    package = Path(__file__).resolve().parents[1]
    checkout = package.parents[1] / "conf"
    return checkout if (checkout / "train.yaml").is_file() else package / "conf"
