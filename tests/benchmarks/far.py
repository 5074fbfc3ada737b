"""Images on S3 against a bare loop: `python -m tests.benchmarks.far`; wants moto[server] and s3fs.

A server of moto's on the loopback, which answers each request 50 ms late, and some with 500.
Prints seconds of a bare loop in as many threads as the stage `listing` has connections, with the
same client and the same number of tries, and of that stage; in turns, medians of three.
"""

import argparse
import hashlib
import random
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from threading import Thread

import fsspec
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from pipeline.corpus.sources.read import CONNECTIONS, read_bytes
from pipeline.stages import listing
from tests.benchmarks.sources import pictures
from tests.helpers.corpora import found_in

_LATE = 0.05  # seconds


class Troubled:
    """A WSGI application that is late, and fails now and then."""

    def __init__(self, application, share: float):
        self._application, self._share, self._random = application, share, random.Random(0)
        self.failed = self.late = 0.0

    def __call__(self, environ, start_response):
        """Answers, late, or with 500."""
        time.sleep(self.late)
        if environ["REQUEST_METHOD"] == "GET" and self._random.random() < self._share * bool(
            self.late
        ):
            self.failed += 1
            start_response("500 Internal Server Error", [("Content-Length", "0")])
            return [b""]
        return self._application(environ, start_response)


def main() -> None:
    """Serves, fills and reads a bucket."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--share", type=float, default=0.01, help="of requests that fail")
    given = parser.parse_args()
    troubled = Troubled(DomainDispatcherApplication(create_backend_app), given.share)
    server = make_server("127.0.0.1", 0, troubled, threaded=True)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    fsspec.config.conf["s3"] = {"key": "k", "secret": "s", "endpoint_url": url}
    system = fsspec.filesystem("s3")
    system.mkdir("bucket")
    system.pipe(
        {f"bucket/x/{n:05d}.jpg": one for n, one in enumerate(pictures(given.files, 60_000))}
    )
    found = found_in("s3://bucket/x")
    uris = found.files["uri"].to_pylist()
    assert len(uris) == given.files and found.files["stamp"].null_count == 0
    troubled.late = _LATE

    def hashed(uri: str) -> str:
        """One file, read by what reads them everywhere."""
        return hashlib.sha256(read_bytes(uri)).hexdigest()

    bare, ours = [], []
    for _ in range(3):
        started = time.perf_counter()
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            expected = list(pool.map(hashed, uris))
        bare.append(time.perf_counter() - started)
        started = time.perf_counter()
        table = listing.run({"files": found.files}, listing.Listing(layout="unlabelled"))
        ours.append(time.perf_counter() - started)
        assert table["sha256"].to_pylist() == expected
    one, other = median(bare), median(ours)
    print(
        f"{given.files:,} files of 60 kB, {CONNECTIONS} connections, {int(troubled.failed)} x 500"
    )
    print(f"bare loop {one:.2f} s, listing {other:.2f} s: {one / other:.2f}")


if __name__ == "__main__":
    main()
