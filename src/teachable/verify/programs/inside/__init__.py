"""What runs inside the two sandboxes: packed into one file (`programs/packing.py`), never imported by the rest of us.

`codec`, `wire` and `operations` are shared. `solution` (with `classes`) is the process that holds the program, and
nothing that it says is believed; `suite` is the process that holds the tests, with `link`, `mirrors`, `rules` and
`exports` between them and the program.

A program and its tests take longer to start than to run, so nothing here imports what it can do without:
`TYPE_CHECKING` is a constant of each module's own, since `typing` alone takes as long as half an interpreter.
"""
