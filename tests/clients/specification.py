"""Azure's published specification of `Microsoft.DataProtection`, held against what the server answers.

It is no part of this repository: it is read from the directory that COFFER_SHARED_DIR names, else `../shared`; without it
nothing is checked. Schemas are read more strictly than written: members that they do not name are refused, but for those of
`MORE`, and the members of a type that has variants are those of the variant that `objectType` names. A member that is not
required may be null, as many are in the service's own answers.
"""

import atexit
import json
import os
import re
import sys
import urllib.parse
from pathlib import Path

import jsonschema_rs

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("COFFER_SHARED_DIR", ROOT.parent / "shared"))
FILE = SHARED / "azure" / "swagger" / "2024-04-01" / "dataprotection.bundled.json"

# Members that the service's answers have, and this version of the specification has not.
MORE = {
    # Recorded.
    "AzureBackupJob": ("sourceDataStoreType", "isCrossRegionRestore"),
}
# Values that the service's answers have beyond those listed, by the name of the list.
MORE_VALUES = {
    # Recorded in protection statuses as in the state of protection.
    "Status": ["BackupsSuspended", "UpdatingProtection"],
    "CurrentProtectionState": ["BackupsSuspended"],
}
# Bodies that the service's answers have where the specification has none.
MORE_BODIES = {
    # Recorded.
    ("DppResourceGuardProxy_Delete", 200): {},
}


def flat(definitions, name):
    """A definition with all that it inherits: its properties, and which of them are required."""
    definition = definitions[name]
    properties, required = {}, []
    for parent in definition.get("allOf", ()):
        inherited, needed = flat(definitions, parent["$ref"].rsplit("/", 1)[1])
        properties |= inherited
        required += needed
    return properties | definition.get("properties", {}), [*dict.fromkeys(required + definition.get("required", []))]


def variants(definitions, base):
    """The definitions that inherit from another, near or far, by the `objectType` that they have."""
    found = {}
    for name, definition in definitions.items():
        parents = [parent["$ref"].rsplit("/", 1)[1] for parent in definition.get("allOf", ())]
        if base in parents:
            if "x-ms-discriminator-value" in definition:
                found[definition["x-ms-discriminator-value"]] = name
            found |= variants(definitions, name)
    return found


def or_null(schema):
    """So written that an error is about what is wrong, not about all that was tried."""
    return {"if": {"type": "null"}, "else": schema}


class Schemas:
    """The specification's definitions as JSON Schema."""

    def __init__(self, specification):
        self.definitions = specification["definitions"]
        self.defs = {}
        for name, definition in self.definitions.items():
            self.defs[f"only-{name}"] = self.only(name, definition)
            self.defs[name] = self.any_of(name)

    def only(self, name, definition):
        """The definition itself, whatever inherits from it."""
        properties, required = flat(self.definitions, name)
        if not properties:
            return self.value(definition)
        return {
            "type": "object",
            "properties": {
                member: self.value(value) if member in required else or_null(self.value(value))
                for member, value in properties.items()
            }
            | {member: {} for member in MORE.get(name, ())},
            "required": required,
            "additionalProperties": self.value(definition.get("additionalProperties", False)),
        }

    def any_of(self, name):
        """The definition or the one of its variants that `objectType` names."""
        heirs = variants(self.definitions, name)
        if not heirs or "objectType" not in flat(self.definitions, name)[0]:
            return {"$ref": f"#/$defs/only-{name}"}
        named = [
            {
                "if": {"properties": {"objectType": {"const": value}}, "required": ["objectType"]},
                "then": {"$ref": f"#/$defs/only-{heir}"},
            }
            for value, heir in heirs.items()
        ]
        if "x-ms-discriminator-value" in self.definitions[name]:
            return {"allOf": [*named, {"if": {"properties": {"objectType": {"const": name}}}, "then": {"$ref": f"#/$defs/only-{name}"}}]}
        known = {"properties": {"objectType": {"enum": [*heirs]}}, "required": ["objectType"]}
        return {"allOf": [*named, {"if": {"not": known}, "then": {"$ref": f"#/$defs/only-{name}"}}]}

    def value(self, value):
        """A value's schema, without what only generators of clients read."""
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return {"$ref": "#/$defs/" + value["$ref"].rsplit("/", 1)[1]}
        schema = {}
        for key in ("type", "enum", "format", "pattern", "minimum", "maximum", "minLength", "maxLength"):
            if key in value:
                schema[key] = value[key]
        if "enum" in schema:
            schema["enum"] = schema["enum"] + MORE_VALUES.get(value.get("x-ms-enum", {}).get("name"), [])
        if schema.get("format") not in (None, "date-time", "uuid"):
            # Of numbers, or no format that anybody checks.
            del schema["format"]
        if "items" in value:
            schema["items"] = self.value(value["items"])
        if "properties" in value:
            schema["properties"] = {
                name: or_null(self.value(member)) for name, member in value["properties"].items()
            }
        if "additionalProperties" in value:
            schema["additionalProperties"] = self.value(value["additionalProperties"])
        return schema

    def validator(self, schema):
        return jsonschema_rs.Draft202012Validator({**self.value(schema), "$defs": self.defs}, validate_formats=True)


