"""Look for known vulnerabilities in what is locked: `python -m tests.audit`.

Fails where one is found; where the advisory database cannot be asked, says so and passes.
"""

import json
import subprocess
import sys

_LOCKS = ("requirements.lock", "requirements-model.lock")
_SECONDS = 120


def main() -> None:
    """Exit with 1 and a list where something locked is known to be vulnerable."""
    asked = [part for lock in _LOCKS for part in ("--requirement", lock)]
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", *asked]
    try:
        done = subprocess.run(
            [*command, "--format", "json", "--progress-spinner", "off"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        found = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        print("pip-audit: skipped, the advisory database does not answer.")
        return
    except ValueError:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        print(f"pip-audit: skipped, the advisory database cannot be asked ({last}).")
        return
    _report(found)


def _report(found: list[dict[str, object]]) -> None:
    unknown = [str(one["name"]) for one in found if "skip_reason" in one]
    vulnerable = [one for one in found if one.get("vulns")]
    if len(unknown) == len(found):
        print("pip-audit: skipped, the advisory database behind this network knows no package.")
    elif unknown:
        print(f"pip-audit: could not look at {', '.join(unknown)}.")
    for one in vulnerable:
        print(f"pip-audit: {one['name']} {one['version']} is vulnerable: {one['vulns']}")
    if vulnerable:
        sys.exit(1)


if __name__ == "__main__":
    main()
