"""The WSGI application that granian serves."""

import gc
import multiprocessing
import os
import signal
from importlib import import_module

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from config.embedded import leash

# granian loads this in its worker. One whose main process was killed would go on answering on the
# port, with old code and nobody to stop it.
if main := multiprocessing.parent_process():
    leash.tie(main.pid or 0, signal.SIGKILL)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()
# All that is loaded here stays for good. The garbage collector would walk it again and again,
# which was a seventh of the CPU of a request.
import_module(settings.ROOT_URLCONF)
gc.collect()
gc.freeze()
