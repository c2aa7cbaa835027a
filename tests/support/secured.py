"""Real servers as in production: TLS everywhere, SCRAM and client certificates, ACLs and roles, nothing by trust.

What is applied are the files of `deploy/`: the tests prove them.
"""

import datetime
import os
import pwd
import secrets
import shutil
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import trustme
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from deploy.kafka import acls
from ops.migrate.run import migrate, packaged_migrations
from sandbox.devstack.kafka import KafkaExtra
from sandbox.devstack.ports import HOST
from sandbox.devstack.postgres import UNPRIVILEGED_USER, PostgresExtra
from sandbox.devstack.stack import Devstack, DevstackConfig

ADMIN, BROKER = "ringover-admin", "broker"
SERVICES = ("ringover-ingress", "ringover-processor", "ringover-reader", "ringover-operator", "ringover-topics")
IDENTITIES = (ADMIN, *SERVICES, "billing")
ROLES = ("ringover_migrator", "ringover_processor", "ringover_operator", "ringover_reader")
ROLES_FILE = Path(__file__).parents[2] / "deploy" / "postgres" / "roles.sql"
LONG_AGO = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Files:
    """The certificates, keys and passwords in a directory; names are those of the identities."""

    directory: Path
    passwords: Mapping[str, str] = field(repr=False)

    @property
    def ca(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def other_ca(self) -> Path:
        return self.directory / "other-ca.pem"

    def certificate(self, name: str) -> Path:
        return self.directory / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.directory / f"{name}.key"

    def password_file(self, name: str) -> Path:
        return self.directory / f"{name}.password"


@dataclass(frozen=True)
class Secured:
    """The running servers, and what each identity needs to connect."""

    stack: Devstack
    files: Files

    def listener(self, name: str, *, host: str = HOST) -> str:
        """Where one of the broker's further listeners is: SCRAM, or EXPIRED with a certificate that has."""
        return f"{host}:{self.stack.kafka.listeners[name]}"

    def by_password(self, name: str) -> dict[str, str]:
        """The KAFKA_* settings of an identity that proves itself by SCRAM-SHA-512."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.listener("SCRAM"),
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_USERNAME": name,
            "KAFKA_SASL_PASSWORD_FILE": str(self.files.password_file(name)),
            "KAFKA_SSL_CA_FILE": str(self.files.ca),
        }

    def by_certificate(self, name: str) -> dict[str, str]:
        """The KAFKA_* settings of an identity that proves itself by a client certificate; its key is encrypted."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.stack.kafka_bootstrap_servers,
            "KAFKA_SECURITY_PROTOCOL": "SSL",
            "KAFKA_SSL_CA_FILE": str(self.files.ca),
            "KAFKA_SSL_CERT_FILE": str(self.files.certificate(name)),
            "KAFKA_SSL_KEY_FILE": str(self.files.key(name)),
            "KAFKA_SSL_KEY_PASSWORD_FILE": str(self.files.password_file(name)),
        }

    def certificate(self, name: str) -> dict[str, str]:
        """The settings of a certificate without rights; its key is not encrypted."""
        return {
            "KAFKA_SSL_CERT_FILE": str(self.files.certificate(name)),
            "KAFKA_SSL_KEY_FILE": str(self.files.key(name)),
        }

    def services(self, database_url: str) -> dict[str, dict[str, str]]:
        """What makes each program itself, by the names that `Programs` uses; ops is the operator."""
        database = urlsplit(database_url).path.removeprefix("/")
        return {
            "ingress": self.by_password("ringover-ingress"),
            "processor": {
                **self.by_certificate("ringover-processor"),
                "DATABASE_URL": self.database_url("ringover_processor", database),
            },
            "ops": {
                **self.by_password("ringover-operator"),
                "DATABASE_URL": self.database_url("ringover_operator", database),
            },
        }

    def librdkafka(self, name: str) -> dict[str, str | int | float | bool]:
        """The same for an independent client."""
        return {
            "bootstrap.servers": self.stack.kafka_bootstrap_servers,
            "security.protocol": "ssl",
            "ssl.ca.location": str(self.files.ca),
            "ssl.certificate.location": str(self.files.certificate(name)),
            "ssl.key.location": str(self.files.key(name)),
            "ssl.key.password": self.files.passwords[name],
        }

    def database_url(self, role: str, database: str, *, host: str = HOST) -> str:
        """The URL of a role; the password is in it, as in production's secret."""
        password = quote(self.files.passwords[role], safe="")
        ca = quote(str(self.files.ca), safe="")
        port = self.stack.postgres.port
        return f"postgresql://{role}:{password}@{host}:{port}/{database}?sslmode=verify-full&sslrootcert={ca}"


