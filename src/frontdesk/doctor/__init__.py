"""What is unsafe in a deployment, as tables and pure functions: `observed` in, findings of `kinds` out.

`report` runs every check. Who gathers the observations is `frontdesk.server.examining`; docs/doctor.md lists the findings.
"""
