"""`./quickstart`, once Python is there: hosts, server, images and the example, then what to try next."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from paddock.client.client import Client
from paddock.model.errors import PaddockError, UserError
from paddock.playground import engine, images
from paddock.playground.cluster import Cluster
from paddock.playground.playground import DEFAULT_NAME, DEFAULT_ROOT, Playground
from paddock.wire.api import ContainerView

HOSTS = 3
EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "shop" / "compose.yaml"
NEEDED = {"nginx": "nginx:latest", "python": "python:3-slim", "redis": "redis:latest", "busybox": "busybox:latest"}
CACHE = Path("/var/cache/paddock/images")
UP_TIMEOUT_S = 120


def main(before_s: float = 0.0) -> int:
    """`before_s`: how long the shell script has been at work already."""
    started_s = time.monotonic() - before_s
    try:
        cluster = Cluster(chosen_playground(), tell=say)
        url = bring_up(cluster)
    except PaddockError as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return 2
    print(what_now(url, time.monotonic() - started_s))
    return 0


def chosen_playground() -> Playground:
    """As with `paddock playground`: PADDOCK_PLAYGROUND says where, so that `--down` finds what this made."""
    root = Path(os.environ.get("PADDOCK_PLAYGROUND") or DEFAULT_ROOT)
    return Playground(root, DEFAULT_NAME if root == DEFAULT_ROOT else root.name, tell=say)


def bring_up(cluster: Cluster) -> str:
    """-> the address that answers."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        building = {name: pool.submit(images.build, name, CACHE) for name in NEEDED}
        cluster.up(HOSTS)
        load(cluster.playground, building)
    say("deploying the shop")
    paddock = str(Path(sys.executable).with_name("paddock"))
    done = subprocess.run(
        [paddock, "up", "-d", "--wait", "-f", str(EXAMPLE)], check=False, timeout=UP_TIMEOUT_S, stdout=sys.stderr
    )
    if done.returncode != 0:
        raise UserError("the shop did not come up", hint=f"see `{paddock} explain shop`")
    return shop_address(cluster)


def load(playground: Playground, building: dict[str, Future[Path]]) -> None:
    """Each image on every host that has it not."""
    for name, future in building.items():
        image = future.result()
        lacking = [host for host in playground.hosts if not engine.has_image(playground.socket(host), NEEDED[name])]
        if lacking:
            say(f"{NEEDED[name]} goes to {', '.join(lacking)}")
        with ThreadPoolExecutor(max_workers=HOSTS) as pool:
            list(pool.map(lambda host, image=image: playground.load(image, host), lacking))


def shop_address(cluster: Cluster) -> str:
    async def ask() -> list[ContainerView]:
        async with Client(cluster.endpoint()) as client:
            return await client.containers(stack="shop", service="web")

    web = asyncio.run(ask())
    addresses = {host.name: host.address for host in cluster.playground.status().hosts}
    if not web or web[0].host not in addresses:
        raise UserError("the shop's front end runs nowhere", hint="see `paddock explain shop-web-1`")
    return f"http://{addresses[web[0].host]}:8080/"


def say(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


def what_now(url: str, took_s: float) -> str:
    return f"""
Three hosts run the shop, {took_s:.0f} s after the start. It answers at

    {url}

Try next:

    .venv/bin/paddock ps                     what runs where
    .venv/bin/paddock logs -f -p shop        of all hosts, merged
    .venv/bin/paddock playground kill h2     a power failure; then look at `paddock ps` again

Stop and remove everything:  ./quickstart --down
"""


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.0))
