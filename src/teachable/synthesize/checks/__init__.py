"""What proves an output, or speaks against it: shared by gates and workflows."""
