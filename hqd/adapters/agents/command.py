"""Any program as an agent: the prompt on stdin, the answer on stdout or in the file named by HQD_OUTPUT."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hqd.adapters import process
from hqd.adapters.agents import parsers
from hqd.adapters.agents.presets import PRESETS, Preset
from hqd.adapters.agents.prices import priced
from hqd.adapters.environment import passing
from hqd.adapters.secrets import reference
from hqd.adapters.written import written_to
from hqd.codec.own_words import Parsed, one_line, own_words
from hqd.core.secret_scan import mask, mask_bytes
from hqd.errors import EXIT_TEMPORARY, joined
from hqd.model.attempt import Answer, Question
from hqd.model.failure import Failure
from hqd.model.settings import AgentSettings, Price
from hqd.ports import Secrets

_ERROR_LINES = 20
_TERM_GRACE = 2.0  # seconds between TERM and KILL


@dataclass(frozen=True, slots=True)
class _Call:
    """One start of a program, worked out. `secrets` are the values to be struck out of all that comes back."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    parser: str
    cwd: Path
    output: Path
    secrets: tuple[str, ...]


class _MissingSecret(Exception):
    pass


class CommandAgent:
    """Starts programs. `env` is hqd's own environment, of which the allow-list passes; `scratch` a temporary folder."""

    def __init__(
        self, env: Mapping[str, str], secrets: Secrets, prices: Mapping[str, Price], scratch: Path | None = None
    ) -> None:
        self._env = env
        self._secrets = secrets
        self._prices = prices
        self._scratch = scratch

    def answer(self, question: Question, stop: threading.Event, progress: Callable[[str], None]) -> Answer:
        """Exit 0 claims success, 75 is transient, the rest failed; a program that cannot be started is a hold."""
        with self._temporary() as folder:
            try:
                call = self._call(question, folder)
            except _MissingSecret as error:
                return Answer(text="", raw=b"", failure=Failure.CREDENTIALS, message=str(error))
            try:
                result = self._run(call, question, stop, progress)
            except process.CannotStart as error:
                message = mask(joined(error.message, error.remedy, ": "), call.secrets)
                return Answer(text="", raw=b"", failure=Failure.PROVIDER, message=message)
            written = written_to(call.output, question.max_bytes)
        parsed = _judged(result, _parsed(call.parser, result, written), question)
        usage = priced(parsed.usage, parsed.model or question.settings.model, question.settings, self._prices)
        return _masked(replace(parsed, usage=usage), _raw(result, written), result, call.secrets, question)

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[Path]:
        folder = Path(tempfile.mkdtemp(prefix="hqd-agent-", dir=self._scratch))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _run(
        self, call: _Call, question: Question, stop: threading.Event, progress: Callable[[str], None]
    ) -> process.Result:
        def show(data: bytes) -> None:
            lines = data.decode("utf-8", "replace").strip().splitlines()
            if lines and call.parser == "text":
                progress(mask(one_line(lines[-1], 120), call.secrets))

        return process.run(
            call.argv,
            env=call.env,
            cwd=call.cwd,
            stdin=question.text.encode("utf-8", "surrogatepass"),
            timeout=question.timeout,
            stop=stop,
            max_stdout=question.max_bytes,
            grace=_TERM_GRACE,
            on_stdout=show,
        )

    def _call(self, question: Question, folder: Path) -> _Call:
        settings = question.settings
        preset = PRESETS[settings.preset] if settings.preset else None
        own = self._resolved(settings.env)
        base = passing(self._env, settings.pass_env + (preset.passes if preset else ()))
        if preset is not None:
            base = {**preset.env, **base, **self._keys(preset)}
            if settings.base_url and preset.base_url_variable:
                base[preset.base_url_variable] = settings.base_url
        work = folder / "work"
        work.mkdir()
        output = question.output_file if question.output_file is not None else folder / "output.json"
        output.unlink(missing_ok=True)
        facts = {
            "HQD_TASK": question.task,
            "HQD_STEP": question.step,
            "HQD_ATTEMPT": str(question.attempt),
            "HQD_OUTPUT": str(output),
            "HQD_SLOT": str(question.slot),
        }
        return _Call(
            argv=(*preset.argv(question, folder), *settings.args, *preset.last)
            if preset
            else settings.argv + settings.args,
            env={**base, **own, **facts},
            parser=settings.parser or (preset.parser if preset else "text"),
            cwd=question.cwd if question.cwd is not None else work,
            output=output,
            secrets=self._values(settings, own, preset, base),
        )

    def _resolved(self, env: Mapping[str, str]) -> dict[str, str]:
        """The agent's own variables with `secret:NAME` looked up. Raises _MissingSecret."""
        values = {}
        for variable, value in env.items():
            name = reference(value)
            found = value if name is None else self._secrets.get(name)
            if found is None:
                raise _MissingSecret(f"secret:{name}, for {variable}, is not found")
            values[variable] = found
        return values

    def _keys(self, preset: Preset) -> dict[str, str]:
        found = {variable: self._secrets.get(name) for variable, name in preset.keys.items()}
        return {variable: value for variable, value in found.items() if value is not None}

    def _values(
        self, settings: AgentSettings, own: Mapping[str, str], preset: Preset | None, base: Mapping[str, str]
    ) -> tuple[str, ...]:
        secret = {own[variable] for variable, value in settings.env.items() if reference(value) is not None}
        if preset is not None:
            secret |= {base[variable] for variable in preset.secret if variable in base}
        return tuple(sorted(secret))


