"""Runs `prepare` in a process of its own, which may kill itself and writes down what it did.

Arguments: the configuration, the size of a partition, a stage and the number of the task of it that
is killed (none for no kill), and the file to write the done tasks' numbers to.
"""

import functools
import json
import os
import signal
import sys
from pathlib import Path

from clozekit.config.prepare import PrepareConfig
from clozekit.corpus import pipeline
from clozekit.corpus.work_folder import Work
from clozekit.prepare import prepare


def main() -> None:
    configuration, size, stage, victim, log = sys.argv[1:]
    pipeline.PARTITION_BYTES = int(size)
    task, main_process = getattr(pipeline, stage), os.getpid()

    @functools.wraps(task)
    def watched(work: Work, number: int) -> None:
        if str(number) == victim:
            os.kill(main_process, signal.SIGKILL)
            os._exit(1)
        task(work, number)
        with Path(log).open("a") as file:
            file.write(f"{number}\n")

    setattr(pipeline, stage, watched)
    prepare(PrepareConfig.model_validate(json.loads(configuration)))


if __name__ == "__main__":
    main()
