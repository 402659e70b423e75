"""An unfinished preparation goes on only with the same input files."""

import os
import time
from pathlib import Path

from clozekit.corpus.sources.source_files import signature_of


def test_a_file_that_is_written_again_is_another_whatever_its_time(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text("one\n")
    before, times = signature_of(file), (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    time.sleep(0.05)  # more than the resolution of the file system's clock
    file.write_text("two\n")
    os.utime(file, ns=times)
    assert signature_of(file) != before
    assert signature_of(file) == signature_of(file)
