"""Exit with 0 while the web process of this container responds, else with 1 and the reason.

Run by path with `python -IS`: it imports nothing of Debrief, so a check costs milliseconds.
"""

import http.client
import os
import sys

PORT = 8000


def problem(port: int) -> str:
    """Return why `/healthz` on this port isn't 200; empty where it is."""
    hosts = os.environ.get("ALLOWED_HOSTS", "").split(",")
    host = hosts[0].strip().lstrip(".").strip("*") or "localhost"
    request = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    try:
        request.request("GET", "/healthz", headers={"Host": host})
        status = request.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"no response on port {port}: {error}"
    finally:
        request.close()
    return "" if status == http.HTTPStatus.OK else f"status {status} on port {port}"


if __name__ == "__main__":
    sys.exit(problem(int(sys.argv[1]) if len(sys.argv) > 1 else PORT) or 0)
