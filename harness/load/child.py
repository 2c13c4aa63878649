"""A load process: Locust with the recorder in it, whatever the locustfile imports.

    python -m harness.load.child -f loadtests/shop.py --headless …
    python -m harness.load.child --worker --master-host … -f -

Takes Locust's own options. The harness's master, and a worker that joins one from another
host, are told apart by a variable each (see ``master`` and ``joined``).
"""

from locust.main import main

from harness.load import joined, master, openloop  # noqa: F401 - the last connects the recorder

if __name__ == "__main__":
    master.install()
    joined.install()
    main()
