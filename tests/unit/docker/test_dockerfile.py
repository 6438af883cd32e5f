"""The Dockerfile against the repository: what it copies, who it runs as, what it starts."""

import json
import re
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from typer.main import get_command

from streams.cli.main import app
from streams.settings import Settings
from streams.settings_sources import known_settings

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker/Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = """\
# comment
aiohttp==3.14.5 \\
    --hash=sha256:aa
cuda-bindings==13.5.0 ; sys_platform == 'linux' \\
    --hash=sha256:bb \\
    --hash=sha256:cc
nvidia-cublas==13.4.1.3 ; sys_platform == 'linux' \\
    --hash=sha256:dd
timm==1.0.31 \\
    --hash=sha256:ee
torch==2.15.0 \\
    --hash=sha256:ff
torchvision==0.29.2 \\
    --hash=sha256:11
triton==3.9.0 ; sys_platform == 'linux' \\
    --hash=sha256:22
typer==0.29.0 \\
    --hash=sha256:33
"""


def instructions(text, name):
    """The arguments of each instruction `name` of the final stage, lines joined."""
    stage = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", text)).rpartition("\nFROM ")[2]
    return re.findall(rf"(?m)^{name} +(.*?) *$", stage)


def copied(text):
    """Every path of the repository that a COPY takes, in all stages."""
    lines = re.findall(r"(?m)^COPY (?!--from)(.+)$", text)
    return [source for line in lines for source in line.split()[:-1]]


def unpinned_bases(text):
    stages = re.findall(r"(?m)^FROM (\S+) AS (\w+)$", text)
    names = {name for _, name in stages}
    return [
        base for base, _ in stages if base not in names and not re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", base)
    ]


def missing_sources(text):
    return [source for source in copied(text) if not (ROOT / source).exists()]


def missing_packages(text):
    return sorted(set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) - set(copied(text)))


def root_users(text):
    users = instructions(text, "USER")
    return users[-1:] if users and re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]) is None else [] if users else ["root"]


def wrong_ports(text):
    http = Settings().http
    exposed = instructions(text, "EXPOSE") == [f"{http.port} {http.drift_port} {http.narrator_port}"]
    asked = any(f'"/opt/healthcheck.py", "{http.port}"]' in check for check in instructions(text, "HEALTHCHECK"))
    return [] if exposed and asked else ["EXPOSE or HEALTHCHECK"]


def wrong_start(text):
    entrypoint, command = (json.loads(instructions(text, name)[-1]) for name in ("ENTRYPOINT", "CMD"))
    known = entrypoint == [*PROJECT["project"]["scripts"]] and command[0] in get_command(app).commands
    return [] if known else [*entrypoint, *command]


def unknown_settings(text):
    known = {setting.env_name for setting in known_settings()}
    return [name for name in re.findall(r"\bDEEPTRACE_\w+(?==)", text) if name not in known]


def wrong_version(text):
    return [] if f"VERSION={PROJECT['project']['version']}" in instructions(text, "ARG") else instructions(text, "ARG")


def wrong_signal(text):
    return [] if instructions(text, "STOPSIGNAL") == ["SIGTERM"] else ["STOPSIGNAL"]


SPOILT = [
    (unpinned_bases, "python:3.11.15-slim-bookworm", "python:slim"),
    (missing_sources, "README.md LICENSE", "README.md LICENCE"),
    (missing_sources, "COPY model model", "COPY models model"),
    (missing_packages, "COPY storage storage\n", ""),
    (root_users, "USER 10001:10001", "USER deeptrace"),
    (root_users, "USER 10001:10001\n", ""),
    (wrong_ports, "EXPOSE 6066 6067 6068", "EXPOSE 6066 6067"),
    (wrong_ports, 'healthcheck.py", "6066"', 'healthcheck.py", "6067"'),
    (wrong_start, 'CMD ["worker"]', 'CMD ["work"]'),
    (unknown_settings, "DEEPTRACE_HTTP__HOST=", "DEEPTRACE_HTTP_HOST="),
    (wrong_version, f"VERSION={PROJECT['project']['version']}", "VERSION=9.9.9"),
    (wrong_signal, "STOPSIGNAL SIGTERM\n", ""),
]
CHECKS = sorted({check for check, _, _ in SPOILT}, key=lambda check: check.__name__)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_dockerfile_holds_against_the_repository(check):
    """Nothing in the Dockerfile is at odds with the code or the repository."""
    assert check(TEXT) == []


@pytest.mark.parametrize(
    ("check", "good", "bad"), SPOILT, ids=[f"{n}-{spoilt[0].__name__}" for n, spoilt in enumerate(SPOILT)]
)
def test_check_refuses_a_spoilt_dockerfile(check, good, bad):
    """Each check sees the fault that it is for."""
    assert good in TEXT
    assert check(TEXT.replace(good, bad)) != check(TEXT)


def test_build_context_holds_what_is_copied_and_no_more():
    """The ignore file is an allow-list: secrets, data and tests never reach the build."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == set(copied(TEXT))
    assert any(fnmatch("model/__pycache__", rule) for rule in rules[1:])


def test_cpu_build_leaves_out_torch_and_its_gpu_libraries_and_nothing_else(tmp_path):
    """The filter in the Dockerfile drops whole entries, hashes included."""
    program = re.search(r"awk '(.+)' requirements\.lock", TEXT)
    assert program is not None
    (tmp_path / "lock").write_text(LOCK)
    kept = subprocess.run(["awk", program[1], tmp_path / "lock"], check=True, capture_output=True, text=True).stdout
    assert kept == (
        "# comment\naiohttp==3.14.5 \\\n    --hash=sha256:aa\ntimm==1.0.31 \\\n    --hash=sha256:ee\n"
        "typer==0.29.0 \\\n    --hash=sha256:33\n"
    )


def test_cpu_build_takes_torch_in_the_locked_versions(tmp_path):
    """The CPU files have other hashes than the lock's, but never another version."""
    pattern = re.search(r"grep -oE '(.+)' requirements\.lock", TEXT)
    assert pattern is not None
    (tmp_path / "lock").write_text(LOCK)
    taken = subprocess.run(["grep", "-oE", pattern[1], tmp_path / "lock"], check=True, capture_output=True, text=True)
    assert taken.stdout.split() == ["torch==2.15.0", "torchvision==0.29.2"]
