"""The RabbitMQ under test: a private one that script/rabbitmq starts, or the one of POSTBACK_AMQP_URL."""
import base64
import json
import os
import signal
import subprocess
from urllib.parse import quote, urlsplit

from lib.amqp import Amqp
from lib.paths import RABBITMQ
from lib.wait import eventually

SHARED_QUEUES = ("postback.replies", "postback.dead", "postback.control")

# Asked of the queues themselves: RabbitMQ's own statistics lag behind for quorum queues.
QUEUE_COUNTS = """
begin
    Counts = case amqqueue:get_type(Q) of
        rabbit_quorum_queue ->
            Ask = fun(What) -> {ok, {_, Count}, _} = ra:leader_query(amqqueue:get_pid(Q), What), Count end,
            [Ask(fun rabbit_fifo:query_messages_ready/1), Ask(fun rabbit_fifo:query_messages_checked_out/1),
             Ask(fun rabbit_fifo:query_consumer_count/1)];
        _ ->
            [Count || {_, Count} <-
                rabbit_amqqueue:info(Q, [messages_ready, messages_unacknowledged, consumers])]
    end,
    maps:from_list(lists:zip([name, ready, unacked, consumers], [element(4, amqqueue:get_name(Q)) | Counts]))
end"""


class Vhost:
    """A place of its own on a broker."""

    def __init__(self, broker, name, url):
        self.broker = broker
        self.name = name
        self.url = url

    def amqp(self):
        return Amqp(self.url)

    def depth(self, queue):
        with self.amqp() as amqp:
            return amqp.depth(queue)

    def queues(self):
        """name -> {ready, unacked, consumers} of all queues, as the (private) broker counts them right now."""
        return self.broker.queues(self.name)


class Broker:
    """A private broker under `folder`. Ends with this process at the latest."""

    def __init__(self, folder, port=None):
        self.folder = str(folder)
        self._port = port
        self._vhosts = 0
        self.start()

    def _script(self, verb, *args, stdin=""):
        done = subprocess.run(
            [RABBITMQ, verb, self.folder, *map(str, args)], input=stdin, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise RuntimeError(f"script/rabbitmq {verb}: {done.stderr or done.stdout}")
        return done.stdout.strip()

    def start(self):
        """Also again after stop or kill: same port, same data."""
        options = ["--with", os.getpid()] + (["--port", self._port] if self._port else [])
        self._url = self._script("start", *options)
        self.port = urlsplit(self._url).port
        self.pid = int(self._script("pid"))

    def stop(self):
        self._script("stop")

    def restart(self):
        self.stop()
        self.start()

    def settle(self):
        """Writes down which queues there are. RabbitMQ does so only about a second after a quorum queue was declared;
        killed before, it starts that queue empty and confirmed messages are gone. That is its flaw, not ours."""
        self.eval("[dets:sync(Table) || Table <- dets:all()], mnesia:sync_log()")

    def kill(self):
        """As a crash would, but for settle(): nothing is flushed or said. start() brings it back."""
        if self._state() not in "TtZ":
            self.settle()
        os.kill(self.pid, signal.SIGKILL)
        eventually(lambda: not self.is_running(), what="the broker is gone")

    def _state(self):
        """As the kernel calls it; Z when it is gone, with the last of its threads."""
        try:
            with open(f"/proc/{self.pid}/stat", encoding="ascii") as stat:
                state = stat.read().rpartition(")")[2].split()[0]
            return "R" if state == "Z" and len(os.listdir(f"/proc/{self.pid}/task")) > 1 else state
        except OSError:
            return "Z"

    def is_running(self):
        return self._state() != "Z"

    def freeze(self):
        """Connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.pid, signal.SIGCONT)

    def heal(self):
        """Running, thawed, without an alarm."""
        if self.is_running():
            self.thaw()
        else:
            self.start()
        self.set_alarm(False)

    def ctl(self, *args):
        return self._script("ctl", *args)

    def eval(self, erlang):
        """Evaluates inside the broker, in milliseconds. Returns the term as text."""
        said = self._script("eval", stdin=erlang.rstrip().rstrip(".") + ".\n")
        if not said.startswith("{ok, "):
            raise RuntimeError(f"{erlang}: {said}")
        return said[len("{ok, "):-1]

    def eval_json(self, erlang):
        # erl_call shortens binaries and does not escape strings.
        term = self.eval(f"binary_to_list(base64:encode(iolist_to_binary(rabbit_json:encode({erlang}))))")
        return json.loads(base64.b64decode(term.strip('"')))

    def set_alarm(self, is_on):
        """The memory alarm: the broker takes no publishes from anybody while it is on."""
        self.eval(f"vm_memory_monitor:set_vm_memory_high_watermark({'0.00001' if is_on else '0.4'})")
        eventually(
            lambda: (self.eval("rabbit_alarm:get_alarms()") != "[]") == is_on,
            what=f"memory alarm is {'on' if is_on else 'off'}")

    def vhost_new(self):
        self._vhosts += 1
        name = f"test-{self._vhosts}"
        self.eval(
            f'rabbit_vhost:add(<<"{name}">>, <<"test">>),'
            f'rabbit_auth_backend_internal:set_permissions('
            f'<<"guest">>, <<"{name}">>, <<".*">>, <<".*">>, <<".*">>, <<"test">>)')
        return Vhost(self, name, self.url(name))

    def vhost_delete(self, vhost):
        self.eval(f'rabbit_vhost:delete(<<"{vhost.name}">>, <<"test">>)')

    def url(self, vhost="/"):
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{quote(vhost, safe='')}"

    def queues(self, vhost):
        listed = self.eval_json(f'[{QUEUE_COUNTS} || Q <- rabbit_amqqueue:list(<<"{vhost}">>)]')
        return {queue.pop("name"): queue for queue in listed}

    def connections(self):
        """The connection_name of every client connected."""
        return self.eval_json(
            '[Name || [{_, Properties}] <- rabbit_networking:connection_info_all([client_properties]),'
            ' {<<"connection_name">>, longstr, Name} <- Properties]')


class ForeignBroker:
    """Somebody else's: one vhost for all tests, emptied of our queues after each."""

    def __init__(self, url):
        self._url = url

    def vhost_new(self):
        return Vhost(self, urlsplit(self._url).path[1:], self._url)

    def vhost_delete(self, vhost):
        with vhost.amqp() as amqp:
            for queue in SHARED_QUEUES:
                amqp.delete(queue)

    def stop(self):
        pass


def broker_for_tests(folder):
    url = os.environ.get("POSTBACK_AMQP_URL")
    return ForeignBroker(url) if url else Broker(folder)
