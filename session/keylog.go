package session

import (
	"fmt"
	"io"
	"sync"

	"github.com/mslgo/msl/observe"
)

// A key log has two lines for each epoch of a channel, as the one of TLS has:
//
//	MSL_I2R_SECRET_<epoch> <channel ID in hex> <secret in hex>
//	MSL_R2I_SECRET_<epoch> <channel ID in hex> <secret in hex>
//
// The secrets are those of the directions in generation 0 of the epoch, from
// which the record keys come (docs/protocol.md section 5.3).

// keyLogMu lets sessions share a writer.
var keyLogMu sync.Mutex

// epochBegun is what is to be told of the epochs that rekeys give.
func epochBegun(r *observe.Recorder, w io.Writer, id channelID) func(*epoch) {
	if r == nil && w == nil {
		return nil
	}
	return func(e *epoch) {
		r.Rekeyed(e.number)
		logKeys(w, id, e)
	}
}

// logKeys writes the secrets of e, which must still be there. It is called for
// each epoch when it begins. A log that fails is no reason to fail.
func logKeys(w io.Writer, id channelID, e *epoch) {
	if w == nil {
		return
	}
	keyLogMu.Lock()
	defer keyLogMu.Unlock()
	_, _ = fmt.Fprintf(w, "MSL_I2R_SECRET_%d %x %x\nMSL_R2I_SECRET_%[1]d %[2]x %[4]x\n", e.number, id[:], []byte(e.i2r), []byte(e.r2i))
}
