"""A YAML recipe becomes a typed plan of stages, and the plan a run folder that survives being killed."""
