"""The compose files against the code: no Docker engine is needed, and a name, path, port or command that is wrong fails here.

A check is a function from a parsed compose file to what is wrong in it. Every check is also shown a spoilt copy, which it must refuse.
"""

import re
import tomllib
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from schemas.errors import ConfigError
from streams.cli.main import app
from streams.drift.reference import load_reference
from streams.settings import Settings
from streams.settings_sources import CONFIG_FILE, known_settings, load

ROOT = Path(__file__).parents[3]
MAIN = "docker-compose.yml"
OVERRIDES = ("docker/compose.cuda.yml", "docker/compose.scale.yml")
DEFAULTS = Settings()
PORTS = {
    "kafka": {DEFAULTS.kafka.bootstrap_servers.rpartition(":")[2]},
    "object-store": {DEFAULTS.store.endpoint.rpartition(":")[2], "9001"},
    "worker": {str(DEFAULTS.http.port)},
    "drift-worker": {str(DEFAULTS.http.drift_port)},
    "narrator": {str(DEFAULTS.http.narrator_port)},
    "prometheus": {"9090"},
    "grafana": {"3000"},
}


class ComposeLoader(yaml.SafeLoader):
    """YAML with Compose's tags for overrides."""


ComposeLoader.add_constructor("!reset", lambda loader, node: loader.construct_sequence(node))


def parsed(name):
    return yaml.load((ROOT / name).read_text(), ComposeLoader)


def services(compose):
    return compose["services"].items()


def ours(compose):
    return [(name, service) for name, service in services(compose) if service.get("image", "").startswith("deeptrace:")]


def long_running(service):
    return service.get("restart") != "no" and "profiles" not in service


def shell_words(service):
    """What a container of ours runs, as one line of shell; the image's entrypoint is `deeptrace`."""
    return " ".join(service["entrypoint"]) if "entrypoint" in service else " ".join(["deeptrace", *service["command"]])


def interpolated(text):
    """`${NAME:-default}` with nothing set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def secret_files(compose):
    return {f"/run/secrets/{name}": interpolated(entry["file"]) for name, entry in compose.get("secrets", {}).items()}


def unknown_settings(compose):
    """Names that the code would refuse or, worse, not read."""
    known = {setting.env_name for setting in known_settings()} | {CONFIG_FILE}
    known |= {f"{setting.env_name}_FILE" for setting in known_settings() if setting.is_secret}
    named = {name for _, service in services(compose) for name in service.get("environment", {})}
    named |= {
        name for _, service in services(compose) for name in re.findall(r"(\w+)=", str(service.get("entrypoint")))
    }
    return sorted(name for name in named if name.startswith("DEEPTRACE_") and name not in known)


def refused_values(compose):
    """What the code says about the values, with the secrets' development files in their place."""
    faults = []
    for name, service in ours(compose):
        environment = {key: value for key, value in service["environment"].items() if key.startswith("DEEPTRACE_")}
        faults += [f"{name}: {key} is not a string" for key, value in environment.items() if not isinstance(value, str)]
        files = {path: str(ROOT / file) for path, file in secret_files(compose).items()}
        try:
            load({key: files.get(str(value), str(value)) for key, value in environment.items()})
        except ConfigError as error:
            faults.append(f"{name}: {error}")
    return faults


def unknown_commands(compose):
    """`deeptrace ...` lines that the command line does not have."""
    return [
        f"{name}: deeptrace {line}"
        for name, service in ours(compose)
        for line in re.findall(r"\bdeeptrace ([^&;|]+)", shell_words(service)) or ["<no command of ours>"]
        if not resolves(line.split())
    ]


def resolves(words):
    command = get_command(app)
    while isinstance(command, TyperGroup):
        if not words or words[0] not in command.commands:
            return False
        command, words = command.commands[words[0]], words[1:]
    options = {option for parameter in command.params for option in parameter.opts}
    return all(word in options for word in words)


