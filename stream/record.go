// Package stream gives bodies of messages: classic payload chunks, and the seal
// and the opening of one record of a channel.
package stream

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

// A sealed record (docs/protocol.md, sealed records):
//
//	byte 0      0x10 even key generation, 0x11 odd, 0x12 early
//	bytes 1-3   length of what follows, big endian
//	rest        AEAD(key, nonce = iv XOR number, aad = bytes 0-3, plaintext), 16-byte tag
//
// A direction's secret d gives key = Expand(d, "key", key size),
// iv = Expand(d, "iv", 12) and, for the next generation, Expand(d, "update", 32)
// (channel set-up 4.4.5). Record numbers run on over generations.

const (
	// SecretLength is the length of a direction's secret in bytes.
	SecretLength = 32
	// TagLength is how many bytes longer a record's body is than its plaintext.
	TagLength = 16
	// RecordOverhead is how many bytes a whole record is longer than its plaintext.
	RecordOverhead = framing.RecordHeaderLength + TagLength
)

// ErrRecord is the error of a record that does not open: another byte 0, an
// impossible length or a wrong tag. Nothing authenticates it, so it is never a
// violation by the peer (channel set-up 4.7.2).
var ErrRecord = errors.New("stream: record does not open")

// A Suite seals records. The numbers are HPKE's for AEADs.
type Suite uint16

// The suites. All are mandatory to a responder.
const (
	AES128GCM        Suite = 1
	AES256GCM        Suite = 2
	ChaCha20Poly1305 Suite = 3
)

func (s Suite) String() string {
	switch s {
	case AES128GCM:
		return "AES-128-GCM"
	case AES256GCM:
		return "AES-256-GCM"
	case ChaCha20Poly1305:
		return "ChaCha20-Poly1305"
	}
	return fmt.Sprintf("Suite(%d)", uint16(s))
}

// Valid reports whether there is such a suite.
func (s Suite) Valid() bool { return AES128GCM <= s && s <= ChaCha20Poly1305 }

func (s Suite) keyLength() int {
	if s == AES128GCM {
		return 16
	}
	return 32
}

