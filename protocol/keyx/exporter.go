package keyx

import "github.com/mslgo/msl/mslerr"

// An Exporter derives secrets from a key exchange for other uses than the
// session keys; the channel takes its secret from it (channel set-up 4.9). It
// is used by one goroutine at a time.
type Exporter struct {
	redacted
	export func(context string, length int) ([]byte, error)
}

// NewExporter makes an exporter of a scheme's own secret.
func NewExporter(export func(context string, length int) ([]byte, error)) *Exporter {
	return &Exporter{export: export}
}

// Export derives length bytes for the given context.
func (e *Exporter) Export(context string, length int) ([]byte, error) {
	if e.export == nil {
		return nil, mslerr.New(mslerr.InternalException, "the exporter is erased")
	}
	return e.export(context, length)
}

// Erase drops the secret: whoever learns the session keys later cannot export.
func (e *Exporter) Erase() { e.export = nil }
