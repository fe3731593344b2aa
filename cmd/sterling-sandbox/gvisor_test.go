package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"gvisor.dev/gvisor/pkg/sentry/seccheck"
	pb "gvisor.dev/gvisor/pkg/sentry/seccheck/points/points_go_proto"
	"gvisor.dev/gvisor/runsc/boot"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	node "k8s.io/api/node/v1"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/sandbox/gvisor"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

// filled is a message with every field set, messages within it included.
func filled(m protoreflect.Message, depth int) protoreflect.Message {
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		switch {
		case f.Message() != nil && depth > 0:
			filled(m.Mutable(f).Message(), depth-1)
		case f.Message() != nil:
		case f.IsList():
			m.Mutable(f).List().Append(protoreflect.ValueOfString("text"))
		default:
			m.Set(f, map[protoreflect.Kind]protoreflect.Value{
				protoreflect.BoolKind: protoreflect.ValueOfBool(true), protoreflect.StringKind: protoreflect.ValueOfString("text"),
				protoreflect.BytesKind: protoreflect.ValueOfBytes([]byte{1, 2}), protoreflect.Int32Kind: protoreflect.ValueOfInt32(7),
				protoreflect.Int64Kind: protoreflect.ValueOfInt64(7), protoreflect.Uint32Kind: protoreflect.ValueOfUint32(7),
				protoreflect.Uint64Kind: protoreflect.ValueOfUint64(7),
			}[f.Kind()])
		}
	}
	return m
}

