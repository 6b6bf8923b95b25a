"""Certificate status: OCSP answers and CRLs, signed by the authority, served by hosts that hold no key.

On the authority's host, `signing` and `revocation_list` sign what `publisher` writes as files. On a
responder's host, `fetching` brings those files, `verification` checks them, `shelf` holds them and
`responder` answers from them.
"""
