"""`workspace/holds/NAME.md`: what is held and why, for people and for hqd."""

from __future__ import annotations

from hqd.codec.document import read_document
from hqd.codec.front_matter import write_front_matter
from hqd.codec.shapes import shape
from hqd.model.problem import Problem, one_line
from hqd.model.record import Event, Hold


def write_hold(hold: Hold) -> bytes:
    """The file of a hold. Deleting the file lifts the hold."""
    header = write_front_matter(hold.model_dump(mode="python", exclude_none=True))
    text = (
        f"# {one_line(hold.on)} is held\n\n"
        f"Since {hold.since:%Y-%m-%d %H:%M} UTC: {one_line(hold.reason)}.\n\n"
        f"What is missing: {one_line(hold.missing)}.\n\n"
        f"Tasks wait in `queue/`; none is lost. hqd goes on by itself where it can see that the cause is gone. "
        f"Otherwise run `hqd resume {one_line(hold.name)}`, or delete this file.\n"
    )
    return (header + text).encode("utf-8", "replace")


def read_hold(data: bytes, path: str) -> tuple[Hold | None, tuple[Problem, ...]]:
    """The hold in a file, or what is wrong with it. A hold whose file is broken is still a hold to its reader."""
    document = read_document(data, path)
    if document.problems:
        return None, document.problems
    return shape(Hold, document.header, path, document.line)


def hold_message(hold: Hold, event: Event) -> str:
    """The commit message of a hold that begins (`held`) or ends (`lifted`)."""
    why = one_line(event.message or hold.missing)[:300]
    subject = f"hqd: {one_line(hold.on)} {event.event.value}"
    via = f"Hqd-Via: {event.via.value}\n" if event.via is not None else ""
    return (
        f"{subject}\n\n{hold.reason}: {why}\n\nHqd-Event: {event.event.value}\nHqd-Hold: {one_line(hold.name)}\n{via}"
    )
