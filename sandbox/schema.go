package sandbox

// Schema is the JSON schema (draft 2020-12) of policy documents, for editors and for checks before a review. It is
// stricter than Parse in form, where YAML is lax (a text that looks like a number wants quotes), and laxer in what a
// schema can't say (a target that is there twice).
const Schema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "Sterling sandbox policy",
  "type": "object",
  "additionalProperties": false,
  "required": ["version", "name", "root", "command", "limits"],
  "properties": {
    "version": {"const": 1},
    "name": {"$ref": "#/$defs/label", "description": "What logs and clusters call the workload."},
    "isolation": {
      "enum": ["gvisor", "gvisor-systrap", "gvisor-kvm", "own-kernel", "own-kernel-kvm", "own-kernel-tcg", "kata"],
      "default": "gvisor",
      "description": "A kind of kernel, or one exact level of it. What runs is never weaker."
    },
    "root": {
      "type": "object",
      "additionalProperties": false,
      "description": "The root file system: an image or a directory. It is never changed.",
      "oneOf": [{"required": ["image"]}, {"required": ["directory"]}],
      "properties": {
        "image": {"$ref": "#/$defs/path", "description": "An OCI image layout (a folder), or a tar of one or of docker save."},
        "directory": {"$ref": "#/$defs/path", "description": "A folder that is the root itself."},
        "digest": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$", "description": "The image's manifest; another is refused."},
        "writable": {"type": "boolean", "description": "Changes stay in the sandbox's memory and end with it."}
      },
      "dependentRequired": {"digest": ["image"]}
    },
    "command": {"type": "array", "minItems": 1, "maxItems": 256, "items": {"type": "string", "maxLength": 4096}},
    "user": {
      "type": "object",
      "additionalProperties": false,
      "description": "Inside the sandbox. Default: nobody.",
      "properties": {"uid": {"$ref": "#/$defs/id"}, "gid": {"$ref": "#/$defs/id"}}
    },
    "working_directory": {"$ref": "#/$defs/place", "default": "/"},
    "environment": {
      "type": "object",
      "maxProperties": 256,
      "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]{0,127}$"},
      "additionalProperties": {"type": "string", "maxLength": 4096}
    },
    "secrets": {
      "type": "array",
      "maxItems": 256,
      "description": "Files of the host, read-only at /run/secrets/NAME.",
      "items": {
        "type": "object",
        "additionalProperties": false,
        "required": ["name", "file"],
        "properties": {"name": {"$ref": "#/$defs/name"}, "file": {"$ref": "#/$defs/path"}}
      }
    },
    "mounts": {
      "type": "array",
      "maxItems": 256,
      "items": {
        "type": "object",
        "additionalProperties": false,
        "required": ["target"],
        "oneOf": [{"required": ["source"]}, {"required": ["memory", "writable"]}],
        "properties": {
          "target": {"$ref": "#/$defs/place"},
          "source": {"$ref": "#/$defs/path", "description": "A folder or file of the host."},
          "memory": {"$ref": "#/$defs/size", "description": "Fresh memory instead of a source."},
          "writable": {"type": "boolean"}
        }
      }
    },
    "limits": {
      "type": "object",
      "additionalProperties": false,
      "required": ["cpu", "memory", "processes"],
      "properties": {
        "cpu": {"type": ["string", "number"], "pattern": "^(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?$", "description": "Cores, such as 0.5: 0.01 to 1024."},
        "memory": {"$ref": "#/$defs/size", "description": "Of the sandbox with its kernel: 64MiB to 16TiB."},
        "processes": {"type": "integer", "minimum": 64, "maximum": 100000, "description": "Of the host, the sandbox's kernel included."},
        "open_files": {"type": "integer", "minimum": 16, "maximum": 1048576, "default": 1024},
        "file_size": {"$ref": "#/$defs/size"}
      }
    },
    "network": {
      "type": "object",
      "additionalProperties": false,
      "description": "Nothing but these Unix sockets, at /run/services/NAME.",
      "properties": {
        "sockets": {
          "type": "array",
          "maxItems": 256,
          "items": {
            "type": "object",
            "additionalProperties": false,
            "required": ["name", "path"],
            "properties": {"name": {"$ref": "#/$defs/name"}, "path": {"$ref": "#/$defs/path"}}
          }
        },
        "services": {
          "type": "array",
          "maxItems": 256,
          "description": "Services of the mesh, called with the identity of the service that this is.",
          "items": {"$ref": "#/$defs/label"}
        },
        "egress": {
          "type": "array",
          "maxItems": 256,
          "description": "Addresses beyond the host, by TCP.",
          "items": {
            "type": "object",
            "additionalProperties": false,
            "required": ["name", "address"],
            "properties": {"name": {"$ref": "#/$defs/name"}, "address": {"type": "string", "pattern": "^.+:[0-9]{1,5}$", "maxLength": 260}}
          }
        },
        "listen": {
          "type": "array",
          "maxItems": 256,
          "description": "Sockets that the workload makes in /run/listen, to be called from outside.",
          "items": {"$ref": "#/$defs/name"}
        }
      }
    },
    "syscalls": {
      "type": "object",
      "additionalProperties": false,
      "properties": {
        "deny": {
          "type": "array",
          "maxItems": 256,
          "description": "System calls that fail with EPERM.",
          "items": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,31}$"}
        }
      }
    },
    "time_limit": {"type": "string", "pattern": "^([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$", "description": "1s to 720h."},
    "audit": {
      "type": "object",
      "additionalProperties": false,
      "properties": {
        "events": {
          "type": "array",
          "maxItems": 256,
          "description": "Beyond starts, new tasks, executed binaries and ends.",
          "items": {"enum": ["file", "network", "identity", "memory"]}
        },
        "when_behind": {"enum": ["slow", "record", "stop"], "default": "slow"},
        "binaries": {
          "type": "array",
          "maxItems": 256,
          "description": "SHA-256 of the programs that may be executed.",
          "items": {"type": "string", "pattern": "^[0-9a-f]{64}$"}
        },
        "rules": {
          "type": "array",
          "maxItems": 64,
          "description": "What happens when an event is of some kind. A rule that can't be decided fires.",
          "items": {
            "type": "object",
            "additionalProperties": false,
            "required": ["action"],
            "oneOf": [{"required": ["standard"]}, {"required": ["name", "on", "when"]}],
            "properties": {
              "standard": {"enum": ["unknown-binary", "secret-opened", "connect-outside"]},
              "name": {"$ref": "#/$defs/label"},
              "on": {"type": "string", "description": "The point of the events, such as exec, open or connect."},
              "when": {"type": "string", "maxLength": 1024, "description": "CEL over the fields of the point, and binaries, secrets and services."},
              "action": {"enum": ["alert", "pause", "kill"]}
            }
          }
        }
      }
    },
    "kubernetes": {
      "type": "object",
      "additionalProperties": false,
      "properties": {
        "image": {"type": "string", "pattern": "^[a-z0-9][A-Za-z0-9._:/-]{0,400}@sha256:[0-9a-f]{64}$"},
        "runtime_class": {"$ref": "#/$defs/label", "default": "gvisor"}
      }
    }
  },
  "$defs": {
    "label": {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"},
    "name": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"},
    "path": {"type": "string", "minLength": 1, "maxLength": 4096, "description": "On the host; relative to this document."},
    "place": {"type": "string", "pattern": "^/", "maxLength": 4096, "description": "In the sandbox: absolute, in its shortest form."},
    "id": {"type": "integer", "minimum": 0, "maximum": 4294967295},
    "size": {"type": "string", "pattern": "^[1-9][0-9]{0,6}(KiB|MiB|GiB|TiB)$"}
  }
}
`
