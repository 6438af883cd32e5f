"""Which format a file has by its first bytes; names and declared types are never asked."""

from typing import Final, Literal

from schemas.errors import ImageFormatUnsupported, ImageIsHeic, ImageIsSvg, ImageRejected, NotAnImage

Format = Literal["JPEG", "PNG", "WEBP", "GIF", "AVIF"]
FORMATS: Final[tuple[Format, ...]] = ("JPEG", "PNG", "WEBP", "GIF", "AVIF")

_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})

# Signature -> format, each at the given offset. What is here is an image (or a page, or a film), but none we decode.
_OTHERS: Final = (
    (0, b"BM", "BMP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "BigTIFF"),
    (0, b"MM\0+", "BigTIFF"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"II\xbc", "JPEG XR"),
    (0, b"\0\0\x01\0", "ICO"),
    (0, b"\0\0\x02\0", "CUR"),
    (0, b"8BPS", "PSD"),
    (0, b"DDS ", "DDS"),
    (0, b"BLP1", "BLP"),
    (0, b"BLP2", "BLP"),
    (4, b"\x11\xaf", "FLI"),
    (4, b"\x12\xaf", "FLC"),
    (0, b"\x01\xda", "SGI"),
    (0, b"qoif", "QOI"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"\x8aMNG", "MNG"),
    (0, b"\x8bJNG", "JNG"),
    (0, b"icns", "ICNS"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"gimp xcf", "XCF"),
    (0, b"%PDF-", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    (0, b"/* XPM */", "XPM"),
    (4, b"ftyp", "video"),
    (0, b"\x1aE\xdf\xa3", "video"),
)
_PNM: Final = (*(b"P%d" % kind for kind in range(1, 8)), b"Pf", b"PF")
_SVG_WINDOW: Final = 4096


def sniff(data: bytes) -> Format:
    """Return the format; raises the rejection that names what the bytes are instead."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp" and (brands := _brands(data)) & (_AVIF_BRANDS | _HEIC_BRANDS):
        if brands & _AVIF_BRANDS:
            return "AVIF"
        raise ImageIsHeic(
            "HEIC is not decoded", why="no decoder of it is trusted here", remedy="Upload JPEG, PNG, WebP or AVIF."
        )
    raise _refusal(data)


def _brands(data: bytes) -> frozenset[bytes]:
    """Major and compatible brands of an ISO base media file."""
    end = min(int.from_bytes(data[:4], "big"), len(data), 256)
    return frozenset({data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))})


def _refusal(data: bytes) -> ImageRejected:
    start = data[:_SVG_WINDOW].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:1] == b"<" and b"<svg" in start.lower():
        return ImageIsSvg(
            "SVG is never rendered", why="it may load and run things", remedy="Upload the picture as PNG."
        )
    for offset, signature, name in _OTHERS:
        if data.startswith(signature, offset):
            return _unsupported(name)
    if data[:2] in _PNM and data[2:3].isspace():
        return _unsupported("PNM")
    return NotAnImage(
        "the bytes are no image",
        why="they start like no image format",
        remedy=f"Upload one of {', '.join(FORMATS)}.",
    )


def _unsupported(name: str) -> ImageRejected:
    return ImageFormatUnsupported(
        f"{name} is not decoded",
        why=f"only {', '.join(FORMATS)} are",
        remedy="Convert it before the upload.",
    )
