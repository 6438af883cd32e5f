"""Reads the settings from the environment and an optional TOML file, once, and says all faults at once.

Order: `DEEPTRACE_SECTION__NAME`, then `DEEPTRACE_SECTION__NAME_FILE` (secrets), then the TOML file named by `DEEPTRACE_CONFIG`, then the
default. A misspelt variable is an error that names the nearest setting. (pydantic-settings ignores it even with `extra="forbid"`, and one
value that is not JSON hides every other fault: DECISIONS.md.)
"""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

import orjson
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from schemas.errors import ConfigError
from streams.settings import Section, Settings

PREFIX = "DEEPTRACE_"
CONFIG_FILE = f"{PREFIX}CONFIG"
FAUST_PREFIX = f"{PREFIX}FAUST_"
STATE_DIR = f"{PREFIX}STATE_DIR"  # of the local stack, read by the command line
FAULTY = "settings are not valid"


@dataclass(frozen=True, slots=True)
class Known:
    """One setting: its place in the tree, its environment name and what it is for."""

    section: str
    name: str
    field: FieldInfo

    @property
    def env_name(self) -> str:
        """Return `DEEPTRACE_SECTION__NAME`."""
        return f"{PREFIX}{self.section}__{self.name}".upper()

    @property
    def is_secret(self) -> bool:
        """Whether the value must never be shown."""
        return self.field.annotation is SecretStr

    @property
    def is_json(self) -> bool:
        """Whether the environment spells it as JSON: lists and tables."""
        return any(
            get_origin(kind) in (tuple, dict) for kind in (self.field.annotation, *get_args(self.field.annotation))
        )


def known_settings() -> Iterator[Known]:
    """Yield every setting in the order of the code."""
    for section, outer in Settings.model_fields.items():
        model = outer.annotation
        assert isinstance(model, type)
        assert issubclass(model, Section)
        for name, field in model.model_fields.items():
            yield Known(section, name, field)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and where each value that is not a default came from, by `section.name`."""

    settings: Settings
    origins: Mapping[str, str]


Layer = Mapping[str, Mapping[str, Any]]


def load(
    environ: Mapping[str, str] | None = None, *, dev_stack: Layer | None = None, overrides: Layer | None = None
) -> Loaded:
    """Read all settings. `overrides` beat everything; `dev_stack`, where a running local stack is, beats only the defaults.

    Raises:
        ConfigError: naming every fault, not only the first.
    """
    environ = os.environ if environ is None else environ
    faults = [*_unknown_names(environ)]
    values: dict[str, dict[str, Any]] = {}
    origins: dict[str, str] = {}
    for origin, layer in (
        ("dev stack", dev_stack or {}),
        *_file_layer(environ, faults),
        *_secret_files(environ, faults),
        *_environment(environ, faults),
        ("argument", overrides or {}),
    ):
        for section, named in layer.items():
            if not isinstance(named, Mapping):
                faults.append(f"{section}: must be a section of settings ({origin})")
                continue
            for name, value in named.items():
                values.setdefault(section, {})[name] = value
                origins[f"{section}.{name}"] = origin
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False, include_context=False):
            where = ".".join(map(str, fault["loc"][:2]))
            faults.append(f"{where}: {fault['msg']} ({origins.get(where, 'default')})")
    if faults:
        raise ConfigError(
            FAULTY,
            why="; ".join(faults),
            remedy="Correct or unset what is named; the settings table of the README lists every setting.",
        )
    return Loaded(settings, origins)


def _unknown_names(environ: Mapping[str, str]) -> Iterator[str]:
    known = {setting.env_name for setting in known_settings()}
    known |= {f"{setting.env_name}_FILE" for setting in known_settings() if setting.is_secret}
    known |= {CONFIG_FILE, STATE_DIR}
    for name in sorted(environ):
        if name == "APP_ENV_PREFIX" or name.startswith(FAUST_PREFIX):
            yield f"{name}: must not be set, it would silently override what the worker tells Faust"
        elif name.startswith(PREFIX) and name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            yield f"{name}: no such setting" + (f", did you mean {nearest[0]}?" if nearest else "")


def _file_layer(environ: Mapping[str, str], faults: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    path = environ.get(CONFIG_FILE)
    if not path:
        return
    try:
        content = tomllib.loads(Path(path).read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.append(f"{CONFIG_FILE}: cannot be read as TOML ({type(error).__name__})")
        return
    yield "file", content


def _secret_files(environ: Mapping[str, str], faults: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for setting in known_settings():
        path = environ.get(f"{setting.env_name}_FILE")
        if not setting.is_secret or not path:
            continue
        try:
            yield "secret file", {setting.section: {setting.name: Path(path).read_text().strip()}}
        except OSError as error:
            faults.append(f"{setting.env_name}_FILE: cannot be read ({error.strerror})")


def _environment(environ: Mapping[str, str], faults: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for setting in known_settings():
        raw = environ.get(setting.env_name)
        if raw is None:
            continue
        try:
            value = orjson.loads(raw) if setting.is_json else raw
        except orjson.JSONDecodeError as error:
            faults.append(f'{setting.env_name}: must be JSON, such as ["a"] or {{"a": 1}} ({error.msg})')
            continue
        yield "environment", {setting.section: {setting.name: value}}
