"""A headless browser, if the machine has one, that opens a page and says what came of it."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = (
    *("chromium-headless-shell", "chromium", "chromium-browser"),
    *("google-chrome", "google-chrome-stable", "chrome"),
)
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *(
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--no-default-browser-check",
    ),
    # Fonts and sizes are the same everywhere.
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--virtual-time-budget=2000"),
)


def browser() -> str | None:
    """Returns the path of a browser."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


@dataclass(frozen=True)
class Opened:
    """What came of a page.

    Attributes:
        document: The document after its scripts, if any, have run.
        requests: The addresses of the network that were asked for.
    """

    document: str
    requests: list[str]


def opened(page: Path, folder: Path) -> Opened:
    """Opens a page.

    Args:
        page: The page.
        folder: An empty folder for what the browser keeps.
    """
    program = browser()
    assert program is not None
    log = folder / "network.json"
    finished = subprocess.run(
        [
            *(program, *OPTIONS, f"--user-data-dir={folder / 'profile'}"),
            *(f"--log-net-log={log}", "--dump-dom", page.resolve().as_uri()),
        ],
        capture_output=True,
        timeout=120,
        check=True,
    )
    return Opened(finished.stdout.decode("utf-8"), _requests(log))


def _requests(log: Path) -> list[str]:
    """Returns the addresses in a log of the network that are not of files of this machine."""
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    found = {
        str(event["params"].get("url")) for event in events if "url" in event.get("params", {})
    }
    return sorted(
        url for url in found if not url.startswith(("file:", "data:", "chrome:", "about:"))
    )
