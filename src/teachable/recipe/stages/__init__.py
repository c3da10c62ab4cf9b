"""The heavy halves of the stages: a module a kind, each with `run(ctx) -> StageOutcome`.

A runner reads its inputs' files, calls one function of its room, and writes what came of it. It knows files and
nothing of the method; the room knows the method and nothing of files.
"""
