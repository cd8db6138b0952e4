"""Several real hosts on one Linux machine, for newcomers and for tests.

Each host is namespaces, an address on a bridge, and a Docker engine of its own: what is true of three machines on a
switch is true of it, a power failure and an unplugged cable included.
"""
