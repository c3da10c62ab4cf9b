"""What a report says, read from a run's files: facts without a word of HTML."""
