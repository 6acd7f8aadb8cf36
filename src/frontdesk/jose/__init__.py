"""JOSE: signed tokens and their keys. Pure, strict, one algorithm per key; knows nothing of sessions.

==============  ======================================================================================
`keys`          `OctKey`, `EcKey`, `OkpKey`, `RsaKey`: immutable, checked when built
`jwk`           keys from and to JSON (RFC 7517, 7518, 8037), `KeySet`, thumbprints (RFC 7638)
`jws`           compact signatures over any bytes (RFC 7515)
`jwt`           claims, and verification together with policy in one call (RFC 7519, 8725, 9068)
`codes`         the table of refusal codes
`strictjson`    JSON without duplicate members, non-finite numbers, lone surrogates or deep nesting
`b64`           base64url, canonical or refused
`weakness`      keys that look right and are not
==============  ======================================================================================

Data that is refused raises `frontdesk.errors.TokenError` with a code of `codes.TOKEN_CODES` and nothing else.
Misuse (a wrong Python type, a naive datetime, an impossible setting) raises `TypeError` or `ValueError`.

There is no randomness here but two sources inside `cryptography`: the nonces of ES256 and PS256, and the
`generate` class methods of `EcKey`, `OkpKey` and `RsaKey`. A symmetric secret is an argument.
"""
