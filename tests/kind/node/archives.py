"""Writes images as archives: those of a node's pods, and the node's own. Needs Python's own library, and zstd.

    archives.py images LIST OUT               an OCI archive of every image in LIST, which `ctr images import` reads
    archives.py node NAME OUT LAYER...        a docker archive of one image, which `docker load` reads

A line of LIST is an image's name, its entrypoint or nothing, and its layers' tar files, parted by tabs.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import platform
import subprocess
import sys
import tarfile
from pathlib import Path

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OCI = "application/vnd.oci.image"


@functools.cache
def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def configuration(layers: list[Path], **config: object) -> bytes:
    """What an image is apart from its files: how a container of it starts, and the digests of its unpacked layers."""
    return json.dumps(
        {
            "architecture": ARCHITECTURE,
            "os": "linux",
            "config": {key: value for key, value in config.items() if value},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest_of(layer)}" for layer in layers]},
            "history": [{"created_by": "kubeflow-e2e"} for _ in layers],
        }
    ).encode()


def add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def add_file(archive: tarfile.TarFile, name: str, path: Path) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = path.stat().st_size
    with path.open("rb") as file:
        archive.addfile(entry, file)


@functools.cache
def compressed(layer: Path) -> bytes:
    """A layer as every node carries it: compressed, since each node gets a copy of all and unpacks only what it runs."""
    return subprocess.run(["zstd", "-q", "-T0", "-3", "-c", layer], stdout=subprocess.PIPE, check=True).stdout


def write_images(listed: Path, out: Path) -> None:
    written: set[str] = set()
    manifests = []
    with tarfile.open(out, "w") as archive:

        def blob(kind: str, content: bytes) -> dict[str, object]:
            digest = hashlib.sha256(content).hexdigest()
            if digest not in written:
                written.add(digest)
                add_bytes(archive, f"blobs/sha256/{digest}", content)
            return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

        for line in listed.read_text().splitlines():
            name, entrypoint, files = line.split("\t")
            layers = [listed.parent / file for file in files.split()]
            manifest = {
                "schemaVersion": 2,
                "mediaType": f"{OCI}.manifest.v1+json",
                "config": blob(
                    f"{OCI}.config.v1+json",
                    configuration(layers, Env=[PATH], Entrypoint=[entrypoint] if entrypoint else None),
                ),
                "layers": [blob(f"{OCI}.layer.v1.tar+zstd", compressed(layer)) for layer in layers],
            }
            described = blob(f"{OCI}.manifest.v1+json", json.dumps(manifest).encode())
            manifests.append({**described, "annotations": {"io.containerd.image.name": name}})
        add_bytes(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        add_bytes(archive, "index.json", json.dumps({"schemaVersion": 2, "manifests": manifests}).encode())


def write_node(name: str, out: Path, layers: list[Path]) -> None:
    config = configuration(
        layers,
        # systemd is told so that it runs in a container, and ends upon this signal only.
        Env=[PATH, "container=docker"],
        Entrypoint=["/usr/local/bin/entrypoint", "/sbin/init"],
        StopSignal="SIGRTMIN+3",
    )
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    layer_names = [f"{digest_of(layer)}.tar" for layer in layers]
    with tarfile.open(out, "w") as archive:
        for layer, layer_name in zip(layers, layer_names, strict=True):
            add_file(archive, layer_name, layer)
        add_bytes(archive, config_name, config)
        manifest = [{"Config": config_name, "RepoTags": [name], "Layers": layer_names}]
        add_bytes(archive, "manifest.json", json.dumps(manifest).encode())


def main(arguments: list[str]) -> None:
    match arguments:
        case ["images", listed, out]:
            write_images(Path(listed), Path(out))
        case ["node", name, out, *layers] if layers:
            write_node(name, Path(out), [Path(layer) for layer in layers])
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
