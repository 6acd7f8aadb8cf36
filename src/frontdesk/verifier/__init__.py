"""What a service needs that checks tokens of others and has no desk: `Verifier`.

Importing it brings in neither a store, a server nor password hashing, and httpx only where something is fetched.
`frontdesk.verifier.remote_keys` has the keys of an issuer by themselves.
"""

from frontdesk.stores.protocol import ASK, Ask
from frontdesk.verifier.verifier import Verifier

__all__ = ["ASK", "Ask", "Verifier"]
