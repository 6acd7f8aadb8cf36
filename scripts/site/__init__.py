"""The site: what `make docs` builds from docs/, and the checks of its links."""
