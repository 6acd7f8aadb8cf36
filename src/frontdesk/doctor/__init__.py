"""What is unsafe in a deployment, as tables and pure functions: `observed` in, findings of `kinds` out.

`report` runs every check. `frontdesk.server` gathers the observations (`examining`, `probing`). docs/doctor.md lists
the findings.
"""
