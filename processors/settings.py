"""Reads the settings of the processor."""

from pydantic import Field

from runtime.settings import DatabaseSettings, KafkaSettings, LogSettings
from schemas.topics import TopicNames


class RawLogSettings(KafkaSettings):
    """Names the raw log, for everything that asks the state table about it."""

    processor_log_id: str | None = Field(
        default=None,
        description="Identity of the raw log in the state table; default `<raw topic>@1`. "
        "Change it when the topic was deleted and made again",
    )

    @property
    def raw_topic(self) -> str:
        return TopicNames(self.kafka_topic_prefix).raw

    @property
    def log_name(self) -> str:
        """The raw log's name in the state table."""
        return self.processor_log_id or f"{self.raw_topic}@1"


class ProcessorSettings(RawLogSettings, DatabaseSettings, LogSettings):
    """Holds everything that the processor reads from the environment."""

    processor_group: str = Field(default="ringover-normalizer", min_length=1, description="Consumer group")
    processor_host: str = Field(default="0.0.0.0", description="Address of the admin port")  # noqa: S104 - probes
    processor_admin_port: int = Field(default=9081, ge=0, le=65535, description="Port of /livez, /readyz, /metrics")
    processor_batch_records: int = Field(default=4000, ge=1, le=10_000, description="Most records in one transaction")
    processor_session_timeout_seconds: float = Field(
        default=10, ge=1, le=300, description="Silence after which the group takes a processor's partitions away"
    )
    processor_drain_seconds: float = Field(
        default=8, ge=1, le=60, description="Time to finish open transactions on SIGTERM"
    )
    processor_database_connections: int = Field(default=4, ge=1, le=64, description="Connections to PostgreSQL")
