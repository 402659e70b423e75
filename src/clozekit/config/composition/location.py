"""The location of the configuration files."""

import os
from pathlib import Path


def conf_dir() -> Path:
    """Returns the folder `conf/`: the checkout's for an editable install, otherwise the package's.

    The checkout comes first because an editable install may also contain a copy, which is stale.
    """
    package = Path(__file__).resolve().parents[2]
    checkout = package.parents[1] / "conf"
    return checkout if (checkout / "train.yaml").is_file() else package / "conf"


def user_conf_dir() -> Path | None:
    """Returns the user's folder with `local/default.yaml`, if any.

    It is `clozekit` in the user's configuration folder, because users should not edit the `conf/`
    of an installed package.
    """
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "clozekit"
    return folder if (folder / "local" / "default.yaml").is_file() else None
