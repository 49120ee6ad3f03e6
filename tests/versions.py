"""What a reader of an older version would stumble over: the changes that a kind of message may not make.

Adding optional keys is allowed. Removing or renaming a key, changing its type, its values or whether it has to be
there is not: that needs a new major version, beside the old one for one release.
"""

from __future__ import annotations

from collections.abc import Iterator


def breaking_changes(old: dict, new: dict) -> list[str]:
    """One sentence for each change from a JSON Schema to its successor that breaks a reader or a writer."""
    return list(_changes(old, new, old, new, "$"))


def _changes(old: dict, new: dict, old_root: dict, new_root: dict, path: str) -> Iterator[str]:
    old, new = _resolved(old, old_root), _resolved(new, new_root)
    for key in ("type", "enum", "format"):
        if old.get(key) != new.get(key):
            yield f"{path}: {key} was {_said(old, key)} and is {_said(new, key)}"
    before, after = old.get("anyOf", []), new.get("anyOf", [])
    if len(before) != len(after):
        yield f"{path}: could be one of {len(before)} types and now of {len(after)}"
    for one, other in zip(before, after, strict=False):
        yield from _changes(one, other, old_root, new_root, path)
    for key, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(old.get(key), dict) and isinstance(new.get(key), dict):
            yield from _changes(old[key], new[key], old_root, new_root, path + mark)
        elif old.get(key) != new.get(key):
            yield f"{path}: {key} changed"
    yield from _keys(old, new, old_root, new_root, path)


def _keys(old: dict, new: dict, old_root: dict, new_root: dict, path: str) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    was_required, is_required = set(old.get("required", ())), set(new.get("required", ()))
    for name, schema in before.items():
        if name not in after:
            yield f"{path}.{name}: is gone"
            continue
        yield from _changes(schema, after[name], old_root, new_root, f"{path}.{name}")
        if (name in was_required) != (name in is_required):
            yield f"{path}.{name}: {'had' if name in was_required else 'has'} to be there"
    for name in sorted(is_required - before.keys()):
        yield f"{path}.{name}: is new and has to be there"


def topic_changes(old: dict, new: dict) -> list[str]:
    """One sentence for each topic of an AsyncAPI document that is gone, or is sent otherwise, in its successor."""
    found = []
    for name, channel in old["channels"].items():
        if name not in new["channels"]:
            found.append(f"{name}: is gone")
            continue
        before, after = old["operations"][name], new["operations"][name]
        told = {
            "address": (channel["address"], new["channels"][name]["address"]),
            "direction": (before["action"], after["action"]),
            "binding": (before["bindings"]["mqtt"], after["bindings"]["mqtt"]),
            "payload": tuple(document["components"]["messages"][name]["title"] for document in (old, new)),
        }
        found += [f"{name}: {key} was {was} and is {now}" for key, (was, now) in told.items() if was != now]
    return found


def _resolved(schema: dict, root: dict) -> dict:
    reference = schema.get("$ref")
    return root["$defs"][reference.rpartition("/")[2]] if reference else schema


def _said(schema: dict, key: str) -> str:
    return str(schema[key]) if key in schema else "open"
