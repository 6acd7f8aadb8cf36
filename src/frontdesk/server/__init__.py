"""The ready-made server: settings, one ASGI application, uvicorn.

The rooms: `settings` (the frozen record), `sources` (flags, environment, file), `reading` (one value), `app` and `root`
(what answers a request), `logs`, `metrics` and the `tally` that workers
share, `running` and `bounded` (uvicorn).
"""
