"""deploy/Dockerfile and the scripts beside it, read and linted, without a daemon."""

import os
import platform
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")
BUILD, RUN = DOCKERFILE.split("\nFROM ")[1:]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES: list[str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
DOCKERFILES = sorted((ROOT / "deploy").rglob("Dockerfile"))
SCRIPTS = [
    *sorted((ROOT / "deploy").rglob("*.sh")),
    *(ROOT / "deploy/verify" / name for name in ("kafka/run", "postgres/entrypoint")),
]


def lint(*command: str | Path) -> None:
    """Run a program that was installed with the others; its findings are the failure."""
    program = Path(sys.executable).parent / command[0]
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_hadolint_has_nothing_against_it(path: Path) -> None:
    # DL3066: a user without a number, in images that stand in for others which have it.
    lint("hadolint", *([] if path.parent.name == "deploy" else ["--ignore=DL3066"]), path)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="shellcheck has no wheel for this machine")
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_against_it(path: Path) -> None:
    lint("shellcheck", "--external-sources", path)


def test_compose_file_is_what_the_compose_specification_allows() -> None:
    lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")


def test_what_is_copied_reaches_the_builder_and_is_all_that_the_wheel_needs() -> None:
    copied = set(re.findall(r"^COPY (?!--from)([^\n]+) \S+$", BUILD, re.MULTILINE))
    sources = {word for words in copied for word in words.split()}
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"
    }

    locks = {f"locks/{name}.txt" for name in ("build", "runtime", "otel")}
    assert sources == allowed == {*PACKAGES, "pyproject.toml", "README.md", *locks}


def test_what_is_installed_is_the_runtime_lock_unless_another_is_asked_for() -> None:
    assert re.findall(r"^ARG LOCK=(.+)$", BUILD, re.MULTILINE) == ["runtime"]
    assert '-r "${LOCK}.txt"' in BUILD


def test_everything_that_is_installed_is_locked_by_hash() -> None:
    commands = BUILD.replace("\\\n", " ").replace("\n", " && ").split("&&")
    texts = [command for command in commands if " install " in command]

    assert len(texts) == 3
    assert all("--require-hashes" in text or ("--no-index" in text and "--no-deps" in text) for text in texts)


def test_version_is_the_projects() -> None:
    assert re.findall(r"^ARG VERSION=(.+)$", RUN, re.MULTILINE) == [PROJECT["project"]["version"]]


def test_nobody_is_root_and_health_needs_no_shell() -> None:
    assert re.findall(r"^USER (.+)$", RUN, re.MULTILINE) == ["10001:10001"]
    assert re.findall(r"^HEALTHCHECK .*CMD (\[.+\])$", RUN, re.MULTILINE) == [
        '["python", "-m", "runtime.probe", "/livez"]'
    ]


def test_both_stages_have_the_same_base_and_the_same_time() -> None:
    assert re.findall(r"^FROM (.+?)(?: AS .+)?$", DOCKERFILE, re.MULTILINE) == ["${PYTHON_IMAGE}"] * 2
    assert len(set(re.findall(r"^ARG SOURCE_DATE_EPOCH=(.+)$", DOCKERFILE, re.MULTILINE))) == 1


def test_secrets_are_made_once_random_and_for_their_owner(tmp_path: Path) -> None:
    script = tmp_path / "deploy/make-secrets.sh"
    script.parent.mkdir()
    script.write_bytes((ROOT / "deploy/make-secrets.sh").read_bytes())

    shown = subprocess.run(
        ["/bin/sh", script], capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]}
    )
    made = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "secrets").iterdir()}
    (tmp_path / "secrets/postgres_password").unlink()
    subprocess.run(["/bin/sh", script], capture_output=True, check=True)
    again = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "secrets").iterdir()}

    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert {name for name in made if made[name] != again[name]} == {"postgres_password"}
    assert len(set(made.values())) == len(made) == 6
    assert re.fullmatch(r"compose:[0-9a-f]{48}\n", made["ingress_hmac_secrets"])
    assert not any(value.strip() in shown.stdout + shown.stderr for value in made.values())
