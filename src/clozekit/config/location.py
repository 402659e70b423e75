"""Where the configuration tree lies."""

import os
from pathlib import Path


def conf_dir() -> Path:
    """Gives the folder `conf/`: the checkout's where the package runs from one, else the wheel's.

    An editable install may hold a copy of the tree too, made when it was installed and stale since.
    """
    package = Path(__file__).resolve().parents[1]
    checkout = package.parents[1] / "conf"
    return checkout if (checkout / "train.yaml").is_file() else package / "conf"


def user_conf_dir() -> Path | None:
    """Gives the folder in which a user keeps `local/default.yaml`, if there is one.

    It is `clozekit` in the folder of the user's configurations. An installed package's own `conf/`
    is not the user's to write in.
    """
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "clozekit"
    return folder if (folder / "local" / "default.yaml").is_file() else None
