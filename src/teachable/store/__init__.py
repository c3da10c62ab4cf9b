"""Files that survive a crash, the ledger of completions, and the run folder."""
