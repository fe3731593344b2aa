package main

import (
	"context"
	"log/slog"
)

func runDemo(context.Context, string, string, *slog.Logger) error { return nil }
