"""A real Prometheus and its promtool: from PATH, else Debian's package, unpacked into the cache without root."""

import json
import os
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import NamedTuple

import yaml

from streams.stack.file_lock import exclusive
from streams.stack.ports import free_ports

DOWNLOAD_S = 300


class NoPrometheus(Exception):
    """There is none, and why."""


class Binaries(NamedTuple):
    prometheus: Path
    promtool: Path


def find(cache_dir: Path) -> Binaries | None:
    """Return the programs that are there, on PATH or in the cache."""
    on_path = shutil.which("prometheus"), shutil.which("promtool")
    if all(on_path):
        return Binaries(*map(Path, on_path))
    folder = cache_dir / "prometheus" / "usr" / "bin"
    unpacked = Binaries(folder / "prometheus", folder / "promtool")
    return unpacked if all(os.access(program, os.X_OK) for program in unpacked) else None


def fetch(cache_dir: Path) -> Binaries:
    """Return the programs, fetched when they are not there. Raises NoPrometheus."""
    with exclusive(cache_dir / "prometheus.lock", timeout_s=2 * DOWNLOAD_S, purpose="fetch Prometheus"):
        found = find(cache_dir)
        if found is not None:
            return found
        missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
        if missing:
            raise NoPrometheus(f"neither Prometheus nor {' and '.join(missing)} is on PATH")
        folder = cache_dir / ".prometheus"
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
        folder.mkdir(parents=True)
        _download(folder)
        [package] = folder.glob("prometheus_*.deb")
        _run("dpkg-deb", "-x", str(package), str(folder / "unpacked"), cwd=folder)
        shutil.rmtree(cache_dir / "prometheus", ignore_errors=True)
        (folder / "unpacked").replace(cache_dir / "prometheus")
        shutil.rmtree(folder)
    found = find(cache_dir)
    if found is None:
        raise NoPrometheus("Debian's package holds no prometheus and promtool that can be run")
    return found


def _download(folder: Path) -> None:
    try:
        _run("apt-get", "download", "prometheus", cwd=folder)
    except NoPrometheus:  # no package lists, as in a fresh container: ones of our own need no root
        (folder / "lists" / "partial").mkdir(parents=True)
        (folder / "archives" / "partial").mkdir(parents=True)
        own = ["-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}"]
        _run("apt-get", *own, "update", cwd=folder)
        _run("apt-get", *own, "download", "prometheus", cwd=folder)


def _run(*command: str, cwd: Path) -> None:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=DOWNLOAD_S, check=False)
    except subprocess.TimeoutExpired:
        raise NoPrometheus(f"{command[0]} took more than {DOWNLOAD_S} s") from None
    if done.returncode:
        raise NoPrometheus(f"{command[0]}: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")


def config(targets: dict[str, list[str]], rule_files: list[Path], *, every_s: int = 1) -> str:
    """Return a configuration that scrapes the addresses of each job."""
    return yaml.safe_dump(
        {
            "global": {"scrape_interval": f"{every_s}s", "evaluation_interval": f"{every_s}s"},
            "rule_files": [str(path) for path in rule_files],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": addresses}]} for job, addresses in targets.items()
            ],
        }
    )


class Prometheus:
    """A server on loopback that ends with `close`."""

    def __init__(self, binaries: Binaries, folder: Path, configuration: str) -> None:
        [self.port] = free_ports(1)
        self.log = folder / "prometheus.log"
        file = folder / "prometheus.yml"
        file.write_text(configuration)
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [
                    str(binaries.prometheus),
                    f"--config.file={file}",
                    f"--storage.tsdb.path={folder / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdout=out,
                stderr=out,
            )

    def get(self, path: str, **query: str) -> object:
        """Return the data of an answer of the API."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def wait_ready(self, timeout_s: float) -> None:
        """Return when it answers."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5).close()
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"Prometheus does not answer: {self.log.read_text()[-2000:]}") from error
                time.sleep(0.1)
            else:
                return

    def value(self, expression: str) -> float | None:
        """Return the value of an expression that gives one series; None where it gives none."""
        found = self.get("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else None

    def wait_for(self, expression: str, timeout_s: float) -> float:
        """Return the value of the expression once it gives one that is not zero."""
        deadline = time.monotonic() + timeout_s
        while not (found := self.value(expression)):
            if time.monotonic() > deadline:
                raise AssertionError(f"after {timeout_s} s still {found}: {expression}")
            time.sleep(0.5)
        return found

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
