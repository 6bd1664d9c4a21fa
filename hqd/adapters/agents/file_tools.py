"""The tools that a model may use on the files of its copy, and to say what no file can say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hqd.adapters.agents.workdir import OutsideOfCopy, Workdir

_READ_LIMIT = 200_000  # bytes of one file
_LIST_LIMIT = 2_000  # names
_HITS = 200
_SEARCH_FILE_LIMIT = 1_000_000  # bytes; larger files are not searched
_LINE = 300  # characters of one hit

ASK, REPLAN, ANSWER = "ask_human", "replan", "answer"


def _tool(name: str, description: str, **properties: str) -> dict[str, Any]:
    """A tool whose arguments are all texts; those whose description ends in `(optional)` may be left out."""
    schema = {
        "type": "object",
        "properties": {key: {"type": "string", "description": text} for key, text in properties.items()},
        "required": [key for key, text in properties.items() if not text.endswith("(optional)")],
    }
    return {"name": name, "description": description, "input_schema": schema}


TOOLS: tuple[dict[str, Any], ...] = (
    _tool("read_file", "Reads a text file of the working copy.", path="relative path"),
    _tool("write_file", "Writes a file, new or whole anew.", path="relative path", content="the whole content"),
    _tool(
        "edit_file",
        "Replaces one passage of a file. The passage must occur exactly once.",
        path="relative path",
        old="the passage as it stands, to the character",
        new="what shall stand there",
    ),
    _tool("list_files", "Lists the files below a folder.", folder="relative path; all files without it (optional)"),
    _tool(
        "search",
        "Finds a text in the files of the working copy: path:line: text.",
        text="the text to find, as it is",
        folder="relative path; all files without it (optional)",
    ),
    _tool(
        ASK, "Stops, and asks a person what you cannot settle yourself.", question="the question, with what you know"
    ),
    _tool(REPLAN, "Stops: the task as planned cannot be done, and an earlier step must be redone.", reason="why"),
)


class FileTools:
    """Carries out the calls of a model. A failed call is an answer to the model, never an exception."""

    def __init__(self, root: Path) -> None:
        self._copy = Workdir(root)
        self._acts: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
            "read_file": self._read,
            "write_file": self._write,
            "edit_file": self._edit,
            "list_files": self._list,
            "search": self._search,
        }

    def call(self, name: str, arguments: Mapping[str, Any]) -> tuple[str, bool]:
        """What the model is told, and whether it is an error."""
        act = self._acts.get(name)
        if act is None:
            return f"there is no tool {name}", True
        wrong = [key for key, value in arguments.items() if not isinstance(value, str)]
        if wrong:
            return f"not a text: {', '.join(wrong)}", True
        try:
            return act(arguments), False
        except KeyError as error:
            return f"missing argument: {error.args[0]}", True
        except (OutsideOfCopy, ValueError) as error:
            return str(error), True
        except OSError as error:
            return f"{error.strerror or error}", True

    def _text(self, path: str) -> str:
        data = self._copy.read(path, _READ_LIMIT + 1)
        if len(data) > _READ_LIMIT:
            raise ValueError(f"{path} is larger than {_READ_LIMIT} bytes; search in it instead")
        if b"\0" in data:
            raise ValueError(f"{path} is a binary file")
        return data.decode("utf-8", "replace")

    def _read(self, arguments: Mapping[str, Any]) -> str:
        return self._text(arguments["path"]) or "(the file is empty)"

    def _write(self, arguments: Mapping[str, Any]) -> str:
        content = arguments["content"].encode("utf-8", "surrogatepass")
        self._copy.write(arguments["path"], content)
        return f"wrote {len(content)} bytes to {arguments['path']}"

    def _edit(self, arguments: Mapping[str, Any]) -> str:
        path, old, new = arguments["path"], arguments["old"], arguments["new"]
        text = self._text(path)
        count = text.count(old) if old else 0
        if count != 1:
            raise ValueError(f"the passage occurs {count} times in {path}; it must occur exactly once")
        self._copy.write(path, text.replace(old, new).encode("utf-8", "surrogatepass"))
        return f"edited {path}"

    def _list(self, arguments: Mapping[str, Any]) -> str:
        names: list[str] = []
        for name in self._copy.paths(arguments.get("folder", ".")):
            if len(names) == _LIST_LIMIT:
                names.append("… (more files)")
                break
            names.append(name)
        return "\n".join(names) or "(no files)"

    def _search(self, arguments: Mapping[str, Any]) -> str:
        wanted = re.compile(re.escape(arguments["text"]))
        hits: list[str] = []
        for name in self._copy.paths(arguments.get("folder", ".")):
            data = self._copy.read(name, _SEARCH_FILE_LIMIT + 1)
            if len(data) > _SEARCH_FILE_LIMIT or b"\0" in data:
                continue
            for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
                if wanted.search(line):
                    hits.append(f"{name}:{number}: {line.strip()[:_LINE]}")
                    if len(hits) == _HITS:
                        return "\n".join([*hits, "… (more hits)"])
        return "\n".join(hits) or "(not found)"
