"""The kinds of resource that the provider manages, one a module."""