func (s Suite) aead(key []byte) (cipher.AEAD, error) {
	if s == ChaCha20Poly1305 {
		return chacha20poly1305.New(key)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// protection is the key of one direction and generation, with the number of
// the next record. One goroutine at a time may use it.
type protection struct {
	suite  Suite
	secret [SecretLength]byte
	aead   cipher.AEAD
	iv     [12]byte
	nonce  [12]byte // here, as a local one would be allocated for each record
	kind   byte
	seq    uint64
}

func (p *protection) init(suite Suite, secret []byte, seq uint64, kind byte) error {
	if !suite.Valid() {
		return fmt.Errorf("stream: no suite %d", uint16(suite))
	}
	p.suite, p.seq, p.kind = suite, seq, kind
	return p.setSecret(secret)
}

func (p *protection) setSecret(secret []byte) error {
	if len(secret) != SecretLength {
		return fmt.Errorf("stream: secret of %d bytes, not %d", len(secret), SecretLength)
	}
	expander := mslcrypto.NewExpander(secret)
	key := expander.Expand("key", p.suite.keyLength())
	defer key.Erase()
	aead, err := p.suite.aead(key)
	if err != nil {
		return err
	}
	p.aead = aead
	copy(p.iv[:], expander.Expand("iv", len(p.iv)))
	copy(p.secret[:], secret)
	return nil
}

// Seq is the number of the next record.
func (p *protection) Seq() uint64 { return p.seq }

// Continue sets the number of the next record, which follows early data: these
// have another key, and numbers of the same row (channel set-up 4.7.1).
func (p *protection) Continue(seq uint64) { p.seq = seq }

// Update moves to the next generation: KEY_UPDATE (channel set-up 4.7.3). The
// old secret is erased. It fails for early data, which has one generation.
func (p *protection) Update() error {
	next := mslcrypto.NewExpander(p.secret[:]).Expand("update", SecretLength)
	defer next.Erase()
	return p.Switch(next)
}

// Switch moves to the next generation with the secret of another epoch: REKEY
// (channel set-up 4.7.4). The old secret is erased; the caller erases its copy
// of the new one.
func (p *protection) Switch(secret []byte) error {
	if p.kind == framing.RecordEarly {
		return errors.New("stream: early data has one key generation")
	}
	if err := p.setSecret(secret); err != nil {
		return err
	}
	p.kind ^= framing.RecordEven ^ framing.RecordOdd
	return nil
}

// Erase forgets the keys. Nothing can be sealed or opened afterwards.
func (p *protection) Erase() {
	clear(p.secret[:])
	clear(p.iv[:])
	clear(p.nonce[:])
	p.aead = nil
}

// next makes the nonce of the next record.
func (p *protection) next() []byte {
	p.nonce = p.iv
	low := p.nonce[len(p.nonce)-8:]
	binary.BigEndian.PutUint64(low, binary.BigEndian.Uint64(low)^p.seq)
	return p.nonce[:]
}

const redacted = "stream: record keys (redacted)"

// String tells nothing of the keys.
func (p *protection) String() string { return redacted }

// GoString tells nothing of the keys.
func (p *protection) GoString() string { return redacted }

// Format tells nothing of the keys.
func (p *protection) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue tells nothing of the keys.
func (p *protection) LogValue() slog.Value { return slog.StringValue(redacted) }

// A Sealer seals the records of one direction, in order. One goroutine at a
// time may use it.
type Sealer struct{ protection }

// NewSealer returns a Sealer whose first record has number seq and is of an
// even generation. It keeps no reference to secret, which has [SecretLength] bytes.
func NewSealer(suite Suite, secret []byte, seq uint64) (*Sealer, error) {
	s := new(Sealer)
	return s, s.init(suite, secret, seq, framing.RecordEven)
}

// NewEarlySealer returns a Sealer of early data, which begins at number 0.
func NewEarlySealer(suite Suite, secret []byte) (*Sealer, error) {
	s := new(Sealer)
	return s, s.init(suite, secret, 0, framing.RecordEarly)
}

// Seal seals the next record in place. record is 4 bytes of room for the header
// and then the plaintext, at least one byte of it; its capacity has
// [TagLength] bytes more. The result is the whole record in the same memory.
func (s *Sealer) Seal(record []byte) []byte {
	const h = framing.RecordHeaderLength
	whole := record[:len(record)+TagLength]
	framing.PutRecordHeader(whole, s.kind, len(whole)-h)
	s.aead.Seal(record[h:h], s.next(), record[h:], whole[:h])
	s.seq++
	return whole
}

// An Opener opens the records of one direction, in order. One goroutine at a
// time may use it.
type Opener struct{ protection }

// NewOpener returns the Opener for what [NewSealer] with the same arguments seals.
func NewOpener(suite Suite, secret []byte, seq uint64) (*Opener, error) {
	o := new(Opener)
	return o, o.init(suite, secret, seq, framing.RecordEven)
}

// NewEarlyOpener returns the Opener for what [NewEarlySealer] seals.
func NewEarlyOpener(suite Suite, secret []byte) (*Opener, error) {
	o := new(Opener)
	return o, o.init(suite, secret, 0, framing.RecordEarly)
}

// Open opens the next record in place: record is the whole of it, and the
// result is its plaintext in the same memory. If it does not open, the error
// is [ErrRecord], the record's bytes are lost, and the same number is expected
// again.
func (o *Opener) Open(record []byte) ([]byte, error) {
	const h = framing.RecordHeaderLength
	if len(record) <= RecordOverhead || record[0] != o.kind || length(record) != len(record)-h {
		return nil, ErrRecord
	}
	plaintext, err := o.aead.Open(record[h:h], o.next(), record[h:], record[:h:h])
	if err != nil {
		return nil, ErrRecord
	}
	o.seq++
	return plaintext, nil
}

func length(record []byte) int { return int(record[1])<<16 | int(record[2])<<8 | int(record[3]) }