def _parsed(parser: str, result: process.Result, written: bytes | None) -> Parsed:
    """The file wins over stdout; what only stdout tells is kept: the answer itself, or usage."""
    said = parsers.parse(parser, result.stdout, result.exit)
    if not written:
        return said
    words = own_words(written)
    if not words.spoke:
        words = replace(words, text=said.text)
    if words.usage.tokens == 0 and words.usage.cost is None:
        words = replace(words, usage=said.usage)
    if said.failure is not None and words.failure is None:
        words = replace(words, failure=said.failure, message=said.message)
    return replace(words, model=words.model or said.model, stop=words.stop or said.stop)


def _judged(result: process.Result, parsed: Parsed, question: Question) -> Parsed:
    """How the process ended goes before what it said."""
    if result.stopped:
        return replace(parsed, failure=Failure.INTERRUPTED, message="stopped")
    if result.timed_out:
        return replace(parsed, failure=Failure.TIMEOUT, message=f"not done after {question.timeout:g} s")
    if result.capped or len(parsed.text.encode("utf-8", "replace")) > question.max_bytes:
        message = f"printed more than {question.max_bytes} bytes"
        return replace(parsed, text="", failure=Failure.TRUNCATED, message=message)
    if result.exit == EXIT_TEMPORARY:
        return replace(parsed, failure=Failure.TRANSIENT, message=_why(result, parsed))
    if parsed.failure is not None:
        return replace(parsed, message=parsed.message or _why(result, parsed))
    return parsed


def _why(result: process.Result, parsed: Parsed) -> str:
    """The last lines of stderr, else what the program said, else its exit code."""
    lines = [line for line in result.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return "\n".join(lines[-_ERROR_LINES:]) or parsed.message or _how_it_ended(result.exit)


def _how_it_ended(code: int) -> str:
    """An exit code in words; a negative one is the signal that killed it."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by signal {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _raw(result: process.Result, written: bytes | None) -> bytes:
    parts = [result.stdout]
    if result.stderr:
        parts.append(b"\n----- stderr -----\n" + result.stderr)
    if written:
        parts.append(b"\n----- HQD_OUTPUT -----\n" + written)
    return b"".join(parts)


def _masked(parsed: Parsed, raw: bytes, result: process.Result, secrets: tuple[str, ...], question: Question) -> Answer:
    def clean(text: str) -> str:
        return mask(text, secrets)

    return Answer(
        text=clean(parsed.text),
        raw=mask_bytes(raw, secrets),
        usage=parsed.usage,
        model=parsed.model or question.settings.model,
        failure=parsed.failure,
        message=clean(parsed.message),
        stop=parsed.stop or str(result.exit),
        needs_human=None if parsed.needs_human is None else clean(parsed.needs_human),
        replan=None if parsed.replan is None else clean(parsed.replan),
        decisions=tuple(json.loads(clean(json.dumps(row))) for row in parsed.decisions),
    )
