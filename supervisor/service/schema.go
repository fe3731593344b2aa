package service

// Schema is the JSON schema (draft 2020-12) of declarations, for editors and for checks before a review. What a
// declaration and its policy say of each other it can't tell.
const Schema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "Sterling service",
  "type": "object",
  "additionalProperties": false,
  "required": ["version", "name", "policy"],
  "properties": {
    "version": {"const": 1},
    "name": {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"},
    "policy": {"type": "string", "minLength": 1, "maxLength": 4096, "description": "File of the sandbox policy, relative to this document."},
    "replicas": {"type": "integer", "minimum": 0, "maximum": 64, "default": 1},
    "restart": {"enum": ["always", "on-failure", "never"], "default": "always"},
    "health": {
      "type": "array",
      "maxItems": 8,
      "description": "A replica is ready when all of these pass; without any, when it runs.",
      "items": {
        "type": "object",
        "additionalProperties": false,
        "oneOf": [{"required": ["exec"]}, {"required": ["socket"]}],
        "dependentRequired": {"path": ["socket"]},
        "properties": {
          "exec": {"type": "array", "minItems": 1, "maxItems": 64, "items": {"type": "string"}, "description": "A command in the replica that exits with 0."},
          "socket": {"type": "string", "description": "A name of the policy's network.listen: a connection stays open."},
          "path": {"type": "string", "pattern": "^/[!-~]*$", "maxLength": 1024, "description": "GET answers 200 to 399."},
          "every": {"$ref": "#/$defs/duration", "default": "5s"},
          "timeout": {"$ref": "#/$defs/duration", "default": "2s"},
          "failures": {"type": "integer", "minimum": 1, "maximum": 100, "default": 3}
        }
      }
    },
    "start_time": {"$ref": "#/$defs/duration", "default": "30s", "description": "Until a replica has to be ready."},
    "update": {
      "type": "object",
      "additionalProperties": false,
      "anyOf": [
        {"required": ["max_surge"], "properties": {"max_surge": {"minimum": 1}}},
        {"required": ["max_unavailable"], "properties": {"max_unavailable": {"minimum": 1}}}
      ],
      "properties": {
        "max_unavailable": {"type": "integer", "minimum": 0, "maximum": 64, "default": 0, "description": "How many fewer than replicas may be ready."},
        "max_surge": {"type": "integer", "minimum": 0, "maximum": 64, "default": 1, "description": "How many more than replicas may run."}
      }
    },
    "mesh": {
      "type": "object",
      "additionalProperties": false,
      "required": ["identity"],
      "properties": {
        "identity": {"type": "string", "pattern": "^spiffe://", "description": "What the service is in the mesh."},
        "socket": {"type": "string", "description": "A name of the policy's network.listen, which gets calls of the service."}
      }
    }
  },
  "$defs": {
    "duration": {"type": "string", "pattern": "^([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$"}
  }
}
`
