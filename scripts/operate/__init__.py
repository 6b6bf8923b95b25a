"""Operating a site: what stands behind scripts/lab and scripts/smartgouv."""
