"""Kinds of files that frames lie in one by one: how each says its shape, and how it is read.

`.npy` and EDF are read here; CBF's counts are decoded by fabio, TIFF is read by tifffile. Those
two are the extra ``images``. Nothing else of either library is used: fabio's own readers take what
is missing for zeros, and open other files that a header names.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ptystore.errors import InputError, InputMissingError, IntegrityError
from ptystore.formats.foreign import supported_dtype
from ptystore.formats.npy_file import NPY_MAGIC, checked_header
from ptystore.formats.npz.npy_header import HEADER_LIMIT
from ptystore.model.lazy_array import Array
from ptystore.storage.many_files import ManyFiles

__all__ = ["KINDS", "FrameShape", "Kind", "kind_of"]

_HEAD_BYTES = 64 << 10

#: No packing of TIFF makes more of a byte.
_MOST_RATIO = 1100


@dataclass(frozen=True)
class FrameShape:
    """What a file holds: `count` frames (H, W); `note` is what reading it needs besides."""

    count: int
    frame: tuple[int, int]
    dtype: np.dtype[Any]
    note: Any = None


class Kind(Protocol):
    """One kind of files. `name` is what errors call it."""

    @property
    def name(self) -> str: ...

    def recognises(self, head: bytes) -> bool:
        """Whether a file that begins so is one."""
        ...

    def shape(self, files: ManyFiles, number: int) -> FrameShape:
        """What a file says that it holds, compared with its length. Raises `InputError`."""
        ...

    def read(
        self, files: ManyFiles, number: int, found: FrameShape, start: int, stop: int
    ) -> Array:
        """Some frames of a file, (m, H, W). Raises `InputError`."""
        ...


def _two_or_three(shape: tuple[int, ...]) -> tuple[int, tuple[int, int]]:
    """How many frames, and (H, W)."""
    if len(shape) not in (2, 3):
        raise InputError(f"has shape {shape}, where a frame or a stack of frames should be")
    return (shape[0] if len(shape) == 3 else 1), (shape[-2], shape[-1])


class _Npy:
    name = ".npy"

    def recognises(self, head: bytes) -> bool:
        return head.startswith(NPY_MAGIC)

    def shape(self, files: ManyFiles, number: int) -> FrameShape:
        size = files.size(number)
        header, dtype = checked_header(files.head(number, HEADER_LIMIT + 12), size)
        count, frame = _two_or_three(header.shape)
        if header.fortran_order and len(header.shape) == 3:
            raise InputError(
                "is a stack in Fortran order, of which no frame is in one piece",
                advice="write it again: np.save(FILE, np.ascontiguousarray(stack))",
            )
        if dtype.kind not in "biuf":
            raise InputError(f"has dtype {dtype}, where frames are real numbers")
        native = dtype.newbyteorder("=")
        return FrameShape(count, frame, native, (header.data_offset, dtype, header.fortran_order))

    def read(
        self, files: ManyFiles, number: int, found: FrameShape, start: int, stop: int
    ) -> Array:
        offset, dtype, fortran_order = found.note
        size = int(np.prod(found.frame)) * dtype.itemsize
        data = files.read(number, offset + start * size, (stop - start) * size)
        if dtype.kind == "b":
            data = (data != 0).view(np.uint8)
        values: Array = data.view(dtype)
        if fortran_order:
            values = values.reshape(found.frame, order="F")
        return values.reshape(stop - start, *found.frame)


class _Edf:
    name = "EDF"

    _TYPES: Mapping[str, str] = {
        **{"signedbyte": "i1", "unsignedbyte": "u1", "signedshort": "i2", "unsignedshort": "u2"},
        **{"signedinteger": "i4", "unsignedinteger": "u4", "signedlong": "i4"},
        **{"unsignedlong": "u4", "signed64": "i8", "unsigned64": "u8"},
        **{"floatvalue": "f4", "float": "f4", "realfloat": "f4", "doublevalue": "f8"},
        **{"double": "f8"},
    }

    def recognises(self, head: bytes) -> bool:
        return re.match(rb"\s*\{[^}]*=[^}]*;", head) is not None

    def shape(self, files: ManyFiles, number: int) -> FrameShape:
        head = files.head(number, _HEAD_BYTES)
        end = head.find(b"}\n")
        if end < 0:
            raise InputError(f"has no end of its header in {_HEAD_BYTES} bytes")
        text = head[:end].decode("latin-1").strip().lstrip("{")
        said = {
            key.strip().lower(): value.strip()
            for key, _, value in (line.partition("=") for line in text.split(";"))
        }
        if "edf_binaryfilename" in said:
            raise InputError("has its values in another file, which is never opened")
        if said.get("compression", "none").lower() not in ("none", "no", "nocompression"):
            raise InputError(f"is compressed by {said['compression']}, which is not supported")
        try:
            width, height = int(said["dim_1"]), int(said["dim_2"])
            kind = self._TYPES[said["datatype"].lower()]
            order = {"low": "<", "high": ">"}[said["byteorder"].lower().removesuffix("bytefirst")]
        except (KeyError, ValueError) as error:
            raise InputError(f"has no sound header: {error}") from None
        dtype = np.dtype(order + kind)
        offset, size = end + 2, width * height * dtype.itemsize
        if min(width, height) < 1 or offset + size > files.size(number):
            raise InputError(
                f"has {files.size(number)} bytes, less than {height} by {width} {dtype}"
            )
        rest = files.size(number) - offset - size
        if rest >= 512 and files.read(number, offset + size, 512).tobytes().lstrip()[:1] == b"{":
            raise InputError("holds several frames", advice="write each into a file of its own")
        return FrameShape(1, (height, width), dtype.newbyteorder("="), (offset, dtype))

    def read(
        self, files: ManyFiles, number: int, found: FrameShape, start: int, stop: int
    ) -> Array:
        offset, dtype = found.note
        data = files.read(number, offset, int(np.prod(found.frame)) * dtype.itemsize)
        values: Array = data.view(dtype)
        return values.reshape(1, *found.frame)


class _Cbf:
    name = "CBF"

    _START = b"\x0c\x1a\x04\xd5"
    _TYPE = re.compile(r'"?(signed|unsigned) (8|16|32)-bit integer"?')

    def recognises(self, head: bytes) -> bool:
        return head.startswith(b"###CBF")

    def shape(self, files: ManyFiles, number: int) -> FrameShape:
        _decoder()
        head = files.head(number, _HEAD_BYTES)
        at = head.find(self._START)
        if at < 0:
            raise InputError(f"has no binary section in its first {_HEAD_BYTES} bytes")
        text = head[:at].decode("latin-1")
        said = dict(re.findall(r"^(X-Binary-[\w-]+|Content-MD5):\s*(.*?)\s*$", text, re.M))
        if "x-CBF_BYTE_OFFSET" not in text:
            raise InputError("is not packed by x-CBF_BYTE_OFFSET, which alone is supported")
        kind = self._TYPE.fullmatch(said.get("X-Binary-Element-Type", ""))
        try:
            width = int(said["X-Binary-Size-Fastest-Dimension"])
            height = int(said["X-Binary-Size-Second-Dimension"])
            size = int(said["X-Binary-Size"])
        except (KeyError, ValueError) as error:
            raise InputError(f"has no sound header: {error}") from None
        offset = at + len(self._START)
        # Each value takes a byte at the least.
        if kind is None or min(width, height) < 1 or width * height > size:
            raise InputError(f"announces {height} by {width} values in {size} bytes")
        if offset + size > files.size(number):
            raise InputError("ends before the data that it announces")
        dtype = np.dtype(f"{'i' if kind[1] == 'signed' else 'u'}{int(kind[2]) // 8}")
        note = (offset, size, said.get("Content-MD5"))
        return FrameShape(1, (height, width), dtype, note)

    def read(
        self, files: ManyFiles, number: int, found: FrameShape, start: int, stop: int
    ) -> Array:
        offset, size, md5 = found.note
        data = files.read(number, offset, size).tobytes()
        if md5 is not None:
            digest = hashlib.md5(data, usedforsecurity=False).digest()
            if base64.b64encode(digest).decode("ascii") != md5:
                raise InputError("its values are damaged: their MD5 does not match")
        # The decoder reads on where a value is cut off: zeros behind it, counted afterwards.
        values = np.asarray(_decoder()(data + b"\0" * 8))
        count = int(np.prod(found.frame))
        if len(values) != count + 8:
            raise InputError(f"holds {max(0, len(values) - 8)} values, announced are {count}")
        return values[:count].astype(found.dtype).reshape(1, *found.frame)


def _decoder() -> Callable[[bytes], Any]:
    try:
        from fabio.ext.byte_offset import dec_cbf
    except ImportError:
        raise _wanting("fabio") from None
    decode: Callable[[bytes], Any] = dec_cbf
    return decode


def _wanting(library: str) -> InputError:
    return InputError(
        f"needs {library} to be read, which is not installed",
        advice="pip install 'ptystore[images]'",
    )


class _Tiff:
    name = "TIFF"

    def recognises(self, head: bytes) -> bool:
        return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

    def shape(self, files: ManyFiles, number: int) -> FrameShape:
        with files.opened(number) as fd:
            found: FrameShape = self._opened(fd, files.size(number), self._shape)
        return found

    def read(
        self, files: ManyFiles, number: int, found: FrameShape, start: int, stop: int
    ) -> Array:
        def pages(file: Any) -> Array:
            return np.stack([file.pages[at].asarray(maxworkers=1) for at in range(start, stop)])

        with files.opened(number) as fd:
            frames: Array = self._opened(fd, files.size(number), lambda file, size: pages(file))
        if frames.shape[1:] != found.frame:
            raise InputError(f"has frames of {frames.shape[1:]}, announced were {found.frame}")
        return frames

    def _opened(self, fd: int, size: int, ask: Callable[[Any, int], Any]) -> Any:
        try:
            import tifffile
        except ImportError:
            raise _wanting("tifffile") from None
        try:
            with (
                io.BufferedReader(io.FileIO(os.dup(fd), "rb")) as stream,
                tifffile.TiffFile(stream, name="frame.tif") as file,
            ):
                return ask(file, size)
        except (InputError, InputMissingError, IntegrityError, MemoryError):
            raise
        except Exception as error:
            # Whatever it is: a damaged file makes such a library raise nearly everything.
            lacks = isinstance(error, ImportError) or "imagecodecs" in str(error)
            raise InputError(
                f"can't be read as TIFF: {error}",
                advice="pip install imagecodecs, which unpacks it" if lacks else None,
            ) from error

    def _shape(self, file: Any, size: int) -> FrameShape:
        pages = file.pages
        shapes = {(tuple(page.shape), str(page.dtype)) for page in pages}
        if len(shapes) != 1:
            raise InputError(f"holds pages of {len(shapes)} shapes or dtypes")
        shape, dtype = tuple(pages[0].shape), np.dtype(pages[0].dtype)
        if len(shape) != 2 or dtype.kind not in "biuf":
            raise InputError(f"has pages of {shape} {dtype}, where a frame (H, W) should be")
        if pages[0].nbytes * len(pages) > _MOST_RATIO * size:
            raise InputError(f"announces more than its {size} bytes can hold")
        return FrameShape(len(pages), (shape[0], shape[1]), supported_dtype(dtype))


KINDS: tuple[Kind, ...] = (_Npy(), _Tiff(), _Cbf(), _Edf())


def kind_of(head: bytes) -> Kind | None:
    """The kind of a file that begins so, None where it is none that frames lie in."""
    return next((kind for kind in KINDS if kind.recognises(head)), None)
