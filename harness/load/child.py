"""A load process: Locust with the recorder in it, whatever the locustfile imports.

    python -m harness.load.child -f loadtests/shop.py --headless …

Takes Locust's own options.
"""

from locust.main import main

from harness.load import openloop  # noqa: F401 - connects the recorder, before the locustfile

if __name__ == "__main__":
    main()
