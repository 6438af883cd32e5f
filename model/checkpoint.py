"""Checkpoints on disk: safetensors only, identified by the SHA-256 of the file, refused whole when anything does not fit."""

import hashlib
import json
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, NoReturn

import safetensors.torch
import torch
from pydantic import ValidationError
from safetensors import SafetensorError

from model.checkpoint_meta import FORMAT, METADATA_KEY, CheckpointMeta
from model.class_list import check_classes
from model.ensemble import EnsembleClassifier
from model.network import Ensemble, build
from model.open_set import PREFIX, OpenSet
from model.policy import policy_of
from schemas.errors import CheckpointRefused, ConfigError

Device = Literal["auto", "cpu", "cuda"]

DEMO_CHECKPOINT: Final = Path(__file__).parent / "demo" / "demo.safetensors"

_MAX_BYTES: Final = 4 << 30
_MAX_HEADER_BYTES: Final = 100 << 20  # the cap of safetensors itself
_LENGTH_BYTES: Final = 8  # the file starts with the length of its header
_PICKLE_STARTS: Final = (b"\x80", b"PK\x03\x04")
_PICKLE_SUFFIXES: Final = (".pt", ".pth", ".pkl", ".bin", ".ckpt")


class Loaded(NamedTuple):
    """A network in eval mode on the CPU, what its file said, and the file's identity."""

    network: Ensemble
    meta: CheckpointMeta
    sha256: str
    open_set: OpenSet | None = None


def save(path: Path, network: Ensemble, meta: CheckpointMeta, open_set: OpenSet | None = None) -> str:
    """Write the checkpoint, replacing an old one at once, and return its SHA-256; equal weights give equal bytes."""
    if network.config != meta.config:
        raise ValueError("the network was not built from meta.config")
    policy_of(meta.preprocess_id)
    state = {**network.state_dict(), **(open_set.tensors() if open_set else {})}
    tensors = {name: value.detach().cpu().contiguous() for name, value in sorted(state.items())}
    data = safetensors.torch.save(tensors, metadata={METADATA_KEY: meta.model_dump_json()})
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name}.partial")
    scratch.write_bytes(data)
    scratch.replace(path)
    return hashlib.sha256(data).hexdigest()


def load(path: Path, *, expected_sha256: str | None = None, expected_preprocess_id: str | None = None) -> Loaded:
    """Read a checkpoint; raises `CheckpointRefused` unless file, hash, metadata, policy and every tensor fit."""
    data = _read(path)
    sha256 = hashlib.sha256(data).hexdigest()
    if expected_sha256 is not None and sha256 != expected_sha256.lower():
        _refuse(
            path,
            f"its SHA-256 is {sha256}, not {expected_sha256}",
            "Fetch the file again, or correct the expected hash.",
        )
    meta = _meta(path, data)
    check_classes(meta.config.classes, version=meta.version, training_data=meta.training_data)
    if expected_preprocess_id is not None and meta.preprocess_id != expected_preprocess_id:
        _refuse(
            path,
            f"it was trained on pixels of {meta.preprocess_id!r}, and {expected_preprocess_id!r} is being served",
            "Serve the policy that the checkpoint names: other pixels would give wrong verdicts.",
        )
    try:
        policy_of(meta.preprocess_id)
    except ConfigError as error:
        _refuse(path, str(error), error.remedy)
    network = build(meta.config)
    open_set = _fill(path, network, data)
    if open_set is None and meta.abstention is not None and meta.abstention.novelty is not None:
        _refuse(
            path,
            "it has a threshold for novel images and nothing to measure them with",
            "Run `deeptrace calibrate` on it.",
        )
    return Loaded(network.eval(), meta, sha256, open_set)


def load_classifier(
    path: Path,
    *,
    device: Device = "auto",
    expected_sha256: str | None = None,
    expected_preprocess_id: str | None = None,
    threads: int | None = None,
    version: str | None = None,
) -> EnsembleClassifier:
    """Load a checkpoint to serve; raises `CheckpointRefused`, or `ConfigError` for a device that is not there.

    `threads` sets torch's threads for the whole process (None leaves torch's own choice). `version` is the name under which the file
    was published; without one it judges under the name it was saved with.
    """
    chosen = _device(device)
    if threads is not None:
        torch.set_num_threads(threads)
    loaded = load(path, expected_sha256=expected_sha256, expected_preprocess_id=expected_preprocess_id)
    meta = loaded.meta if version is None else loaded.meta.model_copy(update={"version": version})
    return EnsembleClassifier(loaded.network, meta, loaded.sha256, device=chosen, open_set=loaded.open_set)