def missing_paths(compose):
    """Files and folders of this repository that are named and not there."""
    paths = list(secret_files(compose).values())
    for _, service in services(compose):
        paths += [volume.split(":")[0] for volume in service.get("volumes", []) if volume.startswith(".")]
        build = service.get("build", {})
        if "context" in build:
            paths += [build["context"], build["dockerfile"]]
    return [path for path in paths if not (ROOT / path).exists()]


def undeclared_volumes(compose):
    used = {volume.split(":")[0] for _, service in services(compose) for volume in service.get("volumes", [])}
    return sorted({volume for volume in used if not volume.startswith(".")} ^ set(compose.get("volumes", {})))


def wrong_ports(compose):
    """Published on loopback, the same port inside and outside, and the port that the settings say."""
    faults = []
    for name, service in services(compose):
        published = [port.rpartition("127.0.0.1:")[2].split(":") for port in service.get("ports", [])]
        if any(not port.startswith("127.0.0.1:") for port in service.get("ports", [])):
            faults.append(f"{name}: not on loopback")
        if any(outside != inside for outside, inside in published) or {port[0] for port in published} != PORTS.get(
            name, set()
        ):
            faults.append(f"{name}: {published}")
    return faults


def unpinned_images(compose):
    """Images without a tag that stays: it must hold a version."""
    return [
        f"{name}: {service['image']}"
        for name, service in services(compose)
        if "image" in service and not re.fullmatch(r"[a-z0-9./-]+:[\w-]*\.?\d+[.-]\d+[\w.-]*", service["image"])
    ]


def foreign_versions(compose):
    """Our image carries the version of this checkout, and is built from it."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    faults = [
        f"{name}: {service['image']}"
        for name, service in ours(compose)
        if service["image"].split(":")[1] != f"{version}-{service['build']['args']['TORCH']}"
    ]
    return faults + [name for name, service in ours(compose) if service.get("pull_policy", "build") != "build"]


def without_health(compose):
    return [
        name
        for name, service in services(compose)
        if long_running(service) and not service.get("healthcheck", {}).get("test")
    ]


def wrong_health_ports(compose):
    """A worker's health check asks the port that the worker listens on."""
    return [
        name
        for name, port in (
            ("worker", DEFAULTS.http.port),
            ("drift-worker", DEFAULTS.http.drift_port),
            ("narrator", DEFAULTS.http.narrator_port),
        )
        if compose["services"][name]["healthcheck"]["test"] != ["CMD", "python", "/opt/healthcheck.py", str(port)]
    ]


def wrong_dependencies(compose):
    """What a service waits for exists and can reach that state: healthy needs a check, completed needs an end."""
    faults = []
    for name, service in services(compose):
        for other, how in service.get("depends_on", {}).items():
            target = compose["services"].get(other, {"restart": "no"})
            wanted = "service_healthy" if long_running(target) else "service_completed_successfully"
            if other not in compose["services"] or how["condition"] != wanted:
                faults.append(f"{name} waits for {other}")
    return faults


def unlimited_memory(compose):
    return [name for name, service in services(compose) if not re.fullmatch(r"\d+[mg]", str(service.get("mem_limit")))]


def soft_shells(compose):
    """Our containers can change nothing but /tmp and gain no rights."""
    return [
        name
        for name, service in ours(compose)
        if not service.get("read_only")
        or service.get("tmpfs") != ["/tmp"]
        or service.get("cap_drop") != ["ALL"]
        or service.get("security_opt") != ["no-new-privileges:true"]
    ]


def unmounted_secrets(compose):
    """A secret file that an environment variable names is mounted into that very service, and declared."""
    declared = secret_files(compose)
    return [
        f"{name}: {value}"
        for name, service in services(compose)
        for value in service.get("environment", {}).values()
        if str(value).startswith("/run/secrets/")
        and (value not in declared or Path(value).name not in service.get("secrets", []))
    ]


