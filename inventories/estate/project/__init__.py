"""Pure projections of the estate: what each tool needs, computed and never typed twice."""
