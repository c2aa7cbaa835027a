"""`demo --keep`: says how to use what runs, and waits."""

import shlex
import threading

from ops.kit.output import stdout
from ops.send.samples import specification
from sandbox.demo.services import Access, Services
from sandbox.devstack.stack import Devstack
from schemas.events import PATH_PREFIX

WATCH_SECONDS = 0.5


def serve(started: Services, stack: Devstack, stop: threading.Event) -> None:
    """Print addresses and commands, then wait for `stop`.

    Raises:
        DevstackError: a server or process ended by itself.
    """
    stdout().print(usage(started.access), soft_wrap=True)
    while not stop.wait(WATCH_SECONDS):
        if dead := stack.dead() or started.dead():
            raise dead


def usage(access: Access) -> str:
    """What to type in another terminal."""
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in access.env.items())
    admin = "\n".join(f"  {name}: {url}/readyz  {url}/metrics" for name, url in access.admin_urls.items())
    body = shlex.quote(specification("call-started").body.decode())
    return f"""
Everything runs until Ctrl-C. In another terminal:

{exports}
ringover-ops tail                     # normalized events as they come
ringover-ops send --sample all --url {access.url}
ringover-ops lag
curl -i {access.url}{PATH_PREFIX}call-started -H 'Content-Type: application/json' \\
  -H 'Authorization: Bearer {access.token}' -d {body}

Probes and metrics:
{admin}
"""
