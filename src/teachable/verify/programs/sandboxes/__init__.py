"""The parts of the sandbox behind `programs/sandbox.py`: its bounds, its system, its processes."""
