"""What changed between two runs: settings, data, scores, and what they cost. `recipe.compare` puts it together."""