@contextmanager
def secured() -> Iterator[Secured]:
    """Kafka with SCRAM and mTLS listeners and PostgreSQL with TLS only, while the context is open."""
    with tempfile.TemporaryDirectory(prefix="ringover-secured-") as made:
        directory = Path(made)
        directory.chmod(0o711)  # PostgreSQL runs as another user
        files = make_files(directory)
        with Devstack(DevstackConfig(kafka_extra=_kafka(files), postgres_extra=_postgres(files))) as stack:
            yield Secured(stack, files)


def grant_topics(servers: Secured, *, prefix: str, group: str) -> list[AclBinding]:
    """Apply deploy/kafka/acls.toml; the bindings that were made."""
    bindings = [binding for acl in acls.read(prefix=prefix, group=group) for binding in bindings_of(acl)]
    create_acls(servers, bindings)
    return bindings


def bindings_of(acl: acls.Acl) -> list[AclBinding]:
    """A rule of the file for CreateAcls."""
    return [
        AclBinding(
            ResourceType[acl.resource.replace("-", "_").upper()],
            acl.name,
            ResourcePatternType[acl.pattern.upper()],
            f"User:{acl.principal}",
            "*",
            AclOperation["DESCRIBE_CONFIGS" if operation == "DescribeConfigs" else operation.upper()],
            AclPermissionType.ALLOW,
        )
        for operation in acl.operations
    ]


def create_acls(servers: Secured, bindings: list[AclBinding]) -> None:
    """CreateAcls as the administrator; the answer comes when the controller has them."""
    admin = AdminClient(servers.librdkafka(ADMIN))
    for done in admin.create_acls(bindings).values():
        done.result(timeout=20)


def delete_acls(servers: Secured, bindings: list[AclBinding]) -> None:
    """DeleteAcls as the administrator, of exactly these."""
    admin = AdminClient(servers.librdkafka(ADMIN))
    names = ("restype", "name", "resource_pattern_type", "principal", "host", "operation", "permission_type")
    filters = [AclBindingFilter(*(getattr(binding, name) for name in names)) for binding in bindings]
    for done in admin.delete_acls(filters).values():
        assert done.result(timeout=20), "there was nothing to delete"


def make_tables(servers: Secured, database_url: str) -> None:
    """Roles, schema by the migrator, and the rights on what it made; `database_url` is the administrator's."""
    grant_tables(servers, database_url)
    database = urlsplit(database_url).path.removeprefix("/")
    migrate(servers.database_url("ringover_migrator", database), packaged_migrations())
    grant_tables(servers, database_url)


def grant_tables(servers: Secured, database_url: str) -> None:
    """Apply deploy/postgres/roles.sql, and give the login roles their passwords."""
    with psycopg.connect(database_url) as connection:
        connection.execute(ROLES_FILE.read_bytes())
        for role in ROLES:
            connection.execute(f"ALTER ROLE {role} PASSWORD '{servers.files.passwords[role]}'".encode())


