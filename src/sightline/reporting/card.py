"""Make a model card of a run, in the manner of the Hugging Face Hub: front matter in YAML, then Markdown.

The front matter's keys are those of the Hub's documentation (https://huggingface.co/docs/hub/model-cards). Its license
is the user's to choose: "other" until then. A card's last line is a hash of what stands before it, by which a card that
somebody has written or changed is told from one that may be replaced.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sightline.comparison.folder import ComparisonFolder
from sightline.data.catalog import DATASETS
from sightline.errors import FileError, UsageError
from sightline.files import atomic, sums
from sightline.reporting.facts import Run
from sightline.reporting.markdown import markdown
from sightline.reporting.sections.model_card import card_of, origin_of
from sightline.reporting.subjects import Comparison, Study, read
from sightline.reporting.words import words
from sightline.runs.records import TestReport

CARD = "README.md"
TASK = "image-classification"
LICENSE_HINT = "# Choose the license of the model: https://huggingface.co/docs/hub/repositories-licenses\n"
SEAL = re.compile(r"<!-- written by sightline card, sha256 of the above: ([0-9a-f]{64}) -->\n")


@dataclass(frozen=True)
class CardResult:
    """The path of the card, and its front matter."""

    path: Path
    front_matter: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The result for JSON."""
        return {"path": str(self.path), "front_matter": self.front_matter}


def card(run: str | Path, *, out: str | Path | None = None, license: str = "other", force: bool = False) -> CardResult:
    """Write a model card for a run, to RUN/README.md or to the file `out`.

    Every number comes from the files of the run, or of the comparison that it belongs to. `license` is the license of
    the model, as the Hub names it. `force` replaces a file that somebody else wrote or changed. Raises UsageError for
    such a file without `force`, FileError for anything but a run and for damaged files.
    """
    folder = Path(run)
    found = read(folder)
    if not isinstance(found, Run):
        kind = "a study" if isinstance(found, Study) else "a comparison"
        raise FileError(str(folder), kind, "the folder of a run", "Name one of its runs.")
    path = folder / CARD if out is None else Path(out)
    if not force:
        _refuse_foreign(path)
    said = words("en")
    in_folder = path.resolve().parent == folder.resolve()
    body = markdown(card_of(found, _comparison_of(found), said, in_folder=in_folder), said, None)
    head = _front_matter(found, license)
    listed = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=120)
    text = f"---\n{LICENSE_HINT if license == 'other' else ''}{listed}---\n\n{body}\n"
    with sums.rewriting_file(path):
        atomic.write_text(path, f"{text}<!-- written by sightline card, sha256 of the above: {_hash(text)} -->\n")
    return CardResult(path, head)


def _refuse_foreign(path: Path) -> None:
    """Raise UsageError where a file stands there that is not, to the letter, what this command wrote."""
    if not path.exists():
        return
    advice = "Pass --force to replace it, or --out FILE."
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise UsageError("--out", f"{path} exists and is not a model card", "a new file", advice) from None
    seal = SEAL.search(text)
    if seal is None:
        raise UsageError("--out", f"{path} was not written by sightline card", "a new file", advice)
    if text != text[: seal.end()] or _hash(text[: seal.start()]) != seal[1]:
        raise UsageError("--out", f"{path} was changed since it was written", "a new file", advice)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _comparison_of(run: Run) -> Comparison | None:
    """Find the comparison whose folder the run lies in, once it has ended."""
    folder = run.folder.path.resolve().parent.parent
    if not (ComparisonFolder.is_one(folder) and ComparisonFolder(folder).results_path.is_file()):
        return None
    found = read(folder)
    assert isinstance(found, Comparison)
    return Comparison(found.folder, "../..")


def _front_matter(run: Run, license: str) -> dict[str, Any]:
    origin = origin_of(run)
    head: dict[str, Any] = {
        "license": license,
        "library_name": "sightline",
        "pipeline_tag": TASK,
        "tags": ["sightline", TASK, run.model],
    }
    if origin is not None and origin.hub is not None:
        head["datasets"] = [origin.hub]
    if run.metrics is not None:
        results = {"task": {"type": TASK}, "dataset": _dataset(run), "metrics": _metrics(run.metrics)}
        head["metrics"] = ["accuracy", "f1"]
        head["model-index"] = [{"name": f"{run.model} on {run.data}", "results": [results]}]
    return head


def _dataset(run: Run) -> dict[str, str]:
    origin = origin_of(run)
    if origin is None:
        return {"type": "imagefolder", "name": run.data, "split": "test"}
    title = DATASETS[run.settings.data.name].title
    return {"type": origin.hub or run.settings.data.name, "name": title, "split": "test"}


def _metrics(report: TestReport) -> list[dict[str, Any]]:
    low, high = report.interval
    values = [
        ("accuracy", "Accuracy", report.accuracy),
        ("accuracy_95_low", "Accuracy, low end of its 95% interval", low),
        ("accuracy_95_high", "Accuracy, high end of its 95% interval", high),
        ("f1", "Macro F1", report.macro_f1),
        ("loss", "Negative log-likelihood, nats", report.loss),
    ]
    return [{"type": kind, "name": name, "value": value} for kind, name, value in values]
