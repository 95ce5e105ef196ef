"""The application that granian serves: Django behind the gateway."""

import contextlib
import gc
import multiprocessing
import resource
import signal
from importlib import import_module

from django.conf import settings
from django.utils.module_loading import import_string

from config.embedded import leash

# granian loads this in its worker. One whose main process was killed would go on answering on the
# port, with old code and nobody to stop it.
if main := multiprocessing.parent_process():
    leash.tie(main.pid or 0, signal.SIGKILL)

from config.gateway.app import Gateway
from config.wsgi import application as django_application

# Each connection is a file; many systems allow 1,024 unless a program asks for more.
with contextlib.suppress(ValueError, OSError):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8_192 if hard == resource.RLIM_INFINITY else min(8_192, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))

application = Gateway(
    django_application,
    threads=settings.WEB_THREADS,
    folder=settings.DATA_DIR / "spool",
    is_known=import_string("apps.api.senders.is_known_sender"),  # models: after Django's setup
)
# All that is loaded here stays for good. The garbage collector would walk it again and again,
# which was a seventh of the CPU of a request.
import_module(settings.ROOT_URLCONF)
gc.collect()
gc.freeze()
