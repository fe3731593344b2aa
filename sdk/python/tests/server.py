"""A Sterling of its own for tests, and a network that breaks on purpose."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path


class TestServer:
    """Runs on a free port of loopback, with a data folder that is removed."""

    __test__ = False

    def __init__(self) -> None:
        binary = os.environ.get("STERLING_BIN")
        if not binary:
            raise RuntimeError("STERLING_BIN names no binary: run tools/sdk.sh test")
        self.folder = tempfile.mkdtemp(prefix="sterling-python-")
        self._log = open(os.path.join(self.folder, "stderr.log"), "wb")
        self._process = subprocess.Popen(
            [binary, "up", "--data", os.path.join(self.folder, "data"), "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        for line in self._process.stdout:
            match = re.fullmatch(r"Sterling is ready on http://(\S+)", line.strip())
            if match:
                self.address = match[1]
                break
        else:
            self.stop()
            raise RuntimeError(f"{binary} up ended before it was ready")
        self.token_path = Path(self.folder, "data", "admin.token")
        self.token = self.token_path.read_text().strip()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._process.stdout.close()
        self._log.close()
        shutil.rmtree(self.folder)


class Cutter:
    """Passes connections on; can hold the server's answers back, and lose them."""

    def __init__(self, to: str) -> None:
        host, port = to.split(":")
        self._to = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        self.connections = 0
        self._held = False
        self._sockets = set()
        self._threads = []
        self._start(self._accept)

    def _start(self, target, *args) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                inbound, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            outbound = socket.create_connection(self._to)
            self._sockets |= {inbound, outbound}
            self._start(self._pass, inbound, outbound, lambda: False)
            self._start(self._pass, outbound, inbound, lambda: self._held)

    def _pass(self, source, target, lose) -> None:
        try:
            while True:
                data = source.recv(1 << 16)
                if not data:
                    break
                if not lose():
                    target.sendall(data)
        except OSError:
            pass
        for s in (source, target):
            self._end(s)

    @staticmethod
    def _end(s) -> None:
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def hold(self) -> None:
        """What the server answers from now on is lost."""
        self._held = True

    def cut(self) -> None:
        """Break every connection; new ones work."""
        broken = list(self._sockets)
        for s in broken:
            self._end(s)
        self._held = False

    def stop(self) -> None:
        self._end(self._listener)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)
        for s in self._sockets:
            s.close()
