"""A plain pika connection for tests: publish anything anywhere, look into queues."""
import pika


class Amqp:
    """Not for several threads: make one for each."""

    def __init__(self, url):
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self._connection.channel()
        self.channel.confirm_delivery()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Also when the broker has gone meanwhile."""
        try:
            if self._connection.is_open:
                self._connection.close()
        except pika.exceptions.AMQPError:
            pass

    def _reopen(self):
        # The broker closes a channel over every question about something that is not there.
        self.channel = self._connection.channel()
        self.channel.confirm_delivery()

    def publish(self, exchange, key, body, headers=None, **properties):
        """Mandatory and confirmed: raises when it is not routed."""
        properties.setdefault("delivery_mode", 2)
        self.channel.basic_publish(
            exchange, key, body, pika.BasicProperties(headers=headers, **properties), mandatory=True)

    def get(self, queue):
        """Takes one message off, or None: (method, properties, body)."""
        method, properties, body = self.channel.basic_get(queue, auto_ack=True)
        return None if method is None else (method, properties, body)

    def depth(self, queue):
        """Messages ready, not those with a consumer. None: there is no such queue."""
        try:
            return self.channel.queue_declare(queue, passive=True).method.message_count
        except pika.exceptions.ChannelClosedByBroker:
            self._reopen()
            return None

    def exists(self, queue):
        return self.depth(queue) is not None

    def delete(self, queue):
        try:
            self.channel.queue_delete(queue)
        except pika.exceptions.ChannelClosedByBroker:
            self._reopen()
