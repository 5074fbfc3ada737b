"""A Hugging Face hub of our own on a local port: just the endpoints that its client uses."""

import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

_API = re.compile(r"/api/models/(?P<repo>[^/?]+/[^/?]+)(/revision/(?P<revision>[^/?]+))?(\?.*)?")
_FILE = re.compile(r"/(?P<repo>[^/?]+/[^/?]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")


class FakeHub:
    """Repositories with their commits, served until closed; `downloads` lists what was fetched."""

    def __init__(self):
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}
        self.cards: dict[str, dict] = {}
        self.downloads: list[str] = []
        self.requests: list[str] = []
        self.resumed: list[int] = []  # where downloads went on
        self.broken: set[str] = set()  # files whose download always breaks in the middle
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def commit(self, repo: str, files: dict[str, bytes], licence: str | None = None) -> str:
        """Adds a commit that becomes `main`; returns its hash."""
        content = repo + repr(sorted((name, len(data)) for name, data in files.items()))
        number = len(self.commits.setdefault(repo, {}))
        sha = hashlib.sha1(f"{content}{number}".encode()).hexdigest()
        self.commits[repo][sha] = files
        self.cards[repo] = {"license": licence} if licence else {}
        return sha

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def find(self, repo: str, revision: str | None) -> tuple[str, dict[str, bytes]] | None:
        commits = self.commits[repo]
        sha = list(commits)[-1] if revision in (None, "main") else revision
        return (sha, commits[sha]) if sha in commits else None

    def _handler(hub):
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                """Says nothing."""

            def do_HEAD(self):
                self.answer(body=False)

            def do_GET(self):
                self.answer(body=True)

            def answer(self, body):
                hub.requests.append(f"{self.command} {self.path}")
                if match := _API.fullmatch(self.path):
                    self.describe(match["repo"], match["revision"])
                elif match := _FILE.fullmatch(self.path):
                    self.file(match["repo"], match["revision"], match["file"], body)
                else:
                    self.refuse("EntryNotFound")

            def refuse(self, code, status=404, **headers):
                self.send_response(status)
                self.send_header("X-Error-Code", code)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def describe(self, repo, revision):
                if repo not in hub.commits:
                    return self.refuse("RepoNotFound")
                found = hub.find(repo, revision)
                if found is None:
                    return self.refuse("RevisionNotFound")
                sha, files = found
                siblings = [{"rfilename": name, "size": len(data)} for name, data in files.items()]
                about = {"id": repo, "modelId": repo, "sha": sha, "siblings": siblings}
                about |= {"tags": [], "private": False, "cardData": hub.cards[repo]}
                return self.send(json.dumps(about).encode(), {"Content-Type": "application/json"})

            def file(self, repo, revision, name, body):
                if repo not in hub.commits:
                    return self.refuse("RepoNotFound")
                found = hub.find(repo, revision)
                if found is None:
                    return self.refuse("RevisionNotFound")
                sha, files = found
                if name not in files:
                    return self.refuse("EntryNotFound", X_Repo_Commit=sha)
                etag = hashlib.sha256(files[name]).hexdigest()
                headers = {"ETag": f'"{etag}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
                if body and name in hub.broken:
                    return self.refuse("", status=403)
                if body:
                    hub.downloads.append(f"{repo}/{name}")
                return self.send(files[name], headers, body)

            def send(self, data, headers, body=True):
                first = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
                if body and first:
                    data = data[int(first[1]) :]
                    hub.resumed.append(int(first[1]))
                self.send_response(206 if body and first else 200)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if body:
                    self.wfile.write(data)

        return Handler


def files_of(folder) -> dict[str, bytes]:
    """The files of a folder, as a repository has them."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
