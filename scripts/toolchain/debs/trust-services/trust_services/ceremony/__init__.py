"""The root's ceremony: its key is made and used here and nowhere else, without a network, before witnesses.

What comes in are files: an agenda out of the site's estate and signed requests of issuing authorities. What
goes out are files: certificates, a revocation list and a signed transcript from which everything can be checked
and replayed.
"""
