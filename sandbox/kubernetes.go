package sandbox

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// object is a piece of a Kubernetes manifest. Encoding sorts its keys, so that the same policy is the same text.
type object = map[string]any

// Manifest is the policy for a Kubernetes cluster, as a JSON list that kubectl applies: the RuntimeClass, a
// NetworkPolicy that lets nothing in or out, and a Pod. Seccomp is the profile for its nodes' kubelets. Secrets are
// expected as a Secret of the policy's name, with the secrets' names as keys.
//
// A cluster enforces less than the host's own runner: the trace session is for runsc's configuration on the nodes
// (pod-init-config), and sockets of the host are refused here, since a pod would need a folder of its node for them.
func (p *Policy) Manifest() (manifest, seccomp []byte, err error) {
	switch {
	case p.Isolation.Kind() == OwnKernel:
		return nil, nil, fmt.Errorf("%w: isolation: %s: a cluster has no such machines; say kata there", ErrPolicy, p.Isolation)
	case p.Kubernetes.Image == "":
		return nil, nil, fmt.Errorf("%w: kubernetes.image is missing: a cluster pulls images by reference", ErrPolicy)
	case len(p.Network.Sockets) > 0:
		return nil, nil, fmt.Errorf("%w: network.sockets: a pod can't reach sockets of its node", ErrPolicy)
	}
	for _, m := range p.Mounts {
		if m.Source != "" {
			return nil, nil, fmt.Errorf("%w: mounts: %s: a folder of one host is not on the cluster's nodes", ErrPolicy, clip(m.Target))
		}
	}
	labels := object{"app.kubernetes.io/name": p.Name, "app.kubernetes.io/managed-by": "sterling"}
	named := object{"name": p.Name, "labels": labels}
	list := object{"apiVersion": "v1", "kind": "List", "items": []object{
		{
			"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass",
			"metadata": object{"name": p.Kubernetes.RuntimeClass}, "handler": p.handler(),
		},
		{
			"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": named,
			"spec": object{"podSelector": object{"matchLabels": labels}, "policyTypes": []string{"Ingress", "Egress"}},
		},
		{"apiVersion": "v1", "kind": "Pod", "metadata": named, "spec": p.pod()},
	}}
	manifest, err = encode(list)
	profile, err2 := encode(p.seccomp())
	return manifest, profile, errors.Join(err, err2)
}

// handler is what the nodes' container engines call the kind of kernel.
func (p *Policy) handler() string {
	if p.Isolation == Kata {
		return "kata"
	}
	return "runsc"
}

func (p *Policy) pod() object {
	var volumes, mounts []object
	for i, m := range p.Mounts {
		name := "memory-" + strconv.Itoa(i)
		volumes = append(volumes, object{
			"name": name, "emptyDir": object{"medium": "Memory", "sizeLimit": strconv.FormatInt(int64(m.Memory), 10)},
		})
		mounts = append(mounts, object{"name": name, "mountPath": m.Target})
	}
	if len(p.Secrets) > 0 {
		volumes = append(volumes, object{"name": "secrets", "secret": object{"secretName": p.Name, "defaultMode": 0o440}})
	}
	for _, s := range p.Secrets {
		mounts = append(mounts, object{"name": "secrets", "mountPath": path.Join(SecretFolder, s.Name), "subPath": s.Name, "readOnly": true})
	}
	amounts := object{"cpu": fmt.Sprintf("%dm", p.Limits.CPU), "memory": strconv.FormatInt(int64(p.Limits.Memory), 10)}
	pod := object{
		"runtimeClassName":             p.Kubernetes.RuntimeClass,
		"automountServiceAccountToken": false,
		"enableServiceLinks":           false,
		"restartPolicy":                "Never",
		"securityContext": object{
			"runAsUser": p.User.UID, "runAsGroup": p.User.GID, "fsGroup": p.User.GID, "runAsNonRoot": p.User.UID != 0,
			"seccompProfile": p.podSeccomp(),
		},
		"containers": []object{{
			"name":         p.Name,
			"image":        p.Kubernetes.Image,
			"command":      p.Command,
			"workingDir":   p.WorkingDirectory,
			"env":          p.podEnvironment(),
			"volumeMounts": mounts,
			"resources":    object{"limits": amounts, "requests": amounts},
			"securityContext": object{
				"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": !p.Root.Writable,
				"privileged": false, "capabilities": object{"drop": []string{"ALL"}},
			},
		}},
		"volumes": volumes,
	}
	if p.TimeLimit > 0 {
		pod["activeDeadlineSeconds"] = int64(p.Limit().Seconds())
	}
	return pod
}

// podSeccomp names the profile that Manifest returns, as the nodes have to hold it.
func (p *Policy) podSeccomp() object {
	if len(p.Syscalls.Deny) == 0 {
		return object{"type": "RuntimeDefault"}
	}
	return object{"type": "Localhost", "localhostProfile": "sterling/" + p.Name + ".json"}
}

func (p *Policy) podEnvironment() []object {
	env := []object{}
	for _, pair := range p.environment() {
		name, value, _ := strings.Cut(pair, "=")
		env = append(env, object{"name": name, "value": value})
	}
	return env
}
