"""Resource providers that the Pulumi engine starts from PATH."""
