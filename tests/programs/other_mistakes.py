"""Mistakes in the commands of the other verbs, and what is said about each."""

OTHER_VERBS = {
    "nothing to predict on": (
        ("predict", "checkpoint=runs/a"),
        ["set exactly one of text and input"],
    ),
    "a text as a person writes it, and a word for a number": (
        ("predict", "checkpoint=runs/a", "text=the movie was [MASK] .", "top_k=many"),
        ["top_k=many", "integer"],
    ),
    "a report on nothing": (("report",), ["folder is missing; set folder="]),
    "a report on a folder that is not there": (
        ("report", "runs/no where"),
        ["folder=runs/no where does not exist"],
    ),
    "a report on a folder without a run": (("report", "{own}"), ["does not contain a run"]),
    "a report on two folders": (("report", "{own}", "runs/b"), ["'runs/b' is not an override"]),
    "an unknown key of report": (
        ("report", "{own}", "metrik=a"),
        ["unknown key 'metrik'", "did you mean 'metric'"],
    ),
    "a second text beside a file": (
        ("predict", "checkpoint=runs/a", "input=a.jsonl", "text_pair=b"),
        ["text_pair requires text"],
    ),
    "an unknown key of evaluate": (
        ("evaluate", "checkpoint=runs/a", "inputs=b.csv"),
        ["unknown key 'inputs'", "did you mean 'input'"],
    ),
    "an unknown verb": (
        ("trian", "name=never"),
        [
            "'trian' is not a verb",
            "are prepare, train, inspect, evaluate, predict",
            "did you mean 'train'",
        ],
    ),
    "an unknown key of prepare": (
        ("prepare", "source.path=a.txt", "out=b", "shard_token=3"),
        ["unknown key 'shard_token'", "did you mean 'shard_tokens'"],
    ),
    "a single checkpoint to merge": (
        ("merge", "checkpoints=[a]", "out=c"),
        ["checkpoints: it should have at least 2 values, not 1"],
    ),
    "a checkpoint instead of a list": (
        ("merge", "checkpoints=runs/a", "out=c"),
        ["checkpoints=runs/a: it should be a list such as [a,b]"],
    ),
    "a missing key of prepare": (("prepare", "source.path=a.txt"), ["out is missing"]),
    "a store without a folder for the work": (
        ("prepare", "source.path=a.txt", "out=s3://bucket/corpus"),
        ["work_dir is missing", "out=s3://bucket/corpus", "about 1.6 times the text"],
    ),
    "a URL as the folder for the work": (
        ("prepare", "source.path=a.txt", "out=s3://bucket/corpus", "work_dir=s3://bucket/work"),
        ["work_dir=s3://bucket/work is a URL", "local folder"],
    ),
    "a web server as the output": (
        ("prepare", "source.path=a.txt", "out=https://server/corpus", "work_dir=work"),
        ["out=https://server/corpus", "https:// can only be read"],
    ),
    "a password in the source": (
        ("prepare", "source.path=s3://key:word@bucket/a.txt", "out=b"),
        ["source", "s3://…@bucket/a.txt has a user or password", "environment"],
    ),
    "a signed URL": (
        ("prepare", "source=jsonl", "source.path=https://server/a.jsonl?sig=word", "out=b"),
        ["source", "https://server/a.jsonl?sig=… has the query sig=…", "environment"],
    ),
    "a share of validation that is none": (
        ("prepare", "source.path=a.txt", "out=b", "validation_fraction=2"),
        ["validation_fraction=2", "less than 1"],
    ),
    "a missing key of predict": (("predict", "text=a"), ["checkpoint is missing"]),
    "a number of words below one": (
        ("predict", "text=a", "checkpoint=b", "top_k=0"),
        ["top_k=0", "greater than 0"],
    ),
}
