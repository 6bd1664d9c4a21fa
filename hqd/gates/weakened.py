"""The kind `tests_not_weakened` of the group `code`: did the attempt make the tests say less?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from pydantic import Field, field_validator

from hqd.gates import diffs, globs
from hqd.gates.kind import CannotJudge, GateKind, Params, Scope, Verdict, View, shorten
from hqd.gates.presence import sound_globs
from hqd.model.gate import Evidence

_TEST_FILE = re.compile(
    r"(?:^|.*/)(?:"
    r"(?:tests?|specs?|__tests__|testing)/.*"
    r"|test_[^/]*\.\w+|[^/]*[_.\-](?:test|tests|spec)\.\w+|[^/]*Tests?\.(?:java|kt|cs|swift|php)|conftest\.py"
    r")$"
)
_NAMED_TEST = re.compile(
    r"^\s*(?:"
    r"(?:async\s+)?def\s+(?P<py>test\w*)\s*\("
    r"|func\s+(?:\([^)]*\)\s*)?(?P<go>(?:Test|Benchmark|Fuzz)\w*)\s*\("
    r"|(?:it|test|describe|context|specify)(?:\.(?:each|only|concurrent))?[(\s]\s*(?P<js>['\"`].*?['\"`])"
    r"|(?:public\s+|private\s+|protected\s+|internal\s+)*(?:async\s+)?(?:void|fn|fun|function|Task)\s+"
    r"(?P<other>[tT]est\w*|\w+_test|should\w*)\s*[(<]"
    r")"
)
_SKIP = re.compile(
    r"@(?:pytest\.mark\.(?:skip|skipif|xfail)|unittest\.(?:skip\w*|expectedFailure)|skip\w*|Disabled|Ignored?|Skip)\b"
    r"|\bpytest\.(?:skip|xfail|importorskip)\s*\(|\bself\.skipTest\s*\(|\braise\s+(?:unittest\.)?SkipTest\b"
    r"|\b(?:it|test|describe|context)\.(?:skip|todo|failing)\b|\b(?:xit|xtest|xdescribe)\s*\(|\.only\s*\("
    r"|\bt\.Skip(?:f|Now)?\s*\(|#\[ignore\b|\[(?:Ignore|Fact\(Skip|Skip)\b|\bXCTSkip\b|\bmarkTestSkipped\b"
)
_ASSERT = re.compile(
    r"^\s*(?:assert\b|assert!|assert_eq!|assert_ne!|debug_assert|expect\s*\(|expect\b.*\.to\b|await\s+expect\s*\(|should\b)"
    r"|\b(?:self\.assert\w+|Assert\.\w+|assert(?:Equals|True|False|That|Null|NotNull|Throws|Same|Raises)\w*)\s*\("
    r"|\bt\.(?:Error|Errorf|Fatal|Fatalf|Fail|FailNow)\s*\(|\b(?:require|assert)\.\w+\s*\(|\bpytest\.raises\s*\("
    r"|\.(?:toBe|toEqual|toThrow|toMatch|toContain|toHave)\w*\s*\(|\bXCTAssert\w*\s*\("
)
_TRIVIAL = re.compile(
    r"^\s*(?:assert\s+(?:True|1|not\s+False)\s*(?:,|#|$)|assert!\s*\(\s*true\s*\)|assertTrue\s*\(\s*true\s*\)"
    r"|self\.assertTrue\s*\(\s*True\s*\)|expect\s*\(\s*true\s*\)\s*\.\s*toBe\s*\(\s*true\s*\))"
)


class TestsNotWeakened(Params):
    """Passes when the attempt did not make tests say less. A heuristic over the difference; it runs nothing.

    A test file is one in a folder `test(s)`, `spec(s)`, `__tests__`, or named like a test in the usual languages, or
    covered by `globs`. It fails when: a test file was deleted (renamed is fine); a test (`def test_x`, `func TestX`,
    `it("x")`, …) was removed and no test of that name was added anywhere; a mark that skips, ignores or expects
    failure, or `.only`, was added; more assertion lines were removed from a file than added to test files in all,
    by more than `allow_removed`; or an assertion that is always true was added.
    """

    globs: tuple[str, ...] = Field(default=(), description="further test files")
    allow_removed: int = Field(default=0, ge=0, description="assertions that may go without others in their place")

    @field_validator("globs")
    @classmethod
    def _sound(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return sound_globs(value)


def tests_not_weakened(params: TestsNotWeakened, view: View) -> Verdict:
    subject = view.subject
    deleted = [
        Evidence(path=change.path, excerpt="test file deleted")
        for change in subject.changed
        if change.status == "deleted" and _is_test(change.path, params)
    ]
    touched = [change for change in subject.changed if _is_test(change.path, params) and not change.binary]
    if touched and not subject.diff.strip():
        raise CannotJudge("the text of the difference is not known here")
    files = [file for file in diffs.parse(subject.diff) if _is_test(file.name, params) and file.path is not None]
    found = [*deleted, *_removed_tests(files), *_added(files, _SKIP, "skips or narrows tests")]
    found += [*_added(files, _TRIVIAL, "always true"), *_removed_asserts(files, params.allow_removed)]
    if not found:
        return Verdict(True, f"{len(touched)} test files changed, none weaker")
    lines = "\n".join(f"- {item.path}{f':{item.line}' if item.line else ''}: {item.excerpt}" for item in found[:10])
    message = f"The tests say less than before:\n{lines}\nPut them back, and make the code pass them as they were."
    return Verdict(False, message, tuple(found[:20]), float(len(found)), 0.0)


def _is_test(path: str, params: TestsNotWeakened) -> bool:
    return _TEST_FILE.match(path) is not None or globs.matches(path, params.globs)


def _removed_tests(files: list[diffs.FileDiff]) -> Iterator[Evidence]:
    added = Counter(name for file in files for _, line in file.added if (name := _test_name(line)))
    for file in files:
        for number, line in file.removed:
            name = _test_name(line)
            if name is None:
                continue
            if added[name] > 0:
                added[name] -= 1
            else:
                yield Evidence(path=file.name, line=number, excerpt=f"test {shorten(name, 60)} removed")


def _test_name(line: str) -> str | None:
    match = _NAMED_TEST.match(line)
    return next((group for group in match.groupdict().values() if group), None) if match else None


def _added(files: list[diffs.FileDiff], pattern: re.Pattern[str], what: str) -> Iterator[Evidence]:
    for file in files:
        removed = Counter(" ".join(line.split()) for _, line in file.removed)
        for number, line in file.added:
            if pattern.search(line):
                same = " ".join(line.split())
                if removed[same] > 0:  # moved, or indented anew
                    removed[same] -= 1
                    continue
                yield Evidence(path=file.name, line=number, excerpt=f"{what}: {shorten(line, 80)}")


def _removed_asserts(files: list[diffs.FileDiff], allowed: int) -> Iterator[Evidence]:
    balance: dict[str, int] = {}
    for file in files:
        balance[file.name] = balance.get(file.name, 0) + _asserts(file.removed) - _asserts(file.added)
    lost = sum(balance.values())
    if lost <= allowed:
        return
    for name, net in balance.items():
        if net > 0:
            yield Evidence(path=name, excerpt=f"{net} more assertion lines removed than added")


def _asserts(lines: list[tuple[int, str]]) -> int:
    return sum(1 for _, line in lines if _ASSERT.search(line))


KINDS = (
    GateKind(
        "tests_not_weakened",
        "code",
        TestsNotWeakened,
        tests_not_weakened,
        scope=Scope.NONE,
        reads=("changed", "diff"),
    ),
)
