"""First bytes of formats that are not safetensors. It only recognises them, to refuse them by name; it parses none."""

from adapters_store.errors import NotSafetensors, TruncatedFile

SHORTEST_FILE = 9  # the length field and the header's opening brace

_AT_START = {
    b"PK\x03\x04": "zip archive (or a PyTorch checkpoint)",
    b"PK\x05\x06": "empty zip archive",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"7z\xbc\xaf\x27\x1c": "7-zip",
    b"\x93NUMPY": "NumPy array",
    b"\x89HDF": "HDF5",
    b"\x89PNG": "PNG image",
    b"\xff\xd8\xff": "JPEG image",
    b"GGUF": "GGUF",
    b"\x7fELF": "program",
    b"%PDF": "PDF",
    b"<": "HTML or XML",
    b"{": "JSON",
    b"\x80\x02": "pickle",
    b"\x80\x03": "pickle",
    b"\x80\x04": "pickle",
    b"\x80\x05": "pickle",
}
_TAR_AT, _TAR = 257, b"ustar"


def refuse_other_formats(data: bytes, longest_header: int) -> None:
    """Let pass what starts like safetensors: a length, then an opening brace.

    A signature alone proves nothing, since a length field may begin with any byte; it counts only where the length is
    impossible or the brace is missing.

    Raises:
        NotSafetensors: The bytes are another format's, or no format's.
        TruncatedFile: The file is too short to be told.
    """
    has_brace = data[8:SHORTEST_FILE] == b"{"
    if has_brace and int.from_bytes(data[:8], "little") <= longest_header:
        return
    for signature, name in _AT_START.items():
        if data.startswith(signature):
            raise NotSafetensors(f"this is a {name} file; only safetensors is accepted")
    if data[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        raise NotSafetensors("this is a tar archive; only safetensors is accepted")
    if len(data) < SHORTEST_FILE:
        raise TruncatedFile(f"{len(data)} bytes are no safetensors file")
    if not has_brace:
        raise NotSafetensors("no safetensors header at byte 8; only safetensors is accepted")
