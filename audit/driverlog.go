package audit

import (
	"context"
	"log/slog"

	"k8s.io/klog/v2"
)

// RouteDriverLog sends what the log's driver has to say, warnings and errors, to logger instead of standard error. The
// driver has one log for the whole process: call it once, before the first OpenLog.
func RouteDriverLog(logger *slog.Logger) {
	klog.SetSlogLogger(slog.New(warnings{logger.Handler()}))
}

// warnings leaves out what is less than a warning.
type warnings struct{ slog.Handler }

// Enabled implements slog.Handler.
func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }
