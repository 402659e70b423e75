"""Runs `prepare` in a process of its own, whose tokenizing tasks wait for ever.

Arguments: the configuration and the size of a partition.
"""

import json
import sys

from clozekit.config.prepare import PrepareConfig
from clozekit.corpus import pipeline
from clozekit.prepare import prepare
from clozekit.processes.signals import exit_on_stop_signals
from tests.corpus import lost


def main() -> None:
    configuration, size = sys.argv[1:]
    pipeline.PARTITION_BYTES = int(size)
    pipeline.tokenize_group = lost.wait_for_ever
    exit_on_stop_signals()
    prepare(PrepareConfig.model_validate(json.loads(configuration)))


if __name__ == "__main__":
    main()
