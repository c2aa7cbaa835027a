"""Runs the demo from beginning to end: starts everything, exercises it, reports, checks, and stops everything."""

import shlex
import shutil
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ops.kit.errors import EXIT_FAILED, EXIT_OK, OpsError, UsageError
from ops.kit.output import say, shorten, stderr, stdout
from ops.migrate.run import migrate, packaged_migrations
from ops.send.samples import specification
from ops.topics.run import apply_topics
from runtime.settings import KafkaSettings
from sandbox.demo.checks import check_all
from sandbox.demo.exercise import Workload, exercise
from sandbox.demo.interrupt import Interrupt
from sandbox.demo.observed import rates
from sandbox.demo.progress import StepDisplay
from sandbox.demo.report import print_checks, print_report
from sandbox.demo.services import Access, Services, services
from sandbox.demo.workload import broken_steps, expected, flatten, generated_calls, specification_steps
from sandbox.devstack.errors import AbortedError, DevstackError
from sandbox.devstack.stack import Devstack, DevstackConfig
from schemas.events import PATH_PREFIX

EXIT_INTERRUPTED = 130  # as shells report SIGINT
LOG_LINE_CHARACTERS = 300
DEVSTACK = "devstack"  # its data below ours
LOAD_PREFIX = "demo_call_"
WATCH_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """Holds what the command line asked for."""

    calls: int
    keep: bool
    data_dir: Path | None


def run_demo(options: DemoOptions) -> int:
    """Run it; returns the exit code. Whatever happens, nothing is left running.

    A temporary data directory is removed unless something failed: then its path is shown.

    Raises:
        OpsError: something could not be started or stopped answering.
    """
    directory = _directory(options.data_dir)
    code = EXIT_FAILED
    try:
        with Interrupt() as interrupt:
            code = _run(options, directory, interrupt)
    except AbortedError:
        say("stopped; nothing is left running")
        code = EXIT_INTERRUPTED
    except DevstackError as error:
        for line in error.log_tail.splitlines():
            stderr().print(shorten(line, LOG_LINE_CHARACTERS))
        raise OpsError(str(error)) from error
    finally:
        if code == EXIT_FAILED:
            say(f"data and logs: {directory}")
        elif options.data_dir is None:
            shutil.rmtree(directory, ignore_errors=True)
    return code


def _run(options: DemoOptions, directory: Path, interrupt: Interrupt) -> int:
    steps = StepDisplay()
    with ExitStack() as running:
        with steps.step("starting Kafka and PostgreSQL"):
            stack = running.enter_context(
                Devstack(DevstackConfig(data_dir=directory / DEVSTACK), abort=interrupt.event)
            )
        settings = _settings(stack.kafka_bootstrap_servers)
        with steps.step("creating topics and tables"):
            interrupt.run(apply_topics(settings))
            migrate(stack.database_url, packaged_migrations())
        with steps.step("starting one ingress and two processors"):
            started = running.enter_context(services(directory, stack.env(), aborted=interrupt.event.is_set))
        try:
            code = _exercise_and_report(options, settings, started.access, interrupt, steps)
        except OpsError:
            if dead := stack.dead() or started.dead():
                raise dead from None  # the cause, not what we noticed of it
            raise
        if options.keep:
            serve(started, stack, interrupt.event)
        with steps.step("stopping everything"):
            running.close()
    return code


def _exercise_and_report(
    options: DemoOptions, settings: KafkaSettings, access: Access, interrupt: Interrupt, steps: StepDisplay
) -> int:
    scenario = [*specification_steps(), *broken_steps()]
    plan = Workload(scenario, list(generated_calls(options.calls)))
    observed = interrupt.run(exercise(settings, access, plan, steps))
    console = stdout()
    print_report(console, observed, rates(observed, call_prefix=LOAD_PREFIX))
    checks = check_all(observed, expected([*scenario, *flatten(plan.calls)]), scenario)
    print_checks(console, checks)
    return EXIT_OK if all(check.holds for check in checks) else EXIT_FAILED


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
    """Write what to type in another terminal."""
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


def _directory(chosen: Path | None) -> Path:
    if chosen is not None:
        if (chosen / DEVSTACK).exists():
            # Its claims and offsets would make duplicates of all that is posted.
            raise UsageError(f"{chosen} holds an earlier run: remove it or choose another directory")
        try:
            chosen.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot use {chosen}: {error.strerror}") from error
        return chosen.resolve()
    directory = Path(tempfile.mkdtemp(prefix="ringover-demo-"))
    directory.chmod(0o711)  # run by root, PostgreSQL becomes another user and must get through
    return directory


def _settings(bootstrap_servers: str) -> KafkaSettings:
    # Everything else by its default, whatever the caller's environment says: this cluster is ours.
    return KafkaSettings(
        kafka_bootstrap_servers=bootstrap_servers, kafka_topic_prefix="", kafka_security_protocol="PLAINTEXT"
    )
