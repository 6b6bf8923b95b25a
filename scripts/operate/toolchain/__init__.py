"""The tool chain: node image, package mirror, binaries, packages and container images, built once into a cache."""
