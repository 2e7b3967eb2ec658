"""What the server and the SDK stand: overload, killed processes, strangers, long runs; `python -m perf.chaos`."""
