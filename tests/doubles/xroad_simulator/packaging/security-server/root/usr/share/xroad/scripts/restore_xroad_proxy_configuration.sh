#!/bin/sh
# Stands in for X-Road's script of this name, with its options: see xroad_simulator.restore_script.
if [ "$(id -nu)" != xroad ]; then
    echo "This script ($0) must be run by the xroad user"
    exit 2
fi
PYTHONPATH=/usr/share/xroad-simulator-security-server
PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH PYTHONDONTWRITEBYTECODE
exec python3 -m xroad_simulator.restore_script security --state /var/lib/xroad --tls /etc/xroad/ssl \
    --gpg-home /etc/xroad/gpghome "$@"
