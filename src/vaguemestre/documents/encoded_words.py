"""Text of message headers: raw bytes and encoded words (RFC 2047) to characters, whatever they are worth.

What holds here: nothing raises, the time is linear in the size, and the result has no control character, so it can go
to a list, a protocol line or a database as it is.

Rules: the charset names understood are a fixed list, because Python's codecs by name include slow ones (`punycode`) and
remember every unknown name for ever. Words of one charset that follow one another are joined before they are decoded,
for senders cut them within a character. An unknown charset, and raw 8-bit text, are read as UTF-8, else Windows-1252.

RFC 2047, RFC 2231 §5 (language suffix), RFC 6532.
"""

import binascii
import re
from encodings.aliases import aliases

_WORD = re.compile(r"=\?([^?\s]+)\?([bBqQ])\?([^?]*)\?=")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]+")

_ISO = (*range(2, 12), *range(13, 17))
_CODECS = {
    *(f"iso8859_{part}" for part in _ISO),
    *(f"cp{page}" for page in range(1250, 1259)),
    *(
        "cp437",
        "cp850",
        "cp858",
        "koi8_r",
        "koi8_u",
        "mac_roman",
        "tis_620",
        "utf_8",
        "utf_16",
        "utf_16_be",
        "utf_16_le",
    ),
    *("gb2312", "gbk", "gb18030", "big5", "euc_kr", "euc_jp", "iso2022_jp", "iso2022_kr", "shift_jis"),
}
# What calls itself ASCII or Latin-1 is often Windows-1252, of which both are subsets but for control characters.
_CHARSETS = {
    **{name: codec for name, codec in aliases.items() if codec in _CODECS},
    **{codec: codec for codec in _CODECS},
    **{name: "cp1252" for name, codec in aliases.items() if codec in {"ascii", "latin_1"}},
    **dict.fromkeys(("us_ascii", "ascii", "iso_8859_1", "latin_1", "latin1", "ansi"), "cp1252"),
    **{f"iso_8859_{part}": f"iso8859_{part}" for part in _ISO},
    **{f"windows_{page}": f"cp{page}" for page in range(1250, 1259)},
    "utf8": "utf_8",
}


def decode_bytes(raw: bytes, charset: str = "") -> str:
    """Bytes said to be in `charset`, as characters; never raises, what is impossible becomes U+FFFD."""
    codec = _CHARSETS.get(charset.partition("*")[0].strip().lower().replace("-", "_"))
    if codec:
        return raw.decode(codec, "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def printable(text: str) -> str:
    """`text` with each run of control characters made a space."""
    return text if text.isprintable() else _CONTROL.sub(" ", text)


def decode_words(text: str) -> str:
    """`text` with its encoded words decoded, and what is not one left as it is."""
    if "=?" not in text:
        return text
    decoded: list[str] = []
    pending, charset, position = bytearray(), "", 0
    for word in _WORD.finditer(text):
        between = text[position : word.start()]
        raw = _word_bytes(word[2], word[3])
        if raw is None:
            continue  # not decodable: it stays as text, up to the next word that is
        apart = bool(between) and not (between.isspace() and position)
        if pending and (apart or word[1].lower() != charset):
            decoded.append(decode_bytes(bytes(pending), charset))
            pending.clear()
        if apart:
            decoded.append(between)
        charset = word[1].lower()
        pending += raw
        position = word.end()
    if pending:
        decoded.append(decode_bytes(bytes(pending), charset))
    decoded.append(text[position:])
    return printable("".join(decoded))


def _word_bytes(encoding: str, encoded: str) -> bytes | None:
    if encoding in "qQ":
        # Characters above 127 are not allowed here and some senders write them: keep them, as UTF-8.
        return binascii.a2b_qp(encoded.encode("utf-8", "replace"), header=True)
    digits = _NOT_BASE64.sub("", encoded)
    if len(digits) % 4 == 1:
        digits = digits[:-1]  # cut short by the sender: what is whole is still worth showing
    return binascii.a2b_base64(digits + "==") if digits or not encoded else None
