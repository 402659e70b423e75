"""Runs on a corpus in a store, and runs that are copied to one; see `test_stores`."""

import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from clozekit.corpus.manifest import Corpus
from clozekit.data.order import shard_order
from clozekit.storage import remote_files
from tests.harness import cases
from tests.harness.comparing import differences
from tests.harness.killing import Moment
from tests.harness.s3 import s3_server, some_fail
from tests.harness.shelf import URL, Shelf, shelf
from tests.programs.forked import ONE, TWO_RANKS, Lab, main, without_onednn

STEPS = 36
LONG = (f"max_steps={STEPS}", "validate_every_n_steps=16", "callbacks.checkpoints.every_n_steps=6")


class StoreLab(Lab):
    """A corpus of twelve shards, each of a few steps, and local runs on it.

    Attributes:
        largest: The size of the largest shard.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        cases.write_data(self.data)
        draw = random.Random(1)
        (self.data / "corpus.txt").write_text("\n\n".join(_document(draw) for _ in range(170)))
        overrides = [
            override
            for override in cases.prepare_overrides(self.data)
            if not override.startswith(("shard_tokens", "validation_fraction"))
        ]
        self.prepare(*overrides, "shard_tokens=700", "validation_fraction=0.1")
        corpus = Corpus.open(self.data / "corpus")
        shards = [*corpus.shards("train"), *corpus.shards("validation")]
        self.largest = max(shard.stat().st_size for shard in shards)
        self.num_train = len(corpus.shards("train"))
        self.num_shards = len(shards)

    def stored(self, url: str, name: str, shards: float = 4, ahead: int = 1) -> list[str]:
        """The overrides of a run on the store's corpus, with a cache of its own."""
        return [
            f"data.path={url}/corpus",
            f"data.cache.dir={self.folder / name / 'cache'}",
            f"data.cache.limit={int(shards * self.largest)}",
            f"data.cache.ahead={ahead}",
            *LONG,
        ]

    def upload(self, url: str) -> None:
        for path in sorted((self.data / "corpus").iterdir()):
            remote_files.upload(path, f"{url}/corpus/{path.name}")

    def order(self, epoch: int) -> list[str]:
        numbers = shard_order(self.num_train, cases.SEED, epoch)
        return [f"train-{number:05d}.arrow" for number in numbers]

    def cached(self, name: str) -> dict[str, Any]:
        files = list((self.folder / name / "cache").iterdir())
        return {
            "bytes": sum(path.stat().st_size for path in files if path.suffix == ".arrow"),
            "parts": [path.name for path in files if path.suffix == ".part"],
        }


def _document(draw: random.Random) -> str:
    words = [word for topic in cases.TOPICS.values() for word in topic.split()]
    sentences = (" ".join(draw.choices(words, k=draw.randint(4, 9))) for _ in range(6))
    return "\n".join(f"the {sentence} ." for sentence in sentences)


def on_s3(lab: StoreLab) -> dict[str, Any]:
    """Two ranks with two workers each, by real requests, of which some fail."""
    case = replace(TWO_RANKS, workers=2)
    with s3_server() as server:
        url = server.make_bucket("bucket")
        lab.upload(url)
        server.calm_down()
        server.fault = some_fail(5)
        codes = lab.run("s3", case, *lab.stored(url, "s3"))
        return {
            "codes": codes,
            "log": lab.log("s3").read_text(),
            "differences": differences(lab.folder / "s3", lab.folder / "local2"),
            "fetched": [
                Path(path).name
                for path in server.fetched()
                if path.endswith(".arrow") and "train" in path
            ],
            "order": [lab.order(epoch) for epoch in (0, 1)],
            "cache": lab.cached("s3"),
        }


def killed(lab: StoreLab) -> dict[str, Any]:
    """Begun on the folder, continued on the store, then on a machine with an empty cache.

    It is killed each time, and requests fail.
    """
    overrides = lab.stored(URL, "killed")
    first, second = Moment("batch begins", 9), Moment("batch begins", 25)
    with shelf(lab.folder / "shelf", errors=5, flipped="train", num_flipped=1):
        codes = lab.run("killed", ONE, *LONG, *first.overrides())
        codes += lab.run("killed", ONE, *overrides, *second.overrides())
        shutil.rmtree(lab.folder / "killed" / "cache")
        (Shelf.root / "requests").unlink()
        resumed = lab.run("killed", ONE, *overrides)
        fetched = Shelf.requests("get")
    return {
        "killed": codes,
        "resumed": resumed,
        "log": lab.log("killed").read_text(),
        "differences": differences(lab.folder / "killed", lab.folder / "local1"),
        "fetched": [Path(name).name for name in fetched if "train" in name],
        "order": [lab.order(epoch) for epoch in (0, 1)],
    }


def mirrored(lab: StoreLab) -> dict[str, Any]:
    """Killed, then resumed by two processes on a machine that has only the mirror."""
    mirror = f"callbacks.checkpoints.mirror={URL}/runs/first"
    moment = Moment("batch begins", 22)
    with shelf(lab.folder / "shelf", errors=5):
        codes = lab.run("mirrored", TWO_RANKS, *LONG, mirror, *moment.overrides())
        folder = lab.folder / "mirrored" / "run"
        shutil.rmtree(folder)
        resumed = lab.run("mirrored", TWO_RANKS, *LONG, mirror)
        return {
            "killed": -9 in codes,
            "resumed": resumed,
            "log": lab.log("mirrored").read_text(),
            "differences": differences(lab.folder / "mirrored", lab.folder / "local2"),
            "beside": sorted(path.name for path in folder.parent.iterdir() if path != folder),
        }


def scenarios(given: Lab) -> dict[str, Any]:
    without_onednn()
    lab = StoreLab(given.folder / "stored")
    lab.run("local1", ONE, *LONG)
    lab.run("local2", TWO_RANKS, *LONG)
    results: dict[str, Any] = {"num_shards": lab.num_shards, "largest": lab.largest}
    with shelf(lab.folder / "shelf"):
        lab.upload(URL)
    for scenario in (killed, mirrored, on_s3):
        results[scenario.__name__] = scenario(lab)
    return results


if __name__ == "__main__":
    main(scenarios)
