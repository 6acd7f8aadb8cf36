"""JOSE: signed and encrypted tokens, and their keys. Pure, strict, one algorithm per key; knows nothing of sessions.

==================  ==================================================================================
`keys`              keys for signatures: `OctKey`, `EcKey`, `OkpKey`, `RsaKey`
`encryption_keys`   keys for encryption: `DirectKey`, `WrapKey`, `EcAgreementKey`, `X25519Key`,
                    `RsaEncryptionKey`
`identity`          what all keys share: one algorithm, a key id, never a change; sets of keys
`jwk`               signature keys from and to JSON (RFC 7517, 7518, 8037), `KeySet`
`encryption_jwk`    the same for encryption, `EncryptionKeySet`
`members`           the members of a JWK, read strictly; thumbprints (RFC 7638) are in `identity`
`pem`               both kinds of keys from PKCS#8 and SubjectPublicKeyInfo
`headers`           protected headers, as far as signatures and encryption share them
`jws`               compact signatures over any bytes (RFC 7515)
`content`           AES-GCM and AES-CBC with HMAC (RFC 7518 §5)
`jwe`               compact encryption of any bytes (RFC 7516)
`jwt`               claims, and verification or decryption together with policy in one call
                    (RFC 7519, 8725, 9068)
`memo`              tokens that were verified before
`key_file`          keys from a file that a person names
`unverified`        a token taken apart without believing it: for showing, never for deciding
`codes`             the table of refusal codes
`strictjson`        JSON without duplicate members, non-finite numbers, lone surrogates or deep nesting
`b64`               base64url, canonical or refused
`weakness`          keys that look right and are not
==================  ==================================================================================

Data that is refused raises `frontdesk.errors.TokenError` with a code of `codes.TOKEN_CODES` and nothing else.
Misuse (a wrong Python type, a naive datetime, an impossible setting) raises `TypeError` or `ValueError`.

Random bytes are arguments: secrets, content keys, IVs, what ephemeral keys are made of. The exceptions are inside
`cryptography`: the nonces of ES256, ES384 and PS256, the seed of RSA-OAEP, and the `generate` class methods.
"""
