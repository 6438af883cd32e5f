# ruff: noqa: INP001  # a script in the image, not a module
"""Exit 0 when the worker in this container answers `/livez` on the port given as argument, within three seconds."""

import sys
from urllib.request import ProxyHandler, build_opener

opener = build_opener(ProxyHandler({}))  # a proxy in the environment is not for loopback
opener.open(f"http://127.0.0.1:{int(sys.argv[1])}/livez", timeout=3).close()
