"""Hides libraries that only tests need from the commands that they start.

Python imports this module when a process starts. torchmetrics imports these libraries if it finds
them, which takes almost half of the time to start a command. Users need not have them.
"""

import sys

for name in ("scipy", "transformers"):
    sys.modules[name] = None  # type: ignore[assignment]
