"""What a judge is worth: its verdicts against people's labels, with intervals.

A judge may enforce only with a committed record of this, `lessons/calibrations/NAME.toml`, of the very parameters and
agent that it has now. Labels are lines of JSON: `{"output": TEXT, "label": "good" | "bad"}`, with `task` (text of the
task) and `cluster` (outputs that are siblings share one) as they apply. A positive is a rejected output.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import tomli_w
from pydantic import Field, ValidationError

from hqd.core.history.wilson import interval
from hqd.errors import Misconfigured
from hqd.model.gate import GateResult, GateStatus
from hqd.model.value import Value

FOLDER = "lessons/calibrations"
MIN_EACH = 20
"""Fewest clusters of good and of bad outputs."""
MIN_PRECISION = 0.8
"""Lower end of the interval that the precision of an enforcing judge must reach."""
MIN_RECALL = 0.5
MAX_FALSE_POSITIVE_RATE = 0.1
"""Upper end of the interval that good outputs wrongly rejected may reach."""
MAX_ERRORS = 0.05


class Label(Value):
    """One output with a person's word on it."""

    output: str
    label: str = Field(pattern="^(good|bad)$")
    task: str = ""
    cluster: str | None = None


class Share(Value):
    """A share with its 95 % Wilson interval over `n` clusters; `hits` and `of` count labels."""

    hits: int
    of: int
    n: int
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.of == 0:
            return "unknown (0 labels)"
        return f"{self.value:.3f} [{self.low:.3f}-{self.high:.3f}] ({self.hits} of {self.of})"


class Calibration(Value):
    """The record. `version` is that of the gate as written; `agent` is provider and model of the judge."""

    name: str
    kind: str
    version: str
    agent: str = ""
    at: datetime
    labels: str  # blob id or hash of the labels
    good: int
    bad: int
    errors: int
    precision: Share
    recall: Share
    false_positive_rate: Share

    def shortfall(self) -> str | None:
        """Why it does not earn `enforce`; None: it does."""
        if self.false_positive_rate.n < MIN_EACH or self.recall.n < MIN_EACH:
            n = f"{self.false_positive_rate.n} good and {self.recall.n} bad"
            return f"{n} outputs (in clusters) are judged; at least {MIN_EACH} of each are needed"
        if self.errors > MAX_ERRORS * (self.good + self.bad):
            return f"{self.errors} of {self.good + self.bad} outputs could not be judged"
        if self.precision.low < MIN_PRECISION:
            return f"precision {self.precision}; its interval must lie above {MIN_PRECISION}"
        if self.recall.low < MIN_RECALL:
            return f"recall {self.recall}; its interval must lie above {MIN_RECALL}"
        if self.false_positive_rate.high > MAX_FALSE_POSITIVE_RATE:
            return (
                f"false-positive rate {self.false_positive_rate}; its interval must lie below {MAX_FALSE_POSITIVE_RATE}"
            )
        return None


def path(name: str) -> str:
    """Where the record of a gate is kept in the HQ."""
    return f"{FOLDER}/{name}.toml"


def read_labels(text: str) -> tuple[Label, ...]:
    """Labels from JSON lines. Raises Misconfigured, naming the line."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found.append(Label.model_validate(json.loads(line)))
        except json.JSONDecodeError as error:
            raise Misconfigured(f"line {number}: not JSON: {error.msg}") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise Misconfigured(
                f"line {number}: {where}: {first['msg']}", remedy='write {"output": TEXT, "label": "good" or "bad"}'
            ) from None
    return tuple(found)


def calibrate(
    judge: Callable[[Label], GateResult],
    labels: Sequence[Label],
    *,
    version: str,
    agent: str,
    at: datetime,
    source: str,
) -> Calibration:
    """Runs the gate on every labelled output. `judge` gives its result for one. Raises ValueError without labels."""
    if not labels:
        raise ValueError("there are no labels")
    results = [(label, judge(label)) for label in labels]
    judged = [(label, result) for label, result in results if result.status in (GateStatus.PASS, GateStatus.FAIL)]
    rejected = [label for label, result in judged if result.status is GateStatus.FAIL]
    good = [label for label, _ in judged if label.label == "good"]
    bad = [label for label, _ in judged if label.label == "bad"]
    first = results[0][1]
    return Calibration(
        name=first.name,
        kind=first.kind,
        version=version,
        agent=agent,
        at=at,
        labels=source,
        good=sum(label.label == "good" for label in labels),
        bad=sum(label.label == "bad" for label in labels),
        errors=len(results) - len(judged),
        precision=_share([label for label in rejected if label.label == "bad"], rejected),
        recall=_share([label for label in rejected if label.label == "bad"], bad),
        false_positive_rate=_share([label for label in rejected if label.label == "good"], good),
    )


def _share(hits: Iterable[Label], of: Sequence[Label]) -> Share:
    """The share of labels, with the interval of as many independent cases as there are clusters."""
    count = len(list(hits))
    clusters = len({label.cluster for label in of if label.cluster is not None})
    n = clusters + sum(label.cluster is None for label in of)
    value = count / len(of) if of else 0.0
    low, high = interval(value * n, n)
    return Share(hits=count, of=len(of), n=n, value=round(value, 4), low=round(low, 4), high=round(high, 4))


def text(record: Calibration) -> str:
    """The record as TOML, as it is committed."""
    return tomli_w.dumps(record.model_dump(mode="json"))


def read(source: str) -> Calibration:
    """A record from TOML. Raises Misconfigured."""
    try:
        return Calibration.model_validate(tomllib.loads(source))
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"no TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise Misconfigured(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None


def committed(file: Callable[[str], bytes | None]) -> Callable[[str], Calibration | None]:
    """Looks records up among files of the HQ (`Tree.read`). One that cannot be read earns nothing."""

    def look(name: str) -> Calibration | None:
        raw = file(path(name))
        if raw is None:
            return None
        try:
            return read(raw.decode("utf-8", "replace"))
        except Misconfigured:
            return None

    return look
