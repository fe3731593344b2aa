package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/rogpeppe/go-internal/testscript"
)

// damage does something to the first object of a kind.
func damage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: damage DIR flip|cut|remove manifests|blocks")
	}
	dir := filepath.Join(ts.MkAbs(args[0]), "cell-1", args[2])
	list, err := os.ReadDir(dir)
	ts.Check(err)
	path := filepath.Join(dir, list[0].Name())
	b, err := os.ReadFile(path)
	ts.Check(err)
	switch args[1] {
	case "flip":
		b[len(b)/2] ^= 1
	case "cut":
		b = b[:len(b)/2]
	case "remove":
		ts.Check(os.Remove(path))
		return
	default:
		ts.Fatalf("damage can't %s", args[1])
	}
	ts.Check(os.WriteFile(path, b, 0o600))
}

// rows writes a CSV file of so many payments.
func rows(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: rows FILE COUNT")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	b := []byte("no,from,to,amount\n")
	for i := range n {
		b = fmt.Appendf(b, "%d,%d,%d,%d.%02d\n", i, i%7, i%11, i%1000+1, i%100)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}

// startS3 serves an S3 store of this process with one bucket, and puts its URL into a variable.
func startS3(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: s3 NAME BUCKET")
	}
	backend := s3mem.New()
	ts.Check(backend.CreateBucket(args[1]))
	server := httptest.NewServer(gofakes3.New(backend).Server())
	ts.Defer(server.Close)
	ts.Setenv(args[0], server.URL)
}