def unreachable_addresses(compose):
    """Inside, the broker and the store are found by service name, on a port that they listen on and advertise."""
    kafka = compose["services"]["kafka"]["environment"]
    advertised = dict(entry.split("://") for entry in kafka["KAFKA_ADVERTISED_LISTENERS"].split(","))
    listening = dict(entry.split("://") for entry in kafka["KAFKA_LISTENERS"].split(","))
    faults = [
        f"listener {name} advertises {address}"
        for name, address in advertised.items()
        if listening[name] != f":{address.rpartition(':')[2]}"
    ]
    if DEFAULTS.kafka.bootstrap_servers not in advertised.values():
        faults.append("the default bootstrap servers do not reach this broker from the host")
    for name, service in ours(compose):
        environment = service["environment"]
        if environment["DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS"] not in advertised.values():
            faults.append(f"{name}: broker")
        if environment.get("DEEPTRACE_STORE__ENDPOINT", "object-store:9000") != "object-store:9000":
            faults.append(f"{name}: store")
    return faults


def hasty_stops(compose):
    """A worker is killed only after its time to drain is over."""
    return [
        name
        for name in ("worker", "drift-worker", "narrator")
        if int(compose["services"][name].get("stop_grace_period", "10s").removesuffix("s")) <= DEFAULTS.pipeline.drain_s
    ]


def topics_by_themselves(compose):
    """A broker that creates topics by itself makes them with the wrong partitions."""
    created = compose["services"]["kafka"]["environment"].get("KAFKA_AUTO_CREATE_TOPICS_ENABLE")
    return [] if created == "false" else [f"auto.create.topics.enable={created}"]


def keys_in_the_checkout(compose):
    """The key of an API that costs money is in no file of this repository, and the narrator is off without one."""
    faults = [
        f"{name}: {setting}"
        for name, service in services(compose)
        for setting in service.get("environment", {})
        if setting == "DEEPTRACE_NARRATOR__API_KEY"
    ]
    if (ROOT / "docker/dev-secrets/narrator_api_key").read_text():
        faults.append("docker/dev-secrets/narrator_api_key")
    return faults + ([] if compose["services"]["narrator"].get("profiles") == ["narrator"] else ["narrator: profile"])


def set_in(*path, to):
    """Return a change that puts `to` at `path` of a service."""

    def spoil(compose):
        at = compose["services"]
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = to

    return spoil


