"""What a service says in /metrics."""


def metric(client, name, **labels):
    """The value of one series, 0 when it is not there."""
    wanted = {f'{key}="{value}"' for key, value in labels.items()}
    for line in client.get("/metrics").text.splitlines():
        head, _, value = line.rpartition(" ")
        series, _, rest = head.partition("{")
        if series == name and wanted <= set(rest.rstrip("}").split(",")) - {""}:
            return float(value)
    return 0.0
