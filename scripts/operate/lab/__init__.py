"""The lab: a site's hosts as systemd containers on this machine."""
