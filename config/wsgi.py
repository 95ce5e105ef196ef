"""The WSGI application that granian serves."""

import multiprocessing
import os
import signal

from django.core.wsgi import get_wsgi_application

from config.embedded import leash

# granian loads this in its worker. One whose main process was killed would go on answering on the
# port, with old code and nobody to stop it.
if main := multiprocessing.parent_process():
    leash.tie(main.pid or 0, signal.SIGKILL)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()
