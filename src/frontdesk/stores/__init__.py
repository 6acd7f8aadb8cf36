"""The seam to storage. `protocol` is the contract; only `frontdesk.wiring` imports the implementations."""
