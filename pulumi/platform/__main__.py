"""Declares the platform of the site that $SMARTGOUV_SITE names, on the cluster of $KUBECONFIG."""

# ruff: noqa: A005  (a program, never imported)
import os
from pathlib import Path

from estate.load import load
from stacks.platform import program

program(load(os.environ["SMARTGOUV_SITE"]), Path(os.environ["KUBECONFIG"]))
