"""From the words on the command line to a command's answer, or to one line that says what is wrong.

The overview and the version import nothing but this file; cyclopts comes with the first command, and a command's own
imports (pydantic, torch) when it is run.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sightline.cli.layout import section
from sightline.errors import Interrupted, ResourceError, SightlineError, UsageError, unknown
from sightline.installation import pip_install, version
from sightline.language import choose, reset, said, told

if TYPE_CHECKING:
    from cyclopts import App


@dataclass(frozen=True)
class Command:
    """A command: `target` is where its function lives, as `module:name`; a name of two words is one of a group.

    One that `takes_settings` has a flag for every setting: its help shows those that most people use.
    """

    name: str
    target: str
    about: str
    usage: str
    epilogue: str = ""
    takes_settings: bool = False


COMMANDS = (
    Command(
        "train",
        "sightline.cli.train:train",
        "Train a classifier on a dataset or a folder, then test it.",
        "sightline train [DATA] [--recipe R] [--model M] [flags]\n"
        "       sightline train DATA --folds K [flags]\n"
        "       sightline train --resume RUN [--epochs N | --add-epochs N | ...]",
        "Defaults are in brackets; some depend on the model, optimizer or schedule. A\n"
        "recipe's values override the defaults, and flags override both.\n\n"
        "Examples\n"
        "  sightline train digits\n"
        "  sightline train mnist --epochs 5 --json\n"
        "  sightline train my-pictures/ --model resnet20 --image-size 32\n"
        "  sightline train my-pictures/ --folds 5\n"
        "  sightline train --resume runs/digits-001\n"
        "  sightline train --resume runs/mnist-cnn-001 --add-steps 5000",
        takes_settings=True,
    ),
    Command(
        "test",
        "sightline.cli.test:test",
        "Test a trained classifier on test images.",
        "sightline test RUN|MODEL|MODEL.onnx [--data DATA] [--steps N] [flags]",
    ),
    Command(
        "calibrate",
        "sightline.cli.calibrate:calibrate",
        "Calibrate a model's probabilities; its predictions do not change.",
        "sightline calibrate RUN [--write] [flags]",
        "Examples\n  sightline calibrate runs/digits-001\n  sightline calibrate runs/digits-001 --write",
    ),
    Command(
        "forecast",
        "sightline.cli.forecast:forecast",
        "Estimate the accuracy with 2x and 4x as many training images.",
        "sightline forecast RUN [--repeats N] [flags]",
        "Fits classifier heads to the run's frozen pretrained features, on subsets of\n"
        "the images, and extrapolates their accuracy.\n\n"
        "Example\n  sightline forecast runs/pictures-photos-001",
    ),
    Command(
        "predict",
        "sightline.cli.predict:predict",
        "Classify pictures: files, folders, or a list on stdin.",
        "sightline predict RUN|MODEL|MODEL.onnx IMAGE|FOLDER|- ... [flags]",
        "Examples\n"
        "  sightline predict runs/digits-001 digit.png\n"
        "  sightline predict runs/digits-001 pictures/ --format csv > answers.csv\n"
        "  find . -name '*.png' | sightline predict runs/digits-001 - --json",
    ),
    Command(
        "serve",
        "sightline.cli.serve:serve",
        "Serve a model over HTTP, with a web page to try it.",
        "sightline serve RUN|MODEL|MODEL.onnx [--port N] [flags]",
        "Examples\n"
        "  sightline serve runs/digits-001\n"
        "  sightline serve model.onnx --port 0 --json\n"
        "  curl --data-binary @seven.png -H 'Content-Type: image/png' \\\n"
        "    http://127.0.0.1:8000/v1/predict?top=3",
    ),
    Command(
        "export",
        "sightline.cli.export:export",
        "Write an ONNX file that gives the same predictions without torch.",
        "sightline export RUN|MODEL [--out FILE] [--force] [flags]",
        "The file is written only if its predictions match the classifier's.\n\n"
        "Examples\n"
        "  sightline export runs/digits-001\n"
        "  sightline export runs/digits-001 --out digits.onnx\n"
        "  sightline predict digits.onnx digit.png",
    ),
    Command(
        "compare",
        "sightline.cli.compare:compare",
        "Find out which model is better: several seeds each, and a verdict.",
        "sightline compare CONTESTANT CONTESTANT ... [--data DATA] [flags]\n"
        "       sightline compare RUN RUN ...\n"
        "       sightline compare --resume COMPARISON [--seeds N]",
        "Defaults are in brackets. A recipe's values override them, flags override both for\n"
        "all contestants, and a contestant's own changes override the flags.\n\n"
        "Examples\n"
        "  sightline compare cnn resnet20 --data digits\n"
        "  sightline compare mnist-cnn:lr=0.01 mnist-cnn:lr=0.1 --epochs 3 --seeds 10\n"
        "  sightline compare mnist mnist-cnn --seconds 60 --jobs 2\n"
        "  sightline compare --resume comparisons/mnist-mnist-mnist-cnn-001 --seeds 10",
        takes_settings=True,
    ),
    Command(
        "tune",
        "sightline.cli.tune:tune",
        "Search for better settings on validation images, then compare them.",
        "sightline tune DATA [--recipe R] [--trials N] [--seconds X] [flags]\n"
        "       sightline tune --resume STUDY [--trials N] [--seconds X]",
        "Setting flags define the start of the search and all settings not searched.\n\n"
        "Examples\n"
        "  sightline tune digits --trials 20\n"
        "  sightline tune pictures/ --epochs 5 --seconds 3600 --space space.yaml\n"
        "  sightline tune --resume studies/digits-cnn-001 --trials 40",
        takes_settings=True,
    ),
    Command(
        "report",
        "sightline.cli.report:report",
        "Write a report, and slides, about a run, a comparison or a study.",
        "sightline report FOLDER [--slides] [--markdown] [--lang en|zh] [flags]",
        "Examples\n"
        "  sightline report runs/digits-001\n"
        "  sightline report comparisons/digits-cnn-resnet8-001 --slides --lang zh",
    ),
    Command(
        "card",
        "sightline.cli.card:card",
        "Write a model card for a run, in the format of the Hugging Face Hub.",
        "sightline card RUN [--out FILE] [--license NAME] [--force] [flags]",
        "Examples\n"
        "  sightline card runs/digits-001\n"
        "  sightline card runs/digits-001 --license apache-2.0 --out card.md",
    ),
    Command(
        "check",
        "sightline.cli.check:check",
        "Find problems in a dataset: bad files, duplicates, classes.",
        "sightline check DATA [--strict] [--out DIR] [flags]",
        "Examples\n"
        "  sightline check my-pictures/ --out checked\n"
        "  sightline check my-pictures/ --strict --json > check.json",
    ),
    Command(
        "summary",
        "sightline.cli.summary:summary",
        "Show a network's parts: shape, parameters, multiply-adds.",
        "sightline summary MODEL|RECIPE|RUN [--input CxHxW] [--classes N] [flags]",
    ),
    Command(
        "runs",
        "sightline.cli.runs:runs",
        "List finished and unfinished runs with their metrics.",
        "sightline runs [FOLDER ...] [--all] [--sort ORDER] [flags]",
        "Examples\n"
        "  sightline runs\n"
        "  sightline runs comparisons/mnist-mnist-mnist-cnn-001\n"
        "  sightline runs --all --data mnist --sort accuracy",
    ),
    Command(
        "verify",
        "sightline.cli.verify:verify",
        "Check that no file of a run has changed since it was written.",
        "sightline verify RUN ... [--json]",
        "Exit code 4 means that a file has changed or is missing.\n\n"
        "Examples\n  sightline verify runs/digits-001\n  sightline verify runs comparisons",
    ),
    Command(
        "recipes",
        "sightline.cli.recipes:recipes",
        "List recipes with their expected accuracy and time, or show one.",
        "sightline recipes [NAME] [--json]",
        "Examples\n  sightline recipes\n  sightline recipes mnist > mine.yaml\n  sightline train --recipe mine.yaml",
    ),
    Command(
        "data list",
        "sightline.cli.data:list_datasets",
        "List the datasets, their sizes and the location of their files.",
        "sightline data list [--data-dir DIR] [--json]",
    ),
    Command(
        "data get",
        "sightline.cli.data:get_dataset",
        "Find or download a dataset's files and check their hashes.",
        "sightline data get NAME [--data-dir DIR] [--json]",
    ),
)

# What an environment made by requirements-serve.txt leaves out: the module's name and the package's.
NOT_FOR_SERVING = {name: name for name in ("torch", "scipy", "matplotlib", "safetensors")} | {"sklearn": "scikit-learn"}

GROUPS = {"data": "List the datasets, or download one."}
HELP_ALL, LANG = "--help-all", "--lang"
# cyclopts takes a lone hyphen for a flag without a name, and -0 for a number, so they go by these.
STDIN, NULL = "<stdin>", ("-0", "--null")


def run(words: Sequence[str]) -> int:
    """Run one command line (without the program's name) and return its exit code. Never raises."""
    debug = "--debug" in words
    try:
        choose(words)
        _dispatch(list(words))
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as caught:
        error = _as_sightline_error(caught)
        if debug:
            traceback.print_exception(caught)
        print(told(error), file=sys.stderr)
        return error.exit_code
    finally:
        reset()
    return 0


def _dispatch(words: list[str]) -> None:
    while words and words[0].split("=")[0] == LANG:  # `choose` has read it
        del words[: 1 if "=" in words[0] else 2]
    first = words[0] if words else "--help"
    if first in ("--help", "-h"):
        print(overview())
    elif first == "--version":
        print(version())
    elif first.startswith("-"):
        raise UsageError(
            first, "it comes before the command", "sightline COMMAND FLAGS", "Run sightline --help to see the commands."
        )
    elif first not in (names := {command.name.split()[0] for command in COMMANDS}):
        raise unknown("command", first, names, listed_by="sightline --help")
    else:
        _call(words)


def _call(words: list[str]) -> None:
    from cyclopts import CycloptsError

    from sightline.cli.parsing import explain

    everything = HELP_ALL in words
    spelled = {HELP_ALL: "--help", "-": STDIN, **({NULL[0]: NULL[1]} if words[0] == "predict" else {})}
    app = build_app(everything=everything)
    try:
        app(
            [spelled.get(word, word) for word in words],
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except CycloptsError as error:
        raise explain(error) from error


def build_app(*, everything: bool = False) -> App:
    """Build the cyclopts application, whose commands are imported when they are called.

    With `everything` help shows all flags of a command that takes settings, else the usual ones.
    """
    from cyclopts import App

    from sightline.cli.layout import HelpLayout

    app = App(
        name="sightline",
        version_flags=(),
        help_format="plaintext",
        help_formatter=HelpLayout(),
        suppress_keyboard_interrupt=False,
    )
    groups = {name: App(name=name, help=said(about, "help"), version_flags=()) for name, about in GROUPS.items()}
    for command in COMMANDS:
        *group, name = command.name.split()
        (groups[group[0]] if group else app).command(
            command.target,
            name=name,
            help=said(command.about, "help"),
            usage=said(command.usage, "help"),
            help_epilogue=_epilogue(command, everything) or None,
            help_formatter=HelpLayout(usual_alone=command.takes_settings and not everything),
        )
    for group in groups.values():
        app.command(group)
    return app


def _epilogue(command: Command, everything: bool) -> str:
    epilogue = "\n\n".join(said(paragraph, "help") for paragraph in command.epilogue.split("\n\n"))
    if not command.takes_settings or everything:
        return epilogue
    return said(f"A flag for every setting: sightline {command.name} {HELP_ALL}", "help") + f"\n\n{epilogue}"


def overview() -> str:
    """Write what `sightline --help` prints."""
    rows = [(command.name, said(command.about, "help")) for command in COMMANDS]
    lines = [
        "Usage: sightline COMMAND ...",
        "Sightline turns labelled images into a classifier that people can trust.",
        "Flags of a command: sightline COMMAND --help. Version: sightline --version.",
        "To get started: sightline train digits",
    ]
    usage, about, *ending = (said(line, "help") for line in lines)
    return "\n".join([usage, "", about, "", *section(said("Commands", "help"), rows, width=80), "", *ending])


def _as_sightline_error(error: BaseException) -> SightlineError:
    if isinstance(error, SightlineError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("interrupted", "stopped by Ctrl-C")
    if isinstance(error, ModuleNotFoundError) and error.name in NOT_FOR_SERVING:
        package = NOT_FOR_SERVING[error.name]
        advice = f"Run {pip_install(package)} to install it. Without it, predict, test and serve can use ONNX files."
        return UsageError("this command", f"it needs {package}, which is not installed", advice=advice)
    if isinstance(error, MemoryError):
        return ResourceError("this command", "memory ran out", advice="Use smaller batches or images.")
    return SightlineError(
        "internal error", f"{type(error).__name__}: {error}", advice="Run it again with --debug, and report it."
    )
