"""The site's public key infrastructure: root ceremony, issuing, certificate status and time stamps."""
