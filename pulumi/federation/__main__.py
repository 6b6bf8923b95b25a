"""Declares the federation of the site that $SMARTGOUV_SITE names."""

import os

from estate.load import load
from stacks.federation import program

program(load(os.environ["SMARTGOUV_SITE"]))
