"""RSA keys that anybody can break, found by looking at the modulus alone.

The checks that CA/B Forum's baseline requirements, section 6.1.1.3, ask of an authority: ROCA, close primes
(Fermat), small factors. Debian's keys of 2006 to 2008 aren't looked for: that needs their list.
"""

from __future__ import annotations

import math


def _primes(limit: int) -> list[int]:
    return [number for number in range(2, limit) if all(number % factor for factor in range(2, number))]


SMALL_FACTORS = math.prod(_primes(752))
FERMAT_ROUNDS = 100
ROCA_PRIMES = _primes(168)[1:]


def _powers(generator: int, modulus: int) -> frozenset[int]:
    found, value = set(), 1
    while value not in found:
        found.add(value)
        value = value * generator % modulus
    return frozenset(found)


# Nemec et al., "The Return of Coppersmith's Attack" (ACM CCS 2017), section 3.4: moduli of the broken library
# are powers of 65537 modulo every small prime. One of 2^27 other keys is, too.
_ROCA = [(prime, _powers(65537, prime)) for prime in ROCA_PRIMES]


def weakness(modulus: int) -> str:
    """Why this modulus must not be used; empty if no reason is known."""
    if math.gcd(modulus, SMALL_FACTORS) != 1:
        return "its modulus has a small factor"
    if all(modulus % prime in powers for prime, powers in _ROCA):
        return "it carries the fingerprint of a broken key generator (ROCA, CVE-2017-15361)"
    if _close_primes(modulus):
        return "its primes are so close that they are found at once (CVE-2022-26320)"
    return ""


def _close_primes(modulus: int) -> bool:
    """Whether Fermat's method factors the modulus in a few rounds."""
    middle = math.isqrt(modulus - 1) + 1
    for number in range(middle, middle + FERMAT_ROUNDS):
        square = number * number - modulus
        # Squares end in 0, 1, 4 or 9 hexadecimal: three of four candidates need no root.
        if square & 15 in (0, 1, 4, 9) and math.isqrt(square) ** 2 == square:
            return True
    return False
