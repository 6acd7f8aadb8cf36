"""The operations: sign in, authenticate, refresh, end, accounts. Async, on top of a store; no HTTP."""
