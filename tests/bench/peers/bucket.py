"""An S3 API with one bucket, which says nothing: `python -m tests.bench.peers.bucket NAME PORT`."""

import logging
import sys
import threading

from tests.storage.bucket import make_bucket, serving_s3


def main() -> None:
    """Serve until SIGTERM."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    name, port = sys.argv[1], int(sys.argv[2])
    with serving_s3(port) as url:
        make_bucket(url, name)
        threading.Event().wait()


if __name__ == "__main__":
    main()
