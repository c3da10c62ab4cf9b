"""Where prompts come from: procedural families with a rule-based teacher, or a file of the user's own."""
