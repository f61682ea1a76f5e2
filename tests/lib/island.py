"""A network of its own for one notifier: with a name server that a test commands, and receivers at public addresses.

Run as a program inside (by Island below): sets the network up, serves names and receivers, lets the broker in through a
Unix socket, starts the notifier, and takes commands from stdin, a JSON line each; says what came on stdout.
"""
import json
import os
import socket
import socketserver
import struct
import subprocess
import sys
import threading

PUBLIC = "93.184.216.34"
SILENT = "93.184.216.35"  # public, too, and nobody listens
PUBLIC_6 = "2606:2800:220:1::34"
PORT = 80


# ---- inside ----

class Names:
    """Answers A and AAAA from a table, TTL 0, and nothing at all where that says None; a name that it does not know does
    not exist."""

    def __init__(self):
        self.table = {}  # name -> list of addresses
        self.asked = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            query, peer = self._socket.recvfrom(512)
            answer = self._answer(query)
            if answer:
                self._socket.sendto(answer, peer)

    def _answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        name, kind = ".".join(labels).lower(), struct.unpack("!H", query[at + 1:at + 3])[0]
        self.asked.append(name)
        if self.table.get(name, []) is None:
            return None
        family, size = (socket.AF_INET, 4) if kind == 1 else (socket.AF_INET6, 16)
        records = b""
        count = 0
        for address in self.table.get(name, []):
            if (":" in address) == (kind == 28) and kind in (1, 28):
                records += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, size) + socket.inet_pton(family, address)
                count += 1
        code = 0 if name in self.table else 3
        return query[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, count, 0, 0) + query[12:at + 5] + records


class Hit(socketserver.StreamRequestHandler):
    """Writes down who was called, answers the status of the moment, and closes."""

    def handle(self):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = self.connection.recv(65536)
            if not piece:
                return
            head += piece
        self.server.state["hits"].append(self.server.server_address[0])
        status = self.server.state["status"]
        self.wfile.write(f"HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())


class Receiver(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address, state):
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.state = state
        super().__init__((address, PORT), Hit)
        threading.Thread(target=self.serve_forever, daemon=True).start()


def pump(source, sink):
    try:
        while piece := source.recv(65536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def join(one, other):
    for ends in ((one, other), (other, one)):
        threading.Thread(target=pump, args=ends, daemon=True).start()


def let_broker_in(port, path):
    listener = socket.create_server(("127.0.0.1", port))

    def serve():
        while True:
            inner, _ = listener.accept()
            outer = socket.socket(socket.AF_UNIX)
            outer.connect(path)
            join(inner, outer)

    threading.Thread(target=serve, daemon=True).start()


def inside(setup):
    for command in (["ip", "link", "set", "lo", "up"], ["ip", "addr", "add", f"{PUBLIC}/32", "dev", "lo"],
                    ["ip", "addr", "add", f"{SILENT}/32", "dev", "lo"],
                    ["ip", "addr", "add", f"{PUBLIC_6}/128", "dev", "lo"], ["ip", "addr", "add", "10.0.0.7/32", "dev", "lo"],
                    ["mount", "--bind", setup["resolv_conf"], "/etc/resolv.conf"]):
        subprocess.run(command, check=True)
    state = {"hits": [], "status": 200}
    names = Names()
    let_broker_in(setup["broker_port"], setup["broker_socket"])
    for address in (PUBLIC, PUBLIC_6, "127.0.0.1", "10.0.0.7", "::1"):
        Receiver(address, state)
    with open(setup["log"], "ab") as log:
        notifier = subprocess.Popen(setup["command"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    print(json.dumps("up"), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        names.table.update(command.get("names", {}))
        state["status"] = command.get("status", state["status"])
        if command.get("forget"):
            state["hits"].clear()
            names.asked.clear()
        print(json.dumps({"hits": state["hits"], "asked": names.asked}), flush=True)
    notifier.terminate()
    sys.exit(notifier.wait(60))


# ---- outside ----

class Island:
    """`with Island(stack, port)`: in the place of the stack's own notifier, once the stack was configured. tell(names={…},
    status=500, forget=True) changes what it finds there and returns {"hits": [addresses called], "asked": [names looked up]}."""

    def __init__(self, stack, broker_port):
        self.stack = stack
        self.broker_port = broker_port
        self.log = stack.folder / "island.log"

    def __enter__(self):
        from lib.paths import BIN, PYTHON  # not there when run as a program
        from lib.service import environment

        path = str(self.stack.folder / "broker.socket")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        threading.Thread(target=self._serve_broker, daemon=True).start()
        resolv_conf = self.stack.folder / "resolv.conf"
        resolv_conf.write_text("nameserver 127.0.0.1\noptions timeout:8 attempts:1\n", encoding="ascii")
        setup = {"resolv_conf": str(resolv_conf), "broker_port": self.broker_port, "broker_socket": path, "log": str(self.log),
                 "command": [str(BIN / "postback-notifier"), "--config", str(self.stack.config_file)]}
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--net", *as_root, "--kill-child", PYTHON, __file__, json.dumps(setup)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(), cwd=self.stack.folder)
        assert json.loads(self._process.stdout.readline()) == "up"
        return self

    def _serve_broker(self):
        while True:
            try:
                inner, _ = self._listener.accept()
            except OSError:
                return
            join(inner, socket.create_connection(("127.0.0.1", self.broker_port)))

    def tell(self, **command):
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def __exit__(self, *_):
        self._process.stdin.close()
        code = self._process.wait(70)
        self._process.stdout.close()
        self._listener.close()
        assert code == 0, self.log.read_text(encoding="utf-8")[-3000:]


if __name__ == "__main__":
    inside(json.loads(sys.argv[1]))
