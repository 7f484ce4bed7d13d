"""What identifies a scan, as one document to be kept, compared and signed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ptystore.errors import IntegrityError
from ptystore.formats.zarr.manifest import MANIFEST_NAME
from ptystore.model.content_digest import bytes_digest
from ptystore.model.dataset import Dataset
from ptystore.model.metadata import Metadata
from ptystore.storage.local import SourceFolder

__all__ = ["digest_document"]

_MOST_BYTES = 256 << 20  # the largest manifest that there is


def digest_document(
    dataset: Dataset, fields: Mapping[str, str | None], whole: str | None
) -> dict[str, Any]:
    """The digests of a scan, of its metadata and of its store's manifest (BLAKE3, hexadecimal).

    `fields` and `whole` are its content digests, as `ptystore.digest` computes them or a store
    records them. Nothing in the document depends on where the scan lies or when it is asked, and
    keys are sorted: the same scan gives the same document. `digest`, `fields` and `metadata` are
    the same in every format; `manifest`, which stands for every byte of a Zarr store of
    ptystore's, is None of anything else. Raises IntegrityError where the manifest can't be read.
    """
    return {
        "digest": whole,
        "fields": dict(sorted(fields.items())),
        "format": "ptystore-digest-1",
        "manifest": _manifest_digest(dataset),
        "metadata": _metadata_digest(dataset.metadata),
    }


def _metadata_digest(metadata: Metadata | None) -> str | None:
    """Of the document as ASCII JSON without spaces, keys sorted; a kept text counts as a string."""
    if metadata is None:
        return None
    told = metadata.document if metadata.text is None else metadata.text
    text = json.dumps(told, separators=(",", ":"), ensure_ascii=True, sort_keys=True)
    return bytes_digest(b"ptystore-metadata-1\n" + text.encode("ascii"))


def _manifest_digest(dataset: Dataset) -> str | None:
    if dataset.source is None or not dataset.source.path.is_dir():
        return None
    store = SourceFolder(dataset.source.path)
    try:
        return bytes_digest(store.read(MANIFEST_NAME, _MOST_BYTES, links=False))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise IntegrityError(reason, file=store.path, member=MANIFEST_NAME) from error