class Specification:
    """All operations, with a validator for each answer of each."""

    def __init__(self, path=FILE):
        self.document = json.loads(path.read_text())
        self.schemas = Schemas(self.document)
        # What was checked: the operation's id and how often.
        self.checked = {}
        self.operations = []
        for path, methods in self.document["paths"].items():
            parts = re.split(r"(\{\w+\})", path)
            # A resource's id is a path itself.
            pattern = "".join(
                ("(.+)" if part == "{resourceId}" else "([^/]+)") if part.startswith("{") else re.escape(part)
                for part in parts
            )
            for method, operation in methods.items():
                self.operations.append((method.upper(), re.compile(pattern, re.IGNORECASE), operation, {}))
        # What is written out comes before what has a name in its place.
        self.operations.sort(key=lambda operation: operation[1].groups)

    def operation(self, method, path):
        """The operation that a request asks for, or none."""
        for operation in self.operations:
            if operation[0] == method and operation[1].fullmatch(path):
                return operation
        return None

    def differences(self, method, url, status, body):
        """What an answer has that the specification has not, or the other way round, as lines of text."""
        path = re.sub("/+", "/", urllib.parse.urlsplit(url).path)
        operation = self.operation(method, path)
        if operation is None:
            return
        _, _, described, validators = operation
        name = described["operationId"]
        responses = described["responses"]
        if str(status) not in responses and status < 400:
            yield f"{name}: status {status} is not one of {', '.join(responses)}"
            return
        response = responses.get(str(status), responses["default"])
        self.checked[name] = self.checked.get(name, 0) + 1
        if "schema" not in response:
            if body is not None and status < 400 and MORE_BODIES.get((name, status)) != body:
                yield f"{name}: status {status} has a body: {body}"
            return
        if body is None and status in (202, 204):
            return
        key = str(status) if str(status) in responses else "default"
        if key not in validators:
            validators[key] = self.schemas.validator(response["schema"])
        for error in validators[key].iter_errors(body):
            where = "".join(f".{part}" for part in error.instance_path)
            yield f"{name} {status}: {where}: {error.message[:400]}"


SPECIFICATION = Specification() if FILE.is_file() else None


def check(method, url, status, body):
    """Refuses an answer that is not as published."""
    if SPECIFICATION is None:
        return
    found = list(SPECIFICATION.differences(method, url, status, body))
    if os.environ.get("COFFER_SPECIFICATION_LOG"):
        with open(os.environ["COFFER_SPECIFICATION_LOG"], "a") as log:
            log.writelines(f"{line}\n" for line in found)
        return
    if found:
        raise AssertionError("not as published: " + "\n".join(found))


def summary():
    if SPECIFICATION is not None and SPECIFICATION.checked:
        operations = len(SPECIFICATION.checked)
        answers = sum(SPECIFICATION.checked.values())
        of = len(SPECIFICATION.operations)
        print(f"{answers} answers of {operations} of {of} operations are as published", file=sys.stderr)


atexit.register(summary)