// TestMessages: the recorder knows every field of every message that a policy can ask this gVisor for.
func TestMessages(t *testing.T) {
	messages := map[pb.MessageType]proto.Message{
		pb.MessageType_MESSAGE_CONTAINER_START: &pb.Start{}, pb.MessageType_MESSAGE_SENTRY_CLONE: &pb.CloneInfo{},
		pb.MessageType_MESSAGE_SENTRY_EXEC: &pb.ExecveInfo{}, pb.MessageType_MESSAGE_SENTRY_TASK_EXIT: &pb.TaskExit{},
		pb.MessageType_MESSAGE_SYSCALL_OPEN: &pb.Open{}, pb.MessageType_MESSAGE_SYSCALL_CONNECT: &pb.Connect{},
		pb.MessageType_MESSAGE_SYSCALL_SOCKET: &pb.Socket{}, pb.MessageType_MESSAGE_SYSCALL_CHDIR: &pb.Chdir{},
		pb.MessageType_MESSAGE_SYSCALL_SETID: &pb.Setid{}, pb.MessageType_MESSAGE_SYSCALL_SETRESID: &pb.Setresid{},
		pb.MessageType_MESSAGE_SYSCALL_PRLIMIT64: &pb.Prlimit{}, pb.MessageType_MESSAGE_SYSCALL_CHROOT: &pb.Chroot{},
		pb.MessageType_MESSAGE_SYSCALL_BIND: &pb.Bind{}, pb.MessageType_MESSAGE_SYSCALL_ACCEPT: &pb.Accept{},
		pb.MessageType_MESSAGE_SYSCALL_SOCKETPAIR: &pb.SocketPair{}, pb.MessageType_MESSAGE_SENTRY_MMAP: &pb.MmapInfo{},
		pb.MessageType_MESSAGE_SYSCALL_LISTEN: &pb.Listen{}, pb.MessageType_MESSAGE_SYSCALL_PTRACE: &pb.Ptrace{},
	}
	folder := t.TempDir()
	socket, path := filepath.Join(folder, "s"), filepath.Join(folder, "record")
	listener, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: socket, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	control, orders := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- gvisor.Record(t.Context(), gvisor.Recording{
			Listener: listener, File: file, Control: control, Status: io.Discard, Clock: clock.NewSystem(),
		})
	}()
	if _, err := io.WriteString(orders, `{"begin":{"sandbox":"box"}}`+"\n"); err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: socket, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	send := func(header []byte, m proto.Message) {
		text, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(append(header, text...)); err != nil {
			t.Fatal(err)
		}
	}
	send(nil, &pb.Handshake{Version: 1})
	answer := make([]byte, 100)
	n, err := conn.Read(answer)
	if shake := (&pb.Handshake{}); err != nil || proto.Unmarshal(answer[:n], shake) != nil || shake.Version != 1 {
		t.Fatalf("handshake %x, %v", answer[:n], err)
	}
	for kind, m := range messages {
		header := binary.LittleEndian.AppendUint16([]byte{8, 0}, uint16(kind))
		send(append(header, 0, 0, 0, 0), filled(m.ProtoReflect(), 3).Interface())
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(orders, `{"end":{"exit":0,"reason":"exited"}}`+"\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	report, _, err := trail.Verify(bytes.NewReader(text), nil)
	if err != nil || report.Events != uint64(len(messages)) || bytes.Contains(text, []byte(`"unknown"`)) {
		t.Errorf("%v, %+v\n%s", err, report, text)
	}
}

func everything(t *testing.T) *sandbox.Plan {
	t.Helper()
	p, err := sandbox.Parse([]byte("{version: 1, name: a, root: {image: /i}, command: [x], secrets: [{name: s, file: /f}], " +
		"mounts: [{target: /m, memory: 1MiB, writable: true}, {target: /d, source: /srv/d}], environment: {A: b}, " +
		"limits: {cpu: 1, memory: 64MiB, processes: 64, file_size: 1MiB}, syscalls: {deny: [ptrace]}, " +
		"audit: {events: [file, network, identity, memory]}, network: {sockets: [{name: n, path: /s}]}}"))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := sandbox.Compile(p, sandbox.Site{ID: "box", Root: "/r", AuditSocket: "/a", Cgroup: "/c"})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// TestSpec: what a policy compiles to has only fields that the OCI specification has, with its types.
func TestSpec(t *testing.T) {
	d := json.NewDecoder(bytes.NewReader(everything(t).Spec))
	d.DisallowUnknownFields()
	var spec specs.Spec
	if err := d.Decode(&spec); err != nil {
		t.Fatal(err)
	}
	if spec.Version != specs.Version || *spec.Linux.Resources.Memory.Limit != 64<<20 || len(spec.Process.Capabilities.Bounding) != 0 {
		t.Errorf("%+v", spec)
	}
}

// TestManifest: what a policy compiles to for Kubernetes has only fields that its objects have, with their types.
func TestManifest(t *testing.T) {
	p, err := sandbox.Parse([]byte("{version: 1, name: a, root: {image: /i}, command: [x], secrets: [{name: s, file: /f}], time_limit: 1h, " +
		"mounts: [{target: /m, memory: 1MiB, writable: true}], environment: {A: b}, limits: {cpu: 0.25, memory: 64MiB, processes: 64}, " +
		"syscalls: {deny: [ptrace]}, kubernetes: {image: 'a/b@sha256:" + strings.Repeat("0", 64) + "'}}"))
	if err != nil {
		t.Fatal(err)
	}
	manifest, _, err := p.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Items []json.RawMessage }
	if err := json.Unmarshal(manifest, &list); err != nil || len(list.Items) != 3 {
		t.Fatal(err, len(list.Items))
	}
	pod := &core.Pod{}
	for i, into := range []any{&node.RuntimeClass{}, &networking.NetworkPolicy{}, pod} {
		d := json.NewDecoder(bytes.NewReader(list.Items[i]))
		d.DisallowUnknownFields()
		if err := d.Decode(into); err != nil {
			t.Errorf("object %d: %v", i, err)
		}
	}
	c := pod.Spec.Containers[0]
	if c.Resources.Limits.Cpu().MilliValue() != 250 || c.Resources.Limits.Memory().Value() != 64<<20 || *c.SecurityContext.Privileged ||
		!*pod.Spec.SecurityContext.RunAsNonRoot || *pod.Spec.RuntimeClassName != "gvisor" {
		t.Errorf("%+v", pod.Spec)
	}
}

// TestTrace: every point and field that a policy can ask for, this gVisor has.
func TestTrace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.json")
	if err := os.WriteFile(path, everything(t).Trace, 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := boot.LoadInitConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	seccheck.Initialize()
	has := func(fields []seccheck.FieldDesc, name string) bool {
		return slices.ContainsFunc(fields, func(f seccheck.FieldDesc) bool { return f.Name == name })
	}
	for _, p := range config.TraceSession.Points {
		desc, ok := seccheck.Points[p.Name]
		if !ok {
			t.Errorf("no point %q", p.Name)
		}
		for _, f := range p.OptionalFields {
			if !has(desc.OptionalFields, f) {
				t.Errorf("%s: no field %q", p.Name, f)
			}
		}
		for _, f := range p.ContextFields {
			if !has(desc.ContextFields, f) {
				t.Errorf("%s: no context %q", p.Name, f)
			}
		}
	}
	if len(config.TraceSession.Points) < 20 || config.TraceSession.Sinks[0].IgnoreSetupError {
		t.Errorf("%+v", config)
	}
}

// TestCommands: policies, without running anything.
func TestCommands(t *testing.T) {
	folder := t.TempDir()
	policy := filepath.Join(folder, "p.yaml")
	write := func(text string) {
		if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	invoke := func(args ...string) (string, error) {
		var out bytes.Buffer
		root := newRoot()
		root.SetArgs(append(args, "--state", filepath.Join(folder, "state")))
		root.SetOut(&out)
		root.SetErr(&out)
		err := root.ExecuteContext(t.Context())
		return out.String(), err
	}
	write("{version: 1, name: a, root: {directory: /}, command: [x], limits: {cpu: 1, memory: 64MiB, processes: 64}}")
	if out, err := invoke("check", policy); !strings.Contains(out, "the whole host") || codeFor(err) != exitUsage {
		t.Errorf("%s, %v", out, err)
	}
	write("{version: 1, name: a, root: {directory: r}, command: [x], limits: {cpu: 1, memory: 64MiB, processes: 64}}")
	if out, err := invoke("check", policy, "--json"); !json.Valid([]byte(out)) || err != nil {
		t.Errorf("%s, %v", out, err)
	}
	if out, err := invoke("compile", policy, "--out", filepath.Join(folder, "out")); err != nil || !strings.Contains(out, "nothing for Kubernetes") {
		t.Errorf("%s, %v", out, err)
	}
	if text, err := os.ReadFile(filepath.Join(folder, "out", "config.json")); !bytes.Contains(text, []byte(filepath.Join(folder, "r"))) {
		t.Errorf("%s, %v", text, err)
	}
	if out, err := invoke("schema"); err != nil || out != sandbox.Schema {
		t.Error(err)
	}
	if out, err := invoke("ps", "--json"); err != nil || strings.TrimSpace(out) != "[]" {
		t.Errorf("%s, %v", out, err)
	}
	if _, err := invoke("inspect", "nobody"); !errors.Is(err, gvisor.ErrNotFound) {
		t.Error(err)
	}
	var c trail.Chain
	record := filepath.Join(folder, "record")
	text := c.Append(nil, 1, trail.KindBegin, trail.Body(trail.Begin{Format: trail.Format}))
	for _, step := range []struct {
		text []byte
		want int
	}{
		{text, exitUnproven}, // no end
		{c.Append(text, 2, trail.KindEnd, trail.Body(trail.End{})), 0},
		{append(text, "junk\n"...), exitUnproven},
	} {
		if err := os.WriteFile(record, step.text, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := invoke("audit", "verify", record); codeFor(err) != step.want {
			t.Errorf("%d, %v: %s", codeFor(err), err, out)
		}
	}
	head, _ := c.Head()
	if err := os.WriteFile(record, c.Append(text, 2, trail.KindEnd, trail.Body(trail.End{})), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := invoke("audit", "verify", record, "--head", head.String()); codeFor(err) == 0 {
		t.Error("another head passes")
	}
}
