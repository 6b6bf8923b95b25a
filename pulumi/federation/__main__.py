"""Declares the federation of the site that $SMARTGOUV_SITE names."""

import os

import pulumi

from estate.load import load
from stacks.federation import program

pulumi.run(lambda: program(load(os.environ["SMARTGOUV_SITE"])))
