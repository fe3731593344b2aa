package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// serve answers HTTP at /run/listen/http: with its name, and what it got from the socket that the path names.
func serve(name string) {
	listener, err := net.Listen("unix", "/run/listen/http")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("serving", name)
	err = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, name, r.URL.Path)
		if service := r.URL.Query().Get("get"); service != "" {
			fmt.Fprintln(w, got(service))
		}
		if service := r.URL.Query().Get("dial"); service != "" {
			fmt.Fprintln(w, dialled(service))
		}
	}))
	fmt.Println(err)
}

func dialled(path string) string {
	conn, err := net.DialTimeout("unix", path, 5*time.Second)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	text, err := io.ReadAll(io.LimitReader(conn, 1<<16))
	return fmt.Sprint(string(text), err)
}

// got is what a service answers by HTTP.
func got(socket string) string {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{Dial: func(string, string) (net.Conn, error) {
		return net.Dial("unix", socket)
	}}}
	response, err := client.Get("http://service/rate")
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	return fmt.Sprint(response.Status, " ", string(text), err)
}

// astray puts other things where the host looks for sockets, and waits.
func astray(host string) {
	fmt.Println("symlink:", os.Symlink(host, "/run/listen/http"))
	fmt.Println("file:", os.WriteFile("/run/listen/file", make([]byte, 1<<20), 0o600))
	time.Sleep(time.Hour)
}
