"""Loads the dashboard as Grafana's own library does, and asks a Prometheus that watches a server for every panel of it.

    dashboard.py PROMETHEUS SERVER PORT DASHBOARD

Jobs with a webhook to that port are run meanwhile, so that there is something to see.
"""

import json
import sys
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

# Nothing goes wrong here, so nothing is tried again.
MAY_BE_EMPTY = {"Retries"}
SECONDS = 90


class Sink(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def load(path):
    register_default_plugins()
    with open(path) as file:
        return Dashboard.from_json(json.load(file))


def run_job(server, sink, seed):
    body = {"prompt": "a lighthouse", "seed": seed, "width": 64, "height": 64, "steps": 2,
            "options": {"webhook": {"url": sink}}}
    request = urllib.request.Request(f"{server}/sd15/txt2img", json.dumps(body).encode(),
                                     {"content-type": "application/json"})
    urllib.request.urlopen(request, timeout=60).read()


def ask(prometheus, query):
    for name, value in {"$workflow": ".*", "$engine": ".*", "$__rate_interval": "10s"}.items():
        query = query.replace(name, value)
    url = f"{prometheus}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(url, timeout=10) as answer:
        found = json.load(answer)
    assert found["status"] == "success", found
    return found["data"]["result"]


def main(prometheus, server, port, path):
    dashboard = load(path)
    queries = [(panel.title, target.expr)
               for panel in dashboard.panels if isinstance(panel, Panel) for target in panel.targets or []]
    assert len(queries) > 30, queries
    sink = HTTPServer(("127.0.0.1", int(port)), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    until = time.monotonic() + SECONDS
    empty, seed = None, 0
    while empty is None or (empty and time.monotonic() < until):
        seed += 1
        run_job(server, f"http://127.0.0.1:{port}/", seed)
        empty = [(title, query) for title, query in queries
                 if title not in MAY_BE_EMPTY and not ask(prometheus, query)]
    assert not empty, f"nothing to see after {SECONDS} s: {empty}"
    print(f"{len(dashboard.panels)} panels, {len(queries)} queries answered, {seed} jobs run")


main(*sys.argv[1:])
