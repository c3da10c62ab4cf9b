"""The built-in task families: reasoning-gym's generators, their levels, and a rule-based teacher."""
