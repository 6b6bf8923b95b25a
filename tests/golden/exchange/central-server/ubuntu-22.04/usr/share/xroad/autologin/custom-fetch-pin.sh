#!/bin/sh
#
# Ansible managed: change the estate instead.
#
# Prints the token's PIN; 127 says that there is none (X-Road's autologin doesn't try again then).
[ -r "${CREDENTIALS_DIRECTORY:-/nonexistent}/token-pin" ] || exit 127
exec cat "$CREDENTIALS_DIRECTORY/token-pin"
