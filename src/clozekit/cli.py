"""The command `clozekit`: a verb, then Hydra overrides. Heavy imports happen only in a verb."""

import errno
import sys
from dataclasses import dataclass
from difflib import get_close_matches

from clozekit import __version__
from clozekit.completion import complete, is_asked
from clozekit.exit_codes import FAILED, INTERRUPTED, READER_ENDED, USER_ERROR
from clozekit.output.display import say, show_plain_warnings
from clozekit.output.standard_streams import OutputError, open_standard_streams
from clozekit.processes.signals import ignore_signals_at_exit


@dataclass(frozen=True)
class Verb:
    """A verb's description and an example."""

    summary: str
    example: str


VERBS = {
    "prepare": Verb(
        "convert text to token shards, with a new or an existing vocabulary",
        "clozekit prepare source=text source.path=corpus.txt out=data/mine",
    ),
    "train": Verb(
        "pretrain on shards, or fine-tune on labelled files",
        "clozekit train name=first data.path=data/mine max_steps=1000",
    ),
    "inspect": Verb(
        "show what the model gets of the data: tokens, masks, windows, tags",
        "clozekit inspect data.path=data/mine",
    ),
    "evaluate": Verb(
        "compute the metrics of a fine-tuned model on labelled rows",
        "clozekit evaluate checkpoint=runs/sentiment input=test.csv",
    ),
    "predict": Verb(
        "predict for a text or a file: words at [MASK], classes, tags, answers",
        'clozekit predict checkpoint=runs/first text="the movie was [MASK] ."',
    ),
    "benchmark": Verb(
        "fine-tune checkpoints on a suite of tasks, and compare them",
        "clozekit benchmark checkpoint=runs/first suite=glue seeds=3",
    ),
    "export": Verb(
        "write a checkpoint as a folder for transformers, safetensors or ONNX",
        "clozekit export checkpoint=runs/first format=transformers out=first-bert",
    ),
    "merge": Verb(
        "average the weights of checkpoints",
        "clozekit merge checkpoints=[runs/cooled,runs/cooled2] out=runs/merged",
    ),
    "report": Verb(
        "compare the runs of a sweep or a folder, best first",
        "clozekit report runs/lr",
    ),
}

_VERSION = {"-V", "--version"}


def main() -> None:
    """Runs the verb on the command line; exits with code 2 for errors that the user can fix."""
    open_standard_streams()
    show_plain_warnings()
    try:
        try:
            code: int | str | None = _run(sys.argv[1:])
        except SystemExit as error:
            code = error.code
        # At the exit of Python, an error of this flush would be printed as a traceback.
        if sys.stdout is not None:
            sys.stdout.flush()
    except OutputError as error:
        if error.errno != errno.EPIPE:
            say(f"clozekit: {error.filename}: {error.strerror}", file=sys.stderr)
            sys.exit(FAILED)
        # The reader has what it wanted, as `head` does.
        sys.exit(READER_ENDED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        ignore_signals_at_exit()
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    """Runs the verb; returns the exit code."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
    elif arguments[0] in _VERSION or (arguments[0] in VERBS and _VERSION & {*arguments[1:]}):
        print(f"clozekit {__version__}")
    elif is_asked(arguments):
        from clozekit.command import run_verb

        return complete(arguments, VERBS, run_verb)
    elif arguments[0] not in VERBS:
        close = get_close_matches(arguments[0], VERBS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        say(
            f"clozekit: {arguments[0]!r} is not a verb; the verbs are {', '.join(VERBS)}{hint}",
            file=sys.stderr,
        )
        return USER_ERROR
    else:
        from clozekit.command import run_verb

        return run_verb(arguments[0])
    return 0


def _help() -> str:
    lines = [
        "clozekit: pretrain BERT on your own text, fine-tune it on your own task.",
        "",
        "usage: clozekit VERB [key=value ...]",
        "",
    ]
    for name, verb in VERBS.items():
        lines += [f"  {name:<10}{verb.summary}", f"  {'':<10}  {verb.example}", ""]
    lines.append("`clozekit VERB --help` lists a verb's groups and keys.")
    lines.append('`eval "$(clozekit -sc install=bash)"` enables tab completion.')
    return "\n".join(lines)
