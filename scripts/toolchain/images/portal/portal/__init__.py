"""The public-services portal: one entry for citizens, in French and English."""
