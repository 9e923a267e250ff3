package nats

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// A record is the value under a key:
//
//	version  u8, 1
//	writes   u64, how often the record was written
//	count    u8, 1 to 16
//	nonces   count × 16 bytes, one for each of the newest writes, newest first
//	state    JSON, see store/internal/state
//
// Integers are big endian. The nonces tell a writer whose answer was lost
// whether it was its write that took place, also when others followed.
type record struct {
	writes uint64
	nonces []nonce
	state  []byte // nil: there is none
}

type nonce [16]byte

const (
	recordVersion = 1
	recordHead    = 1 + 8 + 1
	maxNonces     = 16
)

// next is the record that replaces r.
func (r *record) next(state []byte) *record {
	var n nonce
	rand.Read(n[:]) // never fails
	nonces := slices.Insert(slices.Clone(r.nonces), 0, n)
	return &record{writes: r.writes + 1, nonces: nonces[:min(len(nonces), maxNonces)], state: state}
}

func (r *record) encode() []byte {
	b := make([]byte, 0, recordHead+len(r.nonces)*len(nonce{})+len(r.state))
	b = append(b, recordVersion)
	b = binary.BigEndian.AppendUint64(b, r.writes)
	b = append(b, byte(len(r.nonces)))
	for i := range r.nonces {
		b = append(b, r.nonces[i][:]...)
	}
	return append(b, r.state...)
}

func decodeRecord(b []byte) (*record, error) {
	if len(b) < recordHead {
		return nil, errors.New("cut short")
	}
	if b[0] != recordVersion {
		return nil, fmt.Errorf("version %d, not %d", b[0], recordVersion)
	}
	r := &record{writes: binary.BigEndian.Uint64(b[1:])}
	count := int(b[9])
	b = b[recordHead:]
	if count == 0 || count > maxNonces || len(b) < count*len(nonce{}) {
		return nil, fmt.Errorf("%d nonces in %d bytes", count, len(b))
	}
	for range count {
		r.nonces = append(r.nonces, nonce(b))
		b = b[len(nonce{}):]
	}
	r.state = b
	return r, nil
}

// A fate is what became of a write.
type fate int

const (
	written fate = iota
	lost         // another write took place in its stead, and it never will
	unseen       // not known yet: what was read is older
	unknown      // not known any more
)

// fate says what became of the write of w, by a record that was read after it.
func (r *record) fate(w *record) fate {
	switch {
	case slices.Contains(r.nonces, w.nonces[0]):
		return written
	case r.writes < w.writes:
		return unseen
	case r.writes-w.writes < uint64(len(r.nonces)):
		return lost
	}
	return unknown
}
