"""compose/definitions.json is what the services declare by themselves."""
import json

from lib.paths import ROOT

DEFINITIONS = json.loads((ROOT / "compose/definitions.json").read_text(encoding="utf-8"))
# Those of tasks come with their processors, those of gateways with their connections.
PASSING = ("postback.tasks.", "postback.inline.", "postback.gateway.", "postback.live.")


def listed(vhost, what, *columns):
    """Rows of what was declared on the broker, those of the shared names."""
    rows = json.loads(vhost.broker.ctl("-q", what, "-p", vhost.name, *columns, "--formatter", "json"))
    return rows if what == "list_bindings" else [row for row in rows if not row["name"].startswith(PASSING)]


def arguments(row):
    """rabbitmqctl lists them as [name, type, value]."""
    return {name: value for name, _, value in row["arguments"]} if isinstance(row["arguments"], list) else row["arguments"]


def by_name(rows):
    return {row["name"]: row for row in rows}


def test_exchanges_are_those_that_services_declare(stack, vhost):
    stack.start()
    declared = by_name(row for row in listed(vhost, "list_exchanges", "name", "type", "durable", "auto_delete", "internal",
                                             "arguments") if row["name"].startswith("postback."))
    written = by_name(DEFINITIONS["exchanges"])
    assert declared.keys() == written.keys()
    for name, row in written.items():
        for key in ("type", "durable", "auto_delete", "internal"):
            assert declared[name][key] == row[key], (name, key)
        assert arguments(declared[name]) == row["arguments"]


def test_queues_and_bindings_are_those_that_services_declare(stack, vhost):
    stack.start()
    declared = by_name(listed(vhost, "list_queues", "name", "durable", "auto_delete", "arguments"))
    written = by_name(DEFINITIONS["queues"])
    assert declared.keys() == written.keys()
    for name, row in written.items():
        for key in ("durable", "auto_delete"):
            assert declared[name][key] == row[key], (name, key)
        assert arguments(declared[name]) == row["arguments"], name

    columns = ("source_name", "destination_name", "destination_kind", "routing_key")
    bound = {tuple(row[column] for column in columns) for row in listed(vhost, "list_bindings", *columns)}
    bound = {row for row in bound if row[0] and not row[1].startswith(PASSING)}
    assert bound == {(one["source"], one["destination"], one["destination_type"], one["routing_key"])
                     for one in DEFINITIONS["bindings"]}


def test_every_definition_is_in_the_one_vhost():
    (vhost,) = DEFINITIONS["vhosts"]
    for kind in ("permissions", "exchanges", "queues", "bindings", "policies"):
        assert {one["vhost"] for one in DEFINITIONS[kind]} == {vhost["name"]}, kind
