"""A stand-in for ComfyUI that imports packs as it does, says what it says, and answers what is asked of it here."""

import argparse
import importlib.util
import json
import os
import sys
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--listen", default="127.0.0.1")
parser.add_argument("--base-directory", default=os.path.dirname(os.path.abspath(__file__)))
parser.add_argument("--cpu", action="store_true")
arguments = parser.parse_args()
port, base = arguments.port, os.path.realpath(arguments.base_directory)
folder = os.path.join(base, "custom_nodes")
classes, times = {}, []
for name in sorted(os.listdir(folder)):
    path = os.path.join(folder, name)
    if name == "__pycache__" or name.endswith(".disabled") or (os.path.isfile(path) and not name.endswith(".py")):
        continue
    try:
        file = os.path.join(path, "__init__.py") if os.path.isdir(path) else path
        spec = importlib.util.spec_from_file_location(path.replace(".", "_x_"), file)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        for known in getattr(module, "NODE_CLASS_MAPPINGS", {}):
            classes[known] = {"python_module": "custom_nodes." + name.removesuffix(".py")}
        times.append((path, True))
    except Exception as error:
        traceback.print_exc()
        print(f"Cannot import {path} module for custom nodes: {error}", flush=True)
        times.append((path, False))
for path, good in times:
    print("{:6.1f} seconds{}: {}".format(0.0, "" if good else " (IMPORT FAILED)", path), flush=True)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        answers = {"/system_stats": {"system": {"comfyui_version": "0.3.64", "argv": sys.argv}, "devices": []}, "/object_info": classes}
        body = json.dumps(answers.get(self.path)).encode()
        self.send_response(200 if self.path in answers else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
