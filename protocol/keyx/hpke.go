package keyx

import (
	"context"
	"crypto/hpke"
	"encoding/binary"
	"math"
	"slices"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

const hpkeName = "HPKE"

// The KEMs of scheme HPKE, by their HPKE numbers.
const (
	KEMX25519         uint16 = 0x0020
	KEMMLKEM768X25519 uint16 = 0x647a // ML-KEM-768 and X25519: holds if either does
)

var defaultKEMs = []uint16{KEMMLKEM768X25519, KEMX25519}

// HPKE is hybrid public key encryption (RFC 9180) to a fresh key of the
// requester (channel set-up 4.9). Both parties' names enter the keys, and it has
// forward secrecy. It is the only scheme with an [Exporter].
//
//	request:  {"kem": int, "publickey": binary}
//	response: {"kem": int, "enc": binary}
//
// Mode base, KDF HKDF-SHA256, AEAD export-only.
type HPKE struct {
	// KEMs are those that may be answered, best first; the best is the one
	// offered. Nil: MLKEM768-X25519, X25519.
	KEMs []uint16
}

const (
	hpkeInfo          = "msl hpke 1"
	hpkeEncryptionKey = "msl hpke 1 encryption key"
	hpkeHMACKey       = "msl hpke 1 hmac key"
)

// Name is "HPKE".
func (HPKE) Name() string { return hpkeName }

func (h HPKE) kems() []uint16 {
	if h.KEMs == nil {
		return defaultKEMs
	}
	return h.KEMs
}

// kem is the KEM of that number, if it is enabled.
func (h HPKE) kem(id uint16) (hpke.KEM, error) {
	if !slices.Contains(h.kems(), id) {
		return nil, mslerr.New(mslerr.UnsupportedKeyxMechanism, "KEM %d is not enabled", id)
	}
	kem, err := hpke.NewKEM(id)
	if err != nil {
		return nil, mslerr.New(mslerr.UnsupportedKeyxMechanism, "KEM %d: %w", id, err)
	}
	return kem, nil
}

type hpkeOffer struct {
	redacted
	kem     uint16
	public  []byte
	private hpke.PrivateKey // nil once used
}

func (*hpkeOffer) Scheme() string { return hpkeName }

func (o *hpkeOffer) KeyData() framing.Object {
	return framing.Object{"kem": int64(o.kem), "publickey": o.public}
}

func (o *hpkeOffer) Erase() { o.private = nil }

// Offer makes a key pair of the best KEM.
func (h HPKE) Offer(context.Context, Parties) ([]Offer, error) {
	if len(h.kems()) == 0 {
		return nil, mslerr.New(mslerr.UnsupportedKeyxMechanism, "no KEM is enabled")
	}
	id := h.kems()[0]
	kem, err := h.kem(id)
	if err != nil {
		return nil, err
	}
	private, err := kem.GenerateKey()
	if err != nil {
		return nil, mslerr.Wrap(mslerr.GenerateKeyError, err)
	}
	return []Offer{&hpkeOffer{kem: id, public: private.PublicKey().Bytes(), private: private}}, nil
}

type hpkeRequest struct {
	kem    uint16
	public []byte
}

func (hpkeRequest) Scheme() string { return hpkeName }

// parseKEM reads the number of a KEM; whether it is known is asked later, so that
// an unknown one never spoils a known one beside it.
func parseKEM(keydata framing.Object) (uint16, error) {
	n, err := member[int64](keydata, "kem")
	if err != nil {
		return 0, err
	}
	if n < 0 || n > math.MaxUint16 {
		return 0, mslerr.New(mslerr.ParseError, "kem %d is not in 0..65535", n)
	}
	return uint16(n), nil
}

// ParseRequest reads {"kem": int, "publickey": binary}.
func (HPKE) ParseRequest(keydata framing.Object) (Request, error) {
	kem, err := parseKEM(keydata)
	if err != nil {
		return nil, err
	}
	public, err := member[[]byte](keydata, "publickey")
	if err != nil {
		return nil, err
	}
	return hpkeRequest{kem, public}, nil
}

// Rank is the place of a request's KEM in our order, the last if it is not enabled.
func (h HPKE) Rank(r Request) int {
	request, ok := r.(hpkeRequest)
	if i := slices.Index(h.kems(), request.kem); ok && i >= 0 {
		return i
	}
	return len(h.kems())
}

// Answer encapsulates to the requester's key.
func (h HPKE) Answer(_ context.Context, r Request, p Parties) (*Answer, error) {
	request, ok := r.(hpkeRequest)
	if !ok {
		return nil, wrongData(hpkeName, r)
	}
	kem, err := h.kem(request.kem)
	if err != nil {
		return nil, err
	}
	public, err := kem.NewPublicKey(request.public)
	if err != nil {
		return nil, mslerr.Wrap(mslerr.KeyxInvalidPublicKey, err)
	}
	enc, sender, err := hpke.NewSender(public, hpke.HKDFSHA256(), hpke.ExportOnly(), []byte(hpkeInfo))
	if err != nil {
		return nil, mslerr.Wrap(mslerr.KeyxInvalidPublicKey, err)
	}
	result, err := hpkeResult(sender.Export, p)
	if err != nil {
		return nil, err
	}
	return &Answer{KeyData: framing.Object{"kem": int64(request.kem), "enc": enc}, Result: *result}, nil
}

// Complete decapsulates, once per offer. Another "enc" of the right length gives
// other keys and no error: their first use fails.
func (h HPKE) Complete(_ context.Context, o Offer, keydata framing.Object, p Parties) (*Result, error) {
	offer, ok := o.(*hpkeOffer)
	if !ok {
		return nil, wrongData(hpkeName, o)
	}
	kem, err := parseKEM(keydata)
	if err != nil {
		return nil, err
	}
	enc, err := member[[]byte](keydata, "enc")
	if err != nil {
		return nil, err
	}
	if kem != offer.kem {
		return nil, mslerr.New(mslerr.KeyxResponseRequestMismatch, "answered with KEM %d, asked with %d", kem, offer.kem)
	}
	private := offer.private
	if private == nil {
		return nil, mslerr.New(mslerr.KeyxPrivateKeyMissing, "the key of the request was used or erased")
	}
	offer.Erase()
	recipient, err := hpke.NewRecipient(enc, private, hpke.HKDFSHA256(), hpke.ExportOnly(), []byte(hpkeInfo))
	if err != nil {
		return nil, mslerr.Wrap(mslerr.KeyxInvalidPublicKey, err)
	}
	return hpkeResult(recipient.Export, p)
}

// hpkeResult exports the session keys.
func hpkeResult(export func(context string, length int) ([]byte, error), p Parties) (*Result, error) {
	names, err := hpkeNames(p)
	if err != nil {
		return nil, err
	}
	result := &Result{Exporter: NewExporter(export)}
	if result.Keys.Encryption, err = export(hpkeEncryptionKey+string(names), mslcrypto.EncryptionKeySize); err != nil {
		return nil, mslerr.Wrap(mslerr.DeriveKeyError, err)
	}
	if result.Keys.Signature, err = export(hpkeHMACKey+string(names), mslcrypto.SignatureKeySize); err != nil {
		return nil, mslerr.Wrap(mslerr.DeriveKeyError, err)
	}
	return result, nil
}

// hpkeNames is L(scheme) || L(identity) of the requester, then of the responder,
// where L(b) is u16(length) || b: who is not in the keys cannot be mistaken for
// who is (channel set-up, X15). An entity of scheme PROVISIONED has no name yet,
// although the responder may have given it one.
func hpkeNames(p Parties) ([]byte, error) {
	var names []byte
	for _, e := range []token.Entity{p.Requester, p.Responder} {
		if e.Scheme == "PROVISIONED" {
			e.Identity = ""
		}
		for _, s := range []string{e.Scheme, e.Identity} {
			if len(s) > math.MaxUint16 {
				return nil, mslerr.New(mslerr.KeyxIncorrectData, "name of %d bytes; the limit is %d", len(s), math.MaxUint16)
			}
			names = binary.BigEndian.AppendUint16(names, uint16(len(s)))
			names = append(names, s...)
		}
	}
	return names, nil
}