def _read(path: Path) -> bytes:
    """Read the file once, so that what is hashed is what is loaded."""
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            _refuse(path, f"it holds {size} bytes, more than {_MAX_BYTES}", "Check that this is a checkpoint.")
        data = path.read_bytes()
    except OSError as error:
        _refuse(path, error.strerror or type(error).__name__, "Check the path and who may read it.")
    # The header of safetensors begins with a brace behind its length, whose first byte may by chance be that of a pickle.
    bare = data[_LENGTH_BYTES : _LENGTH_BYTES + 1] != b"{"
    if (bare and data.startswith(_PICKLE_STARTS)) or path.suffix in _PICKLE_SUFFIXES:
        _refuse(
            path,
            "it looks like a pickle or a zip, and reading one can run any code",
            "Only safetensors is read; convert the weights where you trust them.",
        )
    return data


def _meta(path: Path, data: bytes) -> CheckpointMeta:
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    if length > min(len(data) - _LENGTH_BYTES, _MAX_HEADER_BYTES):
        _refuse(path, "it is no safetensors file", "Only safetensors is read; the file may be cut short.")
    try:
        header: Any = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length])
        text = header["__metadata__"][METADATA_KEY]
        declared = json.loads(text)["format"]
    except (ValueError, KeyError, TypeError):
        _refuse(path, "its header carries no DeepTrace metadata", "Save it with model.checkpoint.save.")
    if declared != FORMAT:
        _refuse(
            path, f"its format is {declared!r}, and this release reads {FORMAT!r}", "Use the release that wrote it."
        )
    try:
        return CheckpointMeta.model_validate_json(text)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        _refuse(path, f"its metadata is not valid: {faults}", "Save it again with model.checkpoint.save.")


def _fill(path: Path, network: Ensemble, data: bytes) -> OpenSet | None:
    """Copy every tensor into the network; names, shapes and types must be exactly the network's own, and values finite."""
    try:
        found = safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        _refuse(path, f"its tensors cannot be read ({error})", "The file may be cut short; fetch it again.")
    tensors = {name: value for name, value in found.items() if not name.startswith(PREFIX)}
    extra = {name: value for name, value in found.items() if name.startswith(PREFIX)}
    wanted = network.state_dict()
    faults = [f"{name} is missing" for name in wanted.keys() - tensors.keys()]
    faults += [f"{name} is not of this network" for name in tensors.keys() - wanted.keys()]
    for name in wanted.keys() & tensors.keys():
        ours, theirs = wanted[name], tensors[name]
        if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
            faults.append(f"{name} is {theirs.dtype} {list(theirs.shape)}, not {ours.dtype} {list(ours.shape)}")
        elif not torch.isfinite(theirs).all():
            faults.append(f"{name} holds values that are not finite")
    if faults:
        rest = f" and {len(faults) - 3} more" if len(faults) > 3 else ""  # noqa: PLR2004
        _refuse(
            path,
            "; ".join(sorted(faults)[:3]) + rest,
            "The weights and the configuration in the file do not belong together, or another timm release wrote them.",
        )
    network.load_state_dict(tensors)
    return _open_set(path, network, extra)


def _open_set(path: Path, network: Ensemble, tensors: dict[str, torch.Tensor]) -> OpenSet | None:
    """Return the open set that lies beside the weights; it must fit the network's classes."""
    if not tensors:
        return None
    open_set = OpenSet.from_tensors(tensors)
    if (
        open_set is None
        or open_set.tensors().keys() != tensors.keys()
        or not open_set.fits(len(network.config.classes), network.config.hidden[-1])
    ):
        _refuse(path, "its open set does not fit its network", "Run `deeptrace calibrate` on the checkpoint again.")
    return open_set


def _refuse(path: Path, why: str, remedy: str) -> NoReturn:
    raise CheckpointRefused(f"checkpoint {path.name} is refused", why=why, remedy=remedy)


def _device(device: Device) -> torch.device:
    present = torch.cuda.is_available()
    if device == "cuda" and not present:
        raise ConfigError(
            "no CUDA device",
            why="torch sees none",
            remedy="Set the device to cpu or auto, or install the CUDA build of torch.",
        )
    return torch.device("cuda" if device == "cuda" or (device == "auto" and present) else "cpu")
