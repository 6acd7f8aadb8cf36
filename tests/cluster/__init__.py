"""Several nodes on one store, with faults: what clients did is written down while it happens and judged afterwards.

`history.py` is the record and `judge.py` the checker. `clients.py` and `party.py` are the clients, `workload.py` is
their process. `nodes.py` are the servers; `proxy.py` and `network.py` stand between a node and its store. `scenario.py`
puts all of it together, so that a test is only what is done to the nodes.
"""
