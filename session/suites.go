package session

import (
	"crypto/hpke"
	"fmt"
	"runtime"
	"slices"

	"golang.org/x/sys/cpu"

	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/stream"
)

// defaultSuites is all suites, best first: AES where the processor has it in
// hardware, as crypto/tls does it.
func defaultSuites() []stream.Suite {
	if hasAES() {
		return []stream.Suite{stream.AES128GCM, stream.AES256GCM, stream.ChaCha20Poly1305}
	}
	return []stream.Suite{stream.ChaCha20Poly1305, stream.AES128GCM, stream.AES256GCM}
}

func hasAES() bool {
	switch runtime.GOARCH {
	case "amd64", "386":
		return cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ
	case "arm64":
		return cpu.ARM64.HasAES && cpu.ARM64.HasPMULL
	case "s390x":
		return cpu.S390X.HasAES && cpu.S390X.HasAESGCM
	}
	return false
}

// Algorithms narrows what a set-up may use. The zero value allows everything.
type Algorithms struct {
	// Suites that are allowed, best first; nil: all, by what the processor
	// accelerates. A responder takes the first of the initiator's that it allows.
	Suites []stream.Suite
	// KEMs that are allowed, best first; nil: keyx.KEMMLKEM768X25519, keyx.KEMX25519.
	KEMs []uint16
}

func (a Algorithms) suites() []stream.Suite {
	if a.Suites == nil {
		return defaultSuites()
	}
	return a.Suites
}

func (a Algorithms) kems() []uint16 {
	if a.KEMs == nil {
		return []uint16{keyx.KEMMLKEM768X25519, keyx.KEMX25519}
	}
	return a.KEMs
}

func (a Algorithms) validate() error {
	for _, s := range a.suites() {
		if !s.Valid() {
			return fmt.Errorf("session: suite %v is unknown", s)
		}
	}
	for _, k := range a.kems() {
		if k != keyx.KEMX25519 && k != keyx.KEMMLKEM768X25519 {
			return fmt.Errorf("session: KEM %d is unknown", k)
		}
	}
	if len(a.suites()) == 0 || len(a.kems()) == 0 {
		return fmt.Errorf("session: no suite or no KEM is allowed")
	}
	return nil
}

// choose returns the first of ours that they have: the responder chooses among
// what both allow, in the initiator's order for suites.
func choose[T comparable](ours, theirs []T) (v T, ok bool) {
	for _, t := range theirs {
		if slices.Contains(ours, t) {
			return t, true
		}
	}
	return v, false
}

// share is a fresh public key of one KEM with its private half.
type share struct {
	kem     uint16
	public  []byte
	private hpke.PrivateKey // nil once erased: Go has no way to overwrite it
}

func newShare(kem uint16) (share, error) {
	k, err := hpke.NewKEM(kem)
	if err != nil {
		return share{}, err
	}
	private, err := k.GenerateKey()
	if err != nil {
		return share{}, err
	}
	return share{kem: kem, public: private.PublicKey().Bytes(), private: private}, nil
}

// encapsulate makes enc and x for a peer's share: HPKE mode base, KDF
// HKDF-SHA256, export-only (channel set-up 4.2.9).
func encapsulate(kem uint16, public, info []byte) (enc []byte, x mslcrypto.Key, err error) {
	k, err := hpke.NewKEM(kem)
	if err != nil {
		return nil, nil, err
	}
	pub, err := k.NewPublicKey(public)
	if err != nil {
		return nil, nil, err
	}
	enc, sender, err := hpke.NewSender(pub, hpke.HKDFSHA256(), hpke.ExportOnly(), info)
	if err != nil {
		return nil, nil, err
	}
	x, err = sender.Export(labelExport, xSize)
	return enc, x, err
}

// decapsulate gives x for the answer enc. A changed enc of right length gives
// another x, not an error.
func (s share) decapsulate(enc, info []byte) (mslcrypto.Key, error) {
	r, err := hpke.NewRecipient(enc, s.private, hpke.HKDFSHA256(), hpke.ExportOnly(), info)
	if err != nil {
		return nil, err
	}
	return r.Export(labelExport, xSize)
}

// xSize is the size of the channel secret in bytes.
const xSize = 32

// shareInfo is the HPKE info of a set-up's share.
func shareInfo(hq digest) []byte { return append([]byte(labelShare), hq[:]...) }
