package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/durable"
)

// state is what the background process tells the other commands, in a file that only its user may read.
type state struct {
	Kind string `json:"kind"`
	// Pid is the background process; the servers die with it.
	Pid   int    `json:"pid"`
	Port  int    `json:"port"`  // where it listens, on 127.0.0.1
	Token string `json:"token"` // what a caller has to know
	DSN   string `json:"dsn"`
}

const (
	stateFile = "cluster.json"
	logFile   = "cluster.log"
	// upWithin bounds a start, downWithin an end, callWithin any other command; the longest is a node's start.
	upWithin   = 120 * time.Second
	downWithin = 60 * time.Second
	callWithin = 120 * time.Second
	pollEvery  = 50 * time.Millisecond
)

var errNoCluster = errors.New("no cluster runs there")

// readState returns the state of the cluster in dir, if its process lives; else errNoCluster.
func readState(dir string) (state, error) {
	var s state
	if err := mine(dir); err != nil {
		return s, err
	}
	text, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, os.ErrNotExist) {
		return s, noCluster(dir)
	}
	if err != nil {
		return s, fmt.Errorf("read the cluster's state: %w", err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("read %s: %w", filepath.Join(dir, stateFile), err)
	}
	if s.Pid <= 1 || syscall.Kill(s.Pid, 0) != nil {
		return s, noCluster(dir)
	}
	return s, nil
}

func noCluster(dir string) error {
	return fmt.Errorf("%w, in %s: start one with \"tools/cluster up postgres\" or \"up galera\", or name its folder with --dir", errNoCluster, dir)
}

// mine refuses a folder that another user made: the default one has a name that anybody can guess.
func mine(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return noCluster(dir)
	}
	if err != nil {
		return fmt.Errorf("look at the cluster's folder: %w", err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("the folder %s is another user's: choose another with --dir", dir)
	}
	return nil
}

func (s state) write(dir string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, stateFile), text)
}

// up starts the background process and waits until it has its servers.
func up(ctx context.Context, dir, kind string) (state, error) {
	if s, err := readState(dir); err == nil {
		return s, fmt.Errorf("a %s cluster runs in %s already: \"tools/cluster down\" ends it; or choose another folder with --dir", s.Kind, dir)
	} else if !errors.Is(err, errNoCluster) {
		return state{}, err
	}
	if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // the servers' user has to pass; files in it are private
		return state{}, fmt.Errorf("make the cluster's folder: %w", err)
	}
	if err := clean(dir); err != nil {
		return state{}, err
	}
	program, err := os.Executable()
	if err != nil {
		return state{}, fmt.Errorf("find this program: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(dir, logFile), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return state{}, fmt.Errorf("open the log: %w", err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(program, "serve", kind, "--dir", dir)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it outlives this command and its terminal
	if err := cmd.Start(); err != nil {
		return state{}, fmt.Errorf("start the background process: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return awaitState(ctx, dir, cmd.Process.Pid, ended)
}

// awaitState waits until process pid has written its state, or has ended.
func awaitState(ctx context.Context, dir string, pid int, ended <-chan error) (state, error) {
	ctx, cancel := context.WithTimeout(ctx, upWithin)
	defer cancel()
	for {
		if s, err := readState(dir); err == nil && s.Pid == pid {
			return s, nil
		}
		select {
		case err := <-ended:
			if err == nil {
				err = errors.New("its process was told to end")
			}
			return state{}, fmt.Errorf("start the cluster: %w; %s", err, lastLines(filepath.Join(dir, logFile)))
		default:
		}
		if err := clock.Sleep(ctx, clock.NewSystem(), pollEvery); err != nil {
			_ = syscall.Kill(pid, syscall.SIGTERM)
			return state{}, fmt.Errorf("start the cluster: %w; %s", err, lastLines(filepath.Join(dir, logFile)))
		}
	}
}

func lastLines(file string) string {
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return err.Error()
	}
	const most = 2000
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return file + " says:\n" + strings.TrimSpace(string(text))
}

// call has the background process do something.
func call(ctx context.Context, dir, what string, arguments map[string]string, answer any) error {
	s, err := readState(dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	query := url.Values{}
	for name, value := range arguments {
		query.Set(name, value)
	}
	target := fmt.Sprintf("http://127.0.0.1:%d/%s?%s", s.Port, what, query.Encode())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+s.Token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask the cluster's process, pid %d: %w", s.Pid, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("read the answer of the cluster's process: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(body)))
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(body, answer)
}

// down ends the background process by its pid, and with it the servers, and removes their data.
func down(ctx context.Context, dir string) error {
	s, err := readState(dir)
	if errors.Is(err, errNoCluster) {
		return errors.Join(err, clean(dir))
	}
	if err != nil {
		return err
	}
	// Only the process that wrote the state knows its token: a stranger that has its number today is not ended.
	if err := call(ctx, dir, "ping", nil, nil); err != nil {
		return fmt.Errorf("%w; if pid %d is not the cluster's any more, remove %s", err, s.Pid, filepath.Join(dir, stateFile))
	}
	ctx, cancel := context.WithTimeout(ctx, downWithin)
	defer cancel()
	if err := syscall.Kill(s.Pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("end the cluster's process, pid %d: %w", s.Pid, err)
	}
	for syscall.Kill(s.Pid, 0) == nil {
		if err := clock.Sleep(ctx, clock.NewSystem(), pollEvery); err != nil {
			return fmt.Errorf("end the cluster's process, pid %d: %w; its servers end with it: kill -9 %d", s.Pid, err, s.Pid)
		}
	}
	return clean(dir)
}

// clean removes what a cluster leaves: never anything else, since --dir may name a folder with other things in it.
func clean(dir string) error {
	var err error
	for _, name := range []string{stateFile, "postgres-trio", "galera-trio"} {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, name)))
	}
	if err != nil {
		return fmt.Errorf("remove the old cluster: %w", err)
	}
	return nil
}
