"""The yardstick of S1 and S2: the same client asks the same questions and stores nothing.

Reads the requests from a file, keeps so many in flight, prints the rate and its CPU as JSON.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from openai import AsyncOpenAI, DefaultAioHttpClient


async def run(url: str, requests: list[dict[str, object]], in_flight: int) -> float:
    """Ask all of them; seconds from the first request to the last answer."""
    async with AsyncOpenAI(
        base_url=url, api_key="fake", max_retries=0, http_client=DefaultAioHttpClient()
    ) as client:
        waiting = iter(requests)

        async def slot() -> None:
            for body in waiting:
                answer = await client.chat.completions.create(**body)  # type: ignore[call-overload]
                json.loads(answer.choices[0].message.content)

        begun = time.monotonic()
        await asyncio.gather(*(slot() for _ in range(in_flight)))
        return time.monotonic() - begun


def main() -> None:
    url, path, in_flight = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    requests = json.loads(path.read_text())
    cpu = time.process_time()
    seconds = asyncio.run(run(url, requests, in_flight))
    cpu = time.process_time() - cpu
    print(json.dumps({"rate": len(requests) / seconds, "cpu_ms": cpu / len(requests) * 1000}))


if __name__ == "__main__":
    main()
