"""The file around the data: a zip archive, sealed by a checksum. See the package's docstring."""

import hashlib
import json
import os
import zipfile
from typing import BinaryIO, TypeAlias

import numpy as np

from ..errors import DamagedFileError, FileError, file_error
from ..types import Json
from ..version import __version__
from .atomic import replace_file

Header: TypeAlias = dict[str, Json]  # the first member of a file: see the docstring of the package

FORMAT_VERSION = 1
_HEADER = "mfsym.json"
_SIGNATURE = b"PK\x03\x04"  # of the first member; its name stands 30 bytes from the beginning
_SEAL = b"mfsym sha256 "
_SEAL_LENGTH = len(_SEAL) + 64
_BLOCK = 2**20


def write_container(path: str, tree: Json, arrays: list[np.ndarray]) -> None:
    """Write a description and the arrays that it counts on to one file. Raises FileError if that fails."""
    header = {"format": "mfsym", "version": FORMAT_VERSION, "library": __version__, "arrays": len(arrays), "tree": tree}
    text = json.dumps(header, ensure_ascii=False, allow_nan=False).encode()
    replace_file(path, lambda file: _fill(file, text, arrays))


def _fill(file: BinaryIO, header: bytes, arrays: list[np.ndarray]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = _SEAL + bytes(64)  # the checksum takes its place
        archive.writestr(_member(_HEADER, len(header)), header)
        for index, array in enumerate(arrays):
            with archive.open(_member(_array_name(index), array.nbytes), "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    size = file.seek(0, os.SEEK_END)
    checksum = _checksum(file, size - 64)
    file.seek(size - 64)
    file.write(checksum)


def _member(name: str, size: int) -> zipfile.ZipInfo:
    """A member of known size without a date: equal data give equal files."""
    info = zipfile.ZipInfo(name)
    info.file_size = size  # lets zipfile choose the long form of the record for large arrays
    return info


def _array_name(index: int) -> str:
    return f"{index}.npy"


def _checksum(file: BinaryIO, size: int) -> bytes:
    """SHA-256 of the first `size` bytes, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    file.seek(0)
    while size > 0:
        block = file.read(min(size, _BLOCK))
        if not block:
            break
        digest.update(block)
        size -= len(block)
    return digest.hexdigest().encode()


def read_container(path: str) -> tuple[Header, list[np.ndarray]]:
    """The header of a file and its arrays.

    Raises DamagedFileError if it is not a file of this library, or was cut short or changed, FileError if it is written
    in a format that this version does not know, and OSError if it cannot be opened.
    """
    with open(path, "rb") as file:
        _check_seal(path, file)
        try:
            with zipfile.ZipFile(file) as archive:
                header = json.loads(archive.read(_HEADER))
                _check_version(path, header)
                names = [_array_name(index) for index in range(header["arrays"])]
                if archive.namelist() != [_HEADER, *names]:
                    raise ValueError("members are missing or left over")
                return header, [_read_array(archive, name) for name in names]
        except FileError:
            raise
        except Exception as error:  # whole, but not made by `write_container`
            reason = f"is not built as files of mfsym are ({type(error).__name__}: {error})"
            raise file_error(path, reason, "Save it again with mf.save.", DamagedFileError) from error


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(name) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _check_seal(path: str, file: BinaryIO) -> None:
    beginning = file.read(30 + len(_HEADER))
    if not (_SIGNATURE.startswith(beginning[:4]) and _HEADER.encode().startswith(beginning[30:])):  # it may be cut short
        raise _foreign(path)
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _SEAL_LENGTH))
    seal = file.read()
    if seal[:-64] != _SEAL or seal[-64:] != _checksum(file, size - 64):
        reason, remedy = "is damaged: it was cut short or changed after it was written", "Take it from a copy or a backup."
        raise file_error(path, reason, remedy, DamagedFileError)


def _check_version(path: str, header: Header) -> None:
    if header.get("format") != "mfsym":
        raise _foreign(path)
    if header.get("version") != FORMAT_VERSION:
        reason = f"has format version {header.get('version')}; this mfsym {__version__} reads version {FORMAT_VERSION}"
        raise file_error(path, reason, f"It was written by mfsym {header.get('library')}: load it with that version.")


def _foreign(path: str) -> FileError:
    return file_error(path, "is not a file of mfsym", "mf.load reads what mf.save has written.", DamagedFileError)
