"""Makes Kafka clients' options from settings, converts their errors, and closes them within some seconds."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.conn import collect_hosts
from aiokafka.errors import KafkaError

from runtime import aiokafka_fixes
from runtime.broker_errors import broker_words
from runtime.errors import LogUnavailableError, RefusedError
from runtime.failures import problem_of
from runtime.logs import logger
from runtime.settings import KafkaSettings

REQUEST_TIMEOUT_MS = 10_000
METADATA_MAX_AGE_MS = 60_000
STOP_SECONDS = 5.0  # a client whose broker is away never ends by itself (aiokafka issue 1101)


def client_options(settings: KafkaSettings, *, client_id: str) -> dict[str, Any]:
    """Make the keyword arguments that aiokafka's consumer, producer and admin client share.

    Whoever asks for them gets clients with our fixes (`runtime.aiokafka_fixes`).

    Raises:
        RefusedError: no client could ever be made of these settings.
    """
    aiokafka_fixes.apply()
    try:
        collect_hosts(settings.kafka_bootstrap_servers)
        return _options(settings, client_id)
    except (OSError, ValueError) as error:
        raise RefusedError(f"the KAFKA_* settings are not usable: {error}") from error


def _options(settings: KafkaSettings, client_id: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "client_id": client_id,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "metadata_max_age_ms": METADATA_MAX_AGE_MS,
        "security_protocol": settings.kafka_security_protocol,
    }
    if settings.kafka_security_protocol.endswith("SSL"):
        options["ssl_context"] = _ssl_context(settings)
    if settings.kafka_security_protocol.startswith("SASL"):
        user, password = settings.kafka_sasl_username, settings.kafka_sasl_password
        if user is None or password is None:
            raise ValueError(f"{settings.kafka_security_protocol} needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD")
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = user
        options["sasl_plain_password"] = password.get_secret_value()
    return options


def _ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    with _about("KAFKA_SSL_CA_FILE"):
        context = ssl.create_default_context(cafile=settings.kafka_ssl_ca_file)
    if settings.kafka_ssl_cert_file is not None:
        password = settings.kafka_ssl_key_password
        # Without a password of ours OpenSSL would ask a terminal for one.
        secret = password.get_secret_value() if password else ""
        with _about("KAFKA_SSL_CERT_FILE, KAFKA_SSL_KEY_FILE, KAFKA_SSL_KEY_PASSWORD"):
            context.load_cert_chain(settings.kafka_ssl_cert_file, settings.kafka_ssl_key_file, password=secret)
    return context


@contextmanager
def _about(names: str) -> Iterator[None]:
    """Name the settings that an error is about: the library names neither them nor the file."""
    try:
        yield
    except OSError as error:  # also of TLS
        raise ValueError(f"{names}: {error.strerror or error}") from error


log = logger(__name__)


def quiet_dropped_futures(loop: asyncio.AbstractEventLoop) -> None:
    """Log in one debug line what the client drops: a dead producer leaves failed futures that nobody can await.

    So does a connection that is given up while the broker's name is still being looked up: the name of a container that
    is stopped is gone with it.
    """

    def handle(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if isinstance(context.get("exception"), KafkaError | socket.gaierror):
            log.debug("kafka.dropped_future", reason=repr(context["exception"]))
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)


def raise_if_fetching_ended(consumer: AIOKafkaConsumer) -> None:
    """Notice that the task which fetches for `consumer` has failed: nothing would come any more, without a word.

    Raises:
        LogUnavailableError: it has; only another consumer helps.
    """
    if (error := aiokafka_fixes.fetch_task_error(consumer)) is not None:
        raise LogUnavailableError(f"the client fetches no more: {problem_of(error.__cause__ or error)}") from error


async def partitions_by_topic(consumer: AIOKafkaConsumer) -> dict[str, set[int]]:
    """Asks the brokers for every topic that we may see, and its partitions."""
    seen = await aiokafka_fixes.all_metadata(consumer)
    return {name: set(seen.partitions_for_topic(name) or ()) for name in seen.topics()}


@contextmanager
def reading() -> Iterator[None]:
    """Turn the client's errors in a read into ours.

    Raises:
        LogUnavailableError: the broker reported an error, or did not answer in time.
    """
    try:
        yield
    except TimeoutError as error:
        raise LogUnavailableError("Kafka does not answer in time") from error
    except KafkaError as error:
        raise LogUnavailableError(f"Kafka: {broker_words(error)}") from error


async def close_producer(producer: AIOKafkaProducer) -> None:
    """Flush and close within some seconds, or abandon what is left; never raises for a broker that is away."""
    with suppress(KafkaError, OSError):
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await producer.stop()
        except TimeoutError:
            # stop() waits for its batches without end. Its sender task must go, or it would try for ever.
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await aiokafka_fixes.abandon_batches(producer)
            await producer.client.close()


async def close_consumer(consumer: AIOKafkaConsumer) -> None:
    """Leave the group and close within some seconds; never raises a Kafka error."""
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await consumer.stop()
    except (KafkaError, TimeoutError):
        return
    except asyncio.CancelledError:
        # stop() soon after start() lets its own inner cancellation out (aiokafka issue 647).
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
