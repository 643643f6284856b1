"""The ciphers of secure media: AES with keys of any length, and Triple DES, in CBC mode (PS3.15 D.1.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes


class Kind(NamedTuple):
    """One cipher: octets of its key and of a block."""

    algorithm: Callable[[bytes], algorithms.AES | TripleDES]
    key: int
    block: int

    def encryptor(self, key: bytes, vector: bytes) -> CipherContext:
        """Return what encrypts."""
        return Cipher(self.algorithm(key), modes.CBC(vector)).encryptor()

    def decryptor(self, key: bytes, vector: bytes) -> CipherContext:
        """Return what decrypts."""
        return Cipher(self.algorithm(key), modes.CBC(vector)).decryptor()


AES_256: Final = Kind(algorithms.AES, 32, 16)
CIPHERS: Final[Mapping[str, Kind]] = {
    "aes128_cbc": Kind(algorithms.AES, 16, 16),
    "aes192_cbc": Kind(algorithms.AES, 24, 16),
    "aes256_cbc": AES_256,
    "tripledes_3key": Kind(TripleDES, 24, 8),
}
"""By the names that asn1crypto has for them."""
