"""The model explorer: every interleaving of refreshes, within stated bounds, driven through the shipped `decide`.

`rule.py` asks the shipped function (or a mutant of it), `model.py` is the world around it, `search.py` walks all of
it, `scenarios.py` names what is walked. `python -m tests.explorer` prints everything; docs/rotation.md explains it.
"""
