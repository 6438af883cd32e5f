"""Who a reference is: the one id under which its single outcome is known, whatever worker or model settles it."""

import hashlib

OUTCOME_ID_LENGTH = 40  # hex digits: 160 bits, collision-free at any platform's scale


def outcome_id(*identity: str) -> str:
    """Hash the parts of a reference's identity.

    The parts are length-prefixed, so `("a", "bc")` and `("ab", "c")` differ. The model version is deliberately not among
    them: a rolling deploy must not give one upload two verdicts.
    """
    digest = hashlib.sha256()
    for part in identity:
        raw = part.encode()
        digest.update(len(raw).to_bytes(4, "big"))
        digest.update(raw)
    return digest.hexdigest()[:OUTCOME_ID_LENGTH]
