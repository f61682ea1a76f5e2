#!/usr/bin/python3
"""The golden vectors of the wire format against Python's own msgpack.

Each *.json beside this file is one message:

  message    which decoder it is for: request, reply, context, control or live
  hex        the bytes
  fields     what they say ({"bin": hex} for bytes); "v": 1 is understood
  extra      keys that a decoder skips
  canonical  true when encoding the fields, in their order, gives exactly these bytes
  error      instead of fields: the key path and the reason that the decoder gives

Without arguments: checks them all. With --make: first fills in `hex` where it is missing.
"""
import json
import pathlib
import sys

import msgpack

HERE = pathlib.Path(__file__).parent


def from_json(value):
    """JSON as the vectors write it to what msgpack packs."""
    if isinstance(value, dict):
        if list(value) == ["bin"]:
            return bytes.fromhex(value["bin"])
        return {key: from_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [from_json(item) for item in value]
    return value


def message_of(vector):
    return {"v": 1, **from_json(vector["fields"]), **from_json(vector.get("extra", {}))}


def packed(vector):
    return msgpack.packb(message_of(vector), use_bin_type=True)


def make(path):
    vector = json.loads(path.read_text())
    if "hex" not in vector:
        vector["hex"] = packed(vector).hex()
        path.write_text(json.dumps(vector, indent="\t", ensure_ascii=False) + "\n")


def problems(vector):
    data = bytes.fromhex(vector["hex"])
    if "error" in vector:
        if set(vector["error"]) != {"path", "reason"}:
            yield "an error needs path and reason"
        return
    unpacked = msgpack.unpackb(data, raw=False, strict_map_key=True)
    if unpacked != message_of(vector):
        yield f"unpacks to {unpacked}"
    if vector["canonical"] and packed(vector) != data:
        yield f"packs to {packed(vector).hex()}"


def main():
    paths = sorted(HERE.glob("*.json"))
    failed = 0
    for path in paths:
        if "--make" in sys.argv:
            make(path)
        for problem in problems(json.loads(path.read_text())):
            print(f"{path.name}: {problem}")
            failed += 1
    print(f"{len(paths)} vectors, {failed} problems")
    return 1 if failed or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
