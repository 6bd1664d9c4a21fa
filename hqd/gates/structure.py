"""Does it have the form asked for? Kinds of the group `structure`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from hqd.gates import parsing
from hqd.gates.kind import (
    CannotJudge,
    GateKind,
    Params,
    Piece,
    Range,
    Verdict,
    View,
    counted,
    listed,
    shorten,
    together,
)
from hqd.gates.kind import each as each_text
from hqd.gates.markdown import plain, unfenced

if TYPE_CHECKING:
    from hqd.gates.schemas import Validator


class Json(Params):
    """Passes when the text is one JSON document (RFC 8259: no comments, no trailing commas, no NaN).

    White space around it is fine, and so is one code fence around the whole of it, unless `fence` is false.
    """

    fence: bool = Field(default=True, description="whether one surrounding code fence is allowed")


def json_kind(params: Json, piece: Piece) -> Verdict:
    return _readable(params.fence, piece, "JSON", parsing.json_value)


class Yaml(Params):
    """Passes when the text is one YAML 1.2 document, of at most 100,000 characters and 100 aliases.

    A surrounding fence is as for `json`.
    """

    fence: bool = Field(default=True, description="whether one surrounding code fence is allowed")


def yaml_kind(params: Yaml, piece: Piece) -> Verdict:
    return _readable(params.fence, piece, "YAML", parsing.yaml_value)


class Toml(Params):
    """Passes when the text is one TOML 1.0 document; a surrounding fence as for `json`."""

    fence: bool = Field(default=True, description="whether one surrounding code fence is allowed")


def toml_kind(params: Toml, piece: Piece) -> Verdict:
    return _readable(params.fence, piece, "TOML", parsing.toml_value)


def _readable(fence: bool, piece: Piece, what: str, read: Any) -> Verdict:
    body = unfenced(piece.text) if fence else piece.stripped
    if not body:
        return Verdict(False, f"There is no {what}: the text is empty.")
    try:
        read(body)
    except parsing.Unreadable as error:
        return Verdict(False, f"Not {what}: {error.message}. Answer with {what} only.", _where(piece, body, error.line))
    return Verdict(True, f"valid {what}")


def _where(piece: Piece, body: str, line: int) -> Any:
    """Evidence for a line of the body, counted in the whole text."""
    lines = body.split("\n")
    if not 0 < line <= len(lines):
        return ()
    before = piece.text.count("\n", 0, max(0, piece.text.find(body)))
    return (piece.on(before + line, lines[line - 1]),)


class Csv(Params):
    """Passes when the text is CSV with a header row, in which every row has as many cells as the header.

    Quoting is strict (RFC 4180), empty lines do not count, a surrounding fence as for `json`. With `columns`, the
    header must hold these names, in any order.
    """

    columns: tuple[str, ...] = Field(default=(), description="names that the header must hold")
    min_rows: int = Field(default=0, ge=0, description="fewest rows below the header")
    delimiter: str = Field(default=",", min_length=1, max_length=1, description="the character between cells")
    fence: bool = Field(default=True, description="whether one surrounding code fence is allowed")


def csv_kind(params: Csv, piece: Piece) -> Verdict:
    body = unfenced(piece.text) if params.fence else piece.stripped
    try:
        rows = parsing.csv_rows(body, params.delimiter)
    except parsing.Unreadable as error:
        return Verdict(False, f"Not CSV: {error.message}.", _where(piece, body, error.line))
    if not rows:
        return Verdict(False, "There is no CSV: the text is empty.")
    width = len(rows[0])
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != width:
            message = f"Row {number} has {len(row)} cells; the header has {width}. Quote cells that hold a comma."
            return Verdict(False, message, (piece.on(0, params.delimiter.join(row)),))
    missing = [name for name in params.columns if name not in [cell.strip() for cell in rows[0]]]
    if missing:
        return Verdict(False, f"The header lacks {listed(missing)}; it has {listed(rows[0])}.")
    if len(rows) - 1 < params.min_rows:
        return Verdict(False, f"{len(rows) - 1} rows below the header; at least {params.min_rows} are asked for.")
    return Verdict(True, f"{len(rows) - 1} rows of {width} cells")


class JsonSchema(Params):
    """Passes when the value fits the JSON Schema (draft 2020-12 unless it names another by `$schema`).

    The value is the typed output, else the text read as for `json`. `schema` is a table, or the path of a JSON file
    in the HQ (also relative to playbooks/). References to other documents are not followed.
    """

    schema_: dict[str, Any] | str = Field(alias="schema", description="a schema, or the path of one")


def json_schema(params: JsonSchema, view: View) -> Verdict:
    from hqd.gates import schemas  # here, and below: jsonschema takes 40 ms to import, and few gates need it

    validator = schemas.load(params.schema_, view.subject.sources)
    verdicts = []
    for piece in view.pieces:
        value = piece.data
        if value is None:
            try:
                value = parsing.json_value(unfenced(piece.text))
            except parsing.Unreadable as error:
                message = f"Not JSON: {error.message}. Answer with one JSON document that fits the schema."
                verdicts.append((piece, Verdict(False, message)))
                continue
        verdicts.append((piece, _fits(validator, piece, value)))
    return verdicts[0][1] if len(verdicts) == 1 else together(tuple(verdicts))


def _fits(validator: Validator, piece: Piece, value: Any) -> Verdict:
    faults = validator.faults(value)
    if not faults:
        return Verdict(True, "fits the schema")
    shown = "\n".join(f"- {fault}" for fault in faults[:5])
    more = f"\n- and {len(faults) - 5} more" if len(faults) > 5 else ""
    return Verdict(False, f"Does not fit the JSON Schema:\n{shown}{more}", (piece.on(0, piece.text),))


class FrontMatter(Params):
    """Passes when the text starts with YAML front matter (a mapping between two `---` lines) that fits `schema`.

    Dates count as ISO text. Without a schema any mapping will do.
    """

    schema_: dict[str, Any] | str | None = Field(default=None, alias="schema", description="a schema, or its path")


def front_matter(params: FrontMatter, view: View) -> Verdict:
    validator = None
    if params.schema_ is not None:
        from hqd.gates import schemas

        validator = schemas.load(params.schema_, view.subject.sources)
    verdicts = []
    for piece in view.pieces:
        try:
            value = parsing.front_matter(piece.text)
        except parsing.Unreadable as error:
            evidence = (piece.on(error.line, piece.document.lines[error.line - 1]),) if error.line else ()
            verdicts.append((piece, Verdict(False, f"Front matter: {error.message}.", evidence)))
            continue
        verdicts.append((piece, _fits(validator, piece, value) if validator else Verdict(True, "has front matter")))
    return verdicts[0][1] if len(verdicts) == 1 else together(tuple(verdicts))


def _schema_faults(params: Any) -> tuple[str, ...]:
    if not isinstance(params.schema_, dict):
        return ()
    from hqd.gates import schemas

    try:
        schemas.compile_schema(params.schema_)
    except CannotJudge as error:
        return (f"schema: {error}",)
    return ()


class HasSections(Params):
    """Passes when each of `sections` is a heading of the Markdown text with something under it.

    A heading is a line of 1 to 6 `#` and text, or a line underlined with `=` or `-`, outside code fences. Compared
    without emphasis, numbering (`2.`), closing colon and upper or lower case. `depth` leaves deeper headings out
    (1: only `#`). `ordered`: in the order given, others may stand between. What is under a heading reaches to the
    next heading of its level or above; subheadings count as something, unless `allow_empty`.
    """

    sections: tuple[str, ...] = Field(min_length=1, description="headings asked for")
    depth: int = Field(default=6, ge=1, le=6, description="deepest level of heading that counts")
    ordered: bool = Field(default=False, description="whether they must come in this order")
    allow_empty: bool = Field(default=False, description="whether a heading with nothing under it will do")


def has_sections(params: HasSections, piece: Piece) -> Verdict:
    document = piece.document
    headings = [
        (place, plain(heading.text)) for place, heading in enumerate(document.headings) if heading.level <= params.depth
    ]
    wanted = [plain(section) for section in params.sections]
    missing = [params.sections[i] for i, name in enumerate(wanted) if all(name != text for _, text in headings)]
    score, threshold = float(len(wanted) - len(missing)), float(len(wanted))
    if missing:
        present = [document.headings[place].text for place, _ in headings]
        found = f" Headings found: {listed(present)}." if present else " There are no headings."
        message = f"Missing sections: {listed(missing)}. Add a heading for each, such as `## {missing[0]}`, with text."
        return Verdict(False, message + found, (), score, threshold)
    places = [[place for place, text in headings if text == name] for name in wanted]
    if not params.allow_empty:
        empty = [i for i, found_at in enumerate(places) if all(not document.section(at).strip() for at in found_at)]
        if empty:
            at = document.headings[places[empty[0]][0]]
            message = f"Nothing stands under {listed([params.sections[i] for i in empty])}. Write the text."
            return Verdict(False, message, (piece.on(at.line, at.text),), threshold - len(empty), threshold)
    if params.ordered and not _in_order(places):
        return Verdict(False, f"The sections must come in this order: {listed(params.sections)}.", (), score, threshold)
    return Verdict(True, f"all {len(wanted)} sections", (), score, threshold)


def _in_order(places: list[list[int]]) -> bool:
    last = -1
    for found_at in places:
        later = [at for at in found_at if at > last]
        if not later:
            return False
        last = min(later)
    return True


class Headings(Range):
    """Counts headings (as in `has_sections`) down to level `depth`."""

    depth: int = Field(default=6, ge=1, le=6, description="deepest level of heading that counts")


def headings(params: Headings, piece: Piece) -> Verdict:
    found = [heading for heading in piece.document.headings if heading.level <= params.depth]
    return counted(params, len(found), "headings", tuple(piece.on(at.line, at.text) for at in found[:5]))


class TableParams(Params):
    """Passes when the text has a Markdown pipe table whose header holds all of `columns`, in any order.

    A table is a header row, a row of dashes with as many cells, and rows; outside code fences. Columns are compared
    without emphasis, upper or lower case.
    """

    columns: tuple[str, ...] = Field(default=(), description="columns that one table must have")
    min_rows: int = Field(default=1, ge=0, description="fewest rows below the header")

    @field_validator("columns", mode="before")
    @classmethod
    def _one(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


def table(params: TableParams, piece: Piece) -> Verdict:
    tables = piece.document.tables
    asked = f" with the columns {listed(params.columns)}" if params.columns else ""
    if not tables:
        return Verdict(False, f"There is no table. Write a Markdown pipe table{asked}.")
    wanted = [plain(column) for column in params.columns]
    best = max(tables, key=lambda one: sum(plain(column) in wanted for column in one.columns))
    evidence = (piece.on(best.line, " | ".join(best.columns)),)
    fitting = [one for one in tables if set(wanted) <= {plain(column) for column in one.columns}]
    if not fitting:
        have = {plain(column) for column in best.columns}
        missing = [column for column in params.columns if plain(column) not in have]
        return Verdict(False, f"No table has all columns asked for. The nearest one lacks {listed(missing)}.", evidence)
    rows = max(len(one.rows) for one in fitting)
    if rows < params.min_rows:
        message = f"The table has {rows} rows; at least {params.min_rows} are asked for."
        return Verdict(False, message, evidence, float(rows), float(params.min_rows))
    return Verdict(True, f"a table of {rows} rows: {shorten(' | '.join(fitting[0].columns))}")


_SOURCES = ("sources",)
KINDS = (
    GateKind("json", "structure", Json, each_text(json_kind)),
    GateKind("yaml", "structure", Yaml, each_text(yaml_kind)),
    GateKind("toml", "structure", Toml, each_text(toml_kind)),
    GateKind("csv", "structure", Csv, each_text(csv_kind)),
    GateKind("json_schema", "structure", JsonSchema, json_schema, reads=_SOURCES, check=_schema_faults),
    GateKind("front_matter", "structure", FrontMatter, front_matter, reads=_SOURCES, check=_schema_faults),
    GateKind("has_sections", "structure", HasSections, each_text(has_sections)),
    GateKind("headings", "structure", Headings, each_text(headings)),
    GateKind("table", "structure", TableParams, each_text(table)),
)