def make_files(directory: Path) -> Files:
    """A certificate authority and what it issued; the certificate of a server is good for 127.0.0.1 and no name."""
    passwords = {name: secrets.token_hex(16) for name in (*IDENTITIES, BROKER, *ROLES, "ringover")}
    files = Files(directory, passwords)
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(files.ca)
    other.cert_pem.write_to_path(files.other_ca)
    for name in IDENTITIES:
        _write(
            files,
            name,
            authority.issue_cert(f"{name}.test", common_name=name),
            BestAvailableEncryption(passwords[name].encode()),
        )
    for name in (BROKER, "postgres"):
        _write(files, name, authority.issue_cert(HOST, common_name=name), NoEncryption())
    _write(files, "expired", authority.issue_cert(HOST, common_name=ADMIN, not_after=LONG_AGO), NoEncryption())
    _write(files, "stranger", other.issue_cert("stranger.test", common_name=ADMIN), NoEncryption())
    for name, password in passwords.items():
        files.password_file(name).write_text(f"{password}\n")
    return files


def _write(files: Files, name: str, issued: trustme.LeafCert, encryption: KeySerializationEncryption) -> None:
    """Certificate, key (PKCS #8, as Kafka wants it), and both in one file, as Kafka's PEM key stores are."""
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    key_text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    chain = b"".join(certificate.bytes() for certificate in issued.cert_chain_pems)
    files.certificate(name).write_bytes(chain)
    files.key(name).write_bytes(key_text)
    (files.directory / f"{name}.pem").write_bytes(key_text + chain)


def _kafka(files: Files) -> KafkaExtra:
    settings = {
        # CLIENT is for client certificates, and for the broker itself.
        "listener.security.protocol.map": "CLIENT:SSL,CONTROLLER:SSL,SCRAM:SASL_SSL,EXPIRED:SSL",
        "ssl.client.auth": "required",
        "ssl.principal.mapping.rules": "RULE:^CN=([^,]+),.*$/$1/,DEFAULT",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": files.directory / f"{BROKER}.pem",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": files.ca,
        "listener.name.scram.ssl.client.auth": "none",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.scram.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "listener.name.expired.ssl.keystore.location": files.directory / "expired.pem",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        # The broker talks to its controller as itself.
        "super.users": f"User:{ADMIN};User:{BROKER}",
    }
    credentials = [f"SCRAM-SHA-512=[name={name},password={files.passwords[name]}]" for name in IDENTITIES]
    options = tuple(word for credential in credentials for word in ("--add-scram", credential))
    tls = ssl.create_default_context(cafile=files.ca)
    tls.load_cert_chain(files.certificate(BROKER), files.key(BROKER))
    return KafkaExtra(settings, {"SCRAM": 0, "EXPIRED": 0}, options, tls)


def _postgres(files: Files) -> PostgresExtra:
    access = files.directory / "pg_hba.conf"
    access.write_text(f"hostssl all all {HOST}/32 scram-sha-256\n")
    key = files.key("postgres")
    if os.geteuid() == 0:
        user = pwd.getpwnam(UNPRIVILEGED_USER)
        shutil.chown(key, user.pw_uid, user.pw_gid)
    key.chmod(0o600)
    return PostgresExtra(
        settings={
            "ssl": "on",
            "ssl_cert_file": str(files.certificate("postgres")),
            "ssl_key_file": str(key),
            "hba_file": str(access),
            "password_encryption": "scram-sha-256",
        },
        initdb_options=("--auth=scram-sha-256", f"--pwfile={files.password_file('ringover')}"),
        password=files.passwords["ringover"],
        connection={"sslmode": "verify-full", "sslrootcert": str(files.ca)},
        programs=_programs_with_tls(),
    )


def _programs_with_tls() -> Path:
    """A PostgreSQL of the machine: the devstack's is built without TLS. Missing infrastructure is an error."""
    chosen = os.environ.get("TEST_POSTGRES_PROGRAMS")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if chosen is None and not found:
        raise RuntimeError("no PostgreSQL with TLS: apt install postgresql, or set TEST_POSTGRES_PROGRAMS")
    return Path(chosen) if chosen else found[-1].parent
