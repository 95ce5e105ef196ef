"""Serve the bundled model: `model_server.py PORT FILE NAME CONTEXT THREADS`.

llama.cpp, with its own HTTP server, speaks the OpenAI protocol; this only sets it up and waits.
Run by path, in a process of its own, it imports nothing of Debrief.
"""

import signal
import sys

import xllamacpp


def main(arguments: list[str]) -> None:
    """Serve until SIGTERM or SIGINT."""
    port, file, name, context, threads = arguments
    # Blocked before llama.cpp starts its threads, so that none of them takes the signal instead.
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)

    parameters = xllamacpp.CommonParams()
    parameters.model.path = file
    parameters.model_alias = {name}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = int(port)
    # One request at a time, on all cores: as fast as several at once, and the first is done sooner.
    parameters.n_parallel = 1
    parameters.n_ctx = int(context)
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = int(threads)
    parameters.cache_ram_mib = 256
    parameters.n_gpu_layers = 0  # it is tiny: a graphics card would take longer to wake
    parameters.fit_params = False
    parameters.cors_origins = ""
    parameters.cors_origins_explicit = True
    parameters.ui = False
    server = xllamacpp.Server(parameters)
    print(f"serving {name} at {server.listening_address}", flush=True)  # noqa: T201 (its log)
    signal.sigwait(stop)


if __name__ == "__main__":
    main(sys.argv[1:])
