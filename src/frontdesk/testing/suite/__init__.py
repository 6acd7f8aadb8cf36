"""The rules of the store contract, one file per part of it. `frontdesk.testing.StoreSuite` puts them together."""
