"""HTTP without a framework: a Request value goes in, a Response value comes out."""
