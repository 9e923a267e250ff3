package keyx

import (
	"fmt"
	"log/slog"
)

// redacted, embedded, keeps what holds secrets from being printed.
type redacted struct{}

// Format shows nothing, whatever the verb.
func (redacted) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// LogValue shows nothing.
func (redacted) LogValue() slog.Value { return slog.StringValue("[redacted]") }
