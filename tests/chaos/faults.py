"""What can be done to the world: every fault by name. Each undoes itself; none looks at what it did to the events."""

from tests.chaos import (
    faults_broker,
    faults_clock,
    faults_disk,
    faults_group,
    faults_network,
    faults_partition,
    faults_point,
    faults_postgres,
    faults_process,
    faults_topic,
)
from tests.chaos.fault import Fault

__all__ = ["FAULTS", "Fault"]

FAULTS: tuple[Fault, ...] = (
    *faults_process.FAULTS,
    *faults_point.FAULTS,
    *faults_partition.FAULTS,
    *faults_group.FAULTS,
    *faults_broker.FAULTS,
    *faults_postgres.FAULTS,
    *faults_network.FAULTS,
    *faults_disk.FAULTS,
    *faults_clock.FAULTS,
    *faults_topic.FAULTS,
)
