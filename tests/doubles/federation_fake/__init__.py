"""A large federation that only answers: both admin APIs within the provider's process, from declarations."""
