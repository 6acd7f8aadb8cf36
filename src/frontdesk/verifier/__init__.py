"""What a service needs that checks tokens of others and has no desk."""
