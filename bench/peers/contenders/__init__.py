"""One module for each runtime, to be run as a process of its own: `python -m contenders.NAME …`; `process.py` has the protocol."""