SPOILT = [
    (unknown_settings, set_in("worker", "environment", "DEEPTRACE_MODEL__DEVICES", to="cpu")),
    (
        unknown_settings,
        set_in("worker", "entrypoint", to=["sh", "-c", "DEEPTRACE_KAFKA__INSTANCE=a exec deeptrace worker"]),
    ),
    (unknown_settings, set_in("worker", "environment", "DEEPTRACE_STORE__REGION_FILE", to="/run/secrets/region")),
    (refused_values, set_in("worker", "environment", "DEEPTRACE_DECODE__PROCESSES", to="none")),
    (refused_values, set_in("worker", "environment", "DEEPTRACE_DECODE__PROCESSES", to=4)),
    (
        unknown_commands,
        set_in("setup", "entrypoint", to=["sh", "-c", "deeptrace topics apply && deeptrace storage make"]),
    ),
    (unknown_commands, set_in("cli", "command", to=["doctor", "--verbose"])),
    (unknown_commands, set_in("worker", "entrypoint", to=["faust", "worker"])),
    (
        missing_paths,
        set_in("prometheus", "volumes", to=["./docker/prometheus/rules.yml:/etc/prometheus/alerts.yml:ro"]),
    ),
    (missing_paths, set_in("setup", "build", "dockerfile", to="Dockerfile")),
    (undeclared_volumes, set_in("kafka", "volumes", to=["kafka:/var/lib/kafka/data"])),
    (wrong_ports, set_in("worker", "ports", to=["6066:6066"])),
    (wrong_ports, set_in("drift-worker", "ports", to=["127.0.0.1:6068:6068"])),
    (wrong_ports, set_in("object-store", "ports", to=["127.0.0.1:9000:9002", "127.0.0.1:9001:9001"])),
    (unpinned_images, set_in("grafana", "image", to="grafana/grafana:latest")),
    (unpinned_images, set_in("grafana", "image", to="grafana/grafana")),
    (unpinned_images, set_in("grafana", "image", to="grafana/grafana:13")),
    (foreign_versions, set_in("worker", "image", to="deeptrace:0.0.9-cpu")),
    (foreign_versions, set_in("worker", "pull_policy", to="missing")),
    (without_health, set_in("object-store", "healthcheck", to={"disable": True})),
    (
        wrong_health_ports,
        set_in("drift-worker", "healthcheck", "test", to=["CMD", "python", "/opt/healthcheck.py", "6066"]),
    ),
    (wrong_dependencies, set_in("worker", "depends_on", "minio", to={"condition": "service_healthy"})),
    (wrong_dependencies, set_in("worker", "depends_on", "setup", to={"condition": "service_healthy"})),
    (unlimited_memory, set_in("kafka", "mem_limit", to=None)),
    (soft_shells, set_in("worker", "read_only", to=False)),
    (unmounted_secrets, set_in("worker", "secrets", to=["store_access_key"])),
    (unreachable_addresses, set_in("worker", "environment", "DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS", to="kafka:9092")),
    (unreachable_addresses, set_in("kafka", "environment", "KAFKA_LISTENERS", to="INSIDE://:19092,HOST://:9093")),
    (hasty_stops, set_in("worker", "stop_grace_period", to="10s")),
    (hasty_stops, set_in("narrator", "stop_grace_period", to="20s")),
    (unknown_settings, set_in("narrator", "environment", "DEEPTRACE_NARRATOR__KEY_FILE", to="/run/secrets/key")),
    (unmounted_secrets, set_in("narrator", "secrets", to=[])),
    (keys_in_the_checkout, set_in("narrator", "environment", "DEEPTRACE_NARRATOR__API_KEY", to="sk-1")),
    (topics_by_themselves, set_in("kafka", "environment", "KAFKA_AUTO_CREATE_TOPICS_ENABLE", to="true")),
]
CHECKS = sorted({check for check, _ in SPOILT}, key=lambda check: check.__name__)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_compose_file_holds_against_the_code(check):
    """Nothing in docker-compose.yml is at odds with the code or the repository."""
    assert check(parsed(MAIN)) == []


@pytest.mark.parametrize(
    ("check", "spoil"), SPOILT, ids=[f"{n}-{check.__name__}" for n, (check, _) in enumerate(SPOILT)]
)
def test_check_refuses_a_spoilt_file(check, spoil):
    """Each check sees the fault that it is for."""
    compose = deepcopy(parsed(MAIN))
    spoil(compose)
    assert check(compose) != []


@pytest.mark.parametrize("name", OVERRIDES)
def test_override_changes_only_services_that_exist(name):
    """A misspelt service in an override would be a new one, without image."""
    assert parsed(name)["services"].keys() <= parsed(MAIN)["services"].keys()


@pytest.mark.parametrize("name", OVERRIDES)
@pytest.mark.parametrize("check", [unknown_settings, missing_paths, unpinned_images], ids=lambda check: check.__name__)
def test_override_holds_against_the_code(check, name):
    """What an override adds is checked as well."""
    assert check(parsed(name)) == []


def test_cuda_override_builds_and_names_the_cuda_image():
    """The override must not run the CPU image on a GPU host."""
    compose = parsed(MAIN)
    cuda = parsed("docker/compose.cuda.yml")["services"]["worker"]
    compose["services"]["worker"] |= {
        "image": cuda["image"],
        "build": compose["services"]["worker"]["build"] | cuda["build"],
    }
    assert foreign_versions(compose) == []


def test_example_reference_is_one_that_the_drift_worker_reads():
    """The file mounted into the drift worker has shares that sum to 1 and the class `real`."""
    settings = DEFAULTS.drift.model_copy(update={"reference_file": ROOT / "docker/drift-reference.json"})
    reference = load_reference(settings)
    assert reference is not None
    assert reference.shares["real"] == 0.8
