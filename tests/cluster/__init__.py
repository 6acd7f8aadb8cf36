"""Several nodes on one store, with faults: what clients did is written down while it happens and judged afterwards.

`history.py` is the record, `judge.py` the checker, `workload.py` the clients, `nodes.py` the servers; `proxy.py` and
`network.py` stand between a node and its store; `scenario.py` puts them together.
"""
