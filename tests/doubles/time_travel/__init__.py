"""The whole trust stage under a clock that a test moves: what it serves over 400 days, and who looks at it.

`clock` has libfaketime move the time of every program. `stage` runs the stage's own programs in turn, `hosts`
the renewal of hosts' TLS certificates, `serving` the issuing API, `members` what X-Road servers order. The
`witness` asks for everything that is served and judges it by the time of that moment, without the programs' own
verification. `journey` says what happens when, `summary` shows it to people.
"""
