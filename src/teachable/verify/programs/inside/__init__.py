"""What runs inside the two sandboxes: packed into one file (`programs/packing.py`), never imported by the rest of us.

`codec` and `wire` are shared. `solution` is the process that holds the program, and nothing that it says is believed;
`suite` is the process that holds the tests, with `link`, `mirrors`, `rules` and `exports` between them and the program.
"""
