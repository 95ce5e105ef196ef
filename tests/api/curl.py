"""Runs the commands of a document: by bash and curl, or, where there is no curl, by hand.

The stand-in understands what our documents use: variables, quotes, line ends with a backslash,
one here-document, `cat > FILE`, and the options -s -X -H -d -G --data-binary -o -w.
"""

import re
import shlex
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

STATUS = "\n%{http_code}"


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    status: int
    body: str


def has_curl() -> bool:
    """Whether commands can be run as a person runs them."""
    return bool(shutil.which("curl") and shutil.which("bash"))


def run(script: str, *, variables: Mapping[str, str], folder: Path) -> Answer:
    """Run one block; its last line is a curl command. By curl where there is one."""
    if has_curl():
        return by_curl(script, variables=variables, folder=folder)
    return by_hand(script, variables=variables, folder=folder)


def by_curl(script: str, *, variables: Mapping[str, str], folder: Path) -> Answer:
    """As a person runs it; curl is made to say the status behind the body."""
    script = re.sub(r"^curl ", f"curl -w '{STATUS}' ", script, flags=re.MULTILINE)
    done = subprocess.run(
        ["bash", "-eu", "-c", script],
        env={**variables, "PATH": "/usr/bin:/bin"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return Answer(int(status), body)


def by_hand(script: str, *, variables: Mapping[str, str], folder: Path) -> Answer:
    """The same without curl and bash."""
    answer = None
    for command, given in _commands(script, variables):
        words = shlex.split(command)
        if words[0] == "cat":
            (folder / words[2]).write_text(given)
        elif words[0] == "curl":
            answer = _curl(words[1:], given, folder)
        else:
            raise AssertionError(f"this cannot be run without a shell: {command}")
    assert answer is not None, script
    return answer


def _commands(script: str, variables: Mapping[str, str]) -> list[tuple[str, str]]:
    """Each command with its here-document."""
    lines = iter(script.replace("\\\n", " ").splitlines())
    found = []
    for line in lines:
        here = re.search(r"<<('?)(\w+)\1", line)
        text = ""
        if here:
            for inner in lines:
                if inner == here[2]:
                    break
                text += inner + "\n"
            line = line.replace(here[0], "")  # noqa: PLW2901 (what is left of it)
            text = text if here[1] else _filled(text, variables)
        found.append((_filled_outside_quotes(line, variables), text))
    return found


def _filled(text: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda match: variables[match[1]], text)


def _filled_outside_quotes(line: str, variables: Mapping[str, str]) -> str:
    parts = re.split(r"('[^']*')", line)
    return "".join(p if p.startswith("'") else _filled(p, variables) for p in parts)


def _curl(words: list[str], given: str, folder: Path) -> Answer:
    method, url, headers = "", "", {}
    data: list[str] = []
    query = "-G" in words
    rest = iter(word for word in words if word not in {"-s", "-G"})
    for word in rest:
        if word == "-X":
            method = next(rest)
        elif word == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = value
        elif word in {"-d", "--data-binary"}:
            data.append(_data(next(rest), given, folder))
        else:
            url = word
    body = "&".join(data)
    if query:
        url, body = f"{url}?{body}", ""
    request = urllib.request.Request(
        url, body.encode() if body else None, headers, method=method or ("POST" if body else "GET")
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return Answer(response.status, response.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read().decode())


def _data(value: str, given: str, folder: Path) -> str:
    if value == "@-":
        return given
    return (folder / value[1:]).read_text() if value.startswith("@") else value
