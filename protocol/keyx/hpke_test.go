package keyx

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/mlkem"
	"crypto/mlkem/mlkemtest"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/token"
)

// rising is n bytes, each one more than the last.
func rising(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The names of channel set-up 6.2.
var setup = Parties{
	Requester: token.Entity{Scheme: "ED25519", Identity: "ed25519:Vkdap1RjR0wChd9dvyvKtz2mUTWIOem3dIGy6rEHcIw"},
	Responder: token.Entity{Scheme: "ED25519", Identity: "ed25519:JPbtasv-EAnAMNfKVnwzykgwkRSYI2tVYabIKr7F3ig"},
}

func TestHPKENames(t *testing.T) {
	const want = "0007454432353531390033656432353531393a566b64617031526a52307743686439647679764b747a326d555457494f656d3364494779367245486349770007454432353531390033656432353531393a4a5062746173762d45416e414d4e664b566e777a796b67776b52535949327456596162494b723746336967"
	names, err := hpkeNames(setup)
	if err != nil || hex.EncodeToString(names) != want {
		t.Errorf("names %x, %v", names, err)
	}
	if names, err := hpkeNames(Parties{}); err != nil || !bytes.Equal(names, make([]byte, 8)) {
		t.Errorf("names of a renewal %x, %v; want 8 zero bytes", names, err)
	}
	given, _ := hpkeNames(Parties{Requester: token.Entity{Scheme: "PROVISIONED", Identity: "device-1"}})
	if asked, _ := hpkeNames(Parties{Requester: token.Entity{Scheme: "PROVISIONED"}}); !bytes.Equal(given, asked) {
		t.Error("the sides of a PROVISIONED entity disagree on its name")
	}
	_, err = hpkeNames(Parties{Requester: token.Entity{Identity: strings.Repeat("a", 65536)}})
	wantCode(t, err, mslerr.KeyxIncorrectData)
}

// The vectors of channel set-up 6.3, seen from the requester, who alone is
// deterministic given enc.
func TestHPKEVectors(t *testing.T) {
	ephemeral, err := ecdh.X25519().NewPrivateKey(rising(0xc0, 32))
	if err != nil {
		t.Fatal(err)
	}
	share := ephemeral.PublicKey().Bytes()
	for _, v := range []struct {
		kem                             uint16
		private                         []byte
		publicHash, encHash             string // SHA-256
		ke, kh, keRenewal, khRenewal, x string
		encapsulate                     func(public []byte) []byte
	}{
		{
			kem: KEMX25519, private: rising(0xa0, 32),
			publicHash:  sum(unhex(t, "605a725d2a4adfeeb1a29e17edd621c1b7593ee8cdbc44ac6c4ab6e2f805d23c")),
			encHash:     sum(unhex(t, "dc2cca31e8e43bbd91dff7e475cca3347eb478107d5bd765aba4ae4a30c35d44")),
			ke:          "93ab60e3db876e53cd798e516810c2e0",
			kh:          "87b85e67d94ec376e120ed0f6d816b5705813ca6c45e136166e9170950d247f4",
			keRenewal:   "1a0364c8ac759e07d70bafb0384f5b99",
			khRenewal:   "35ae0a9ae931b5f6fc1b67ab996c6357b4e78a735a42ece1365ccb2988b6946d",
			x:           "b5bc1591ef10e5a4fc996226f5484016bcb76e29b566740d6cc2382983c14ffa",
			encapsulate: func([]byte) []byte { return share },
		},
		{
			kem: KEMMLKEM768X25519, private: rising(0x60, 32),
			publicHash: "d13209d86547a31ae86a67d9a26c90e5efc1310514195ab06e9b9e12bf328b6a",
			encHash:    "3bbcfa33abed07b9883f6e29878be11bd658ddd116cbc28e6b16bcf669434ded",
			ke:         "5d110ff60be857b59ed4eccce666353c",
			kh:         "2d9409f8d610cebca6f3b286ea6d613f4f68449ef1e1794bb5ed8c56b71d2b94",
			keRenewal:  "311568dee4273d585d023e03cef4dd1d",
			khRenewal:  "ee499ed6768afeec3ddb1ef5d00acd6b00def641fb38d6a4ebb215197b74f320",
			x:          "5156f04f8f37d74b1012574ee383487244a16675e1f22170a568ac7db1c47495",
			encapsulate: func(public []byte) []byte {
				ek, err := mlkem.NewEncapsulationKey768(public[:mlkem.EncapsulationKeySize768])
				if err != nil {
					t.Fatal(err)
				}
				_, ciphertext, err := mlkemtest.Encapsulate768(ek, rising(0xe0, 32))
				if err != nil {
					t.Fatal(err)
				}
				return append(ciphertext, share...)
			},
		},
	} {
		t.Run(fmt.Sprint(v.kem), func(t *testing.T) {
			kem, err := hpke.NewKEM(v.kem)
			if err != nil {
				t.Fatal(err)
			}
			offer := func() *hpkeOffer {
				private, err := kem.NewPrivateKey(v.private)
				if err != nil {
					t.Fatal(err)
				}
				return &hpkeOffer{kem: v.kem, public: private.PublicKey().Bytes(), private: private}
			}
			public := offer().public
			enc := v.encapsulate(public)
			if sum(public) != v.publicHash || sum(enc) != v.encHash {
				t.Fatalf("public key %s, enc %s", sum(public), sum(enc))
			}
			keydata := framing.Object{"kem": int64(v.kem), "enc": enc}
			first, err := HPKE{}.Complete(t.Context(), offer(), keydata, setup)
			if err != nil {
				t.Fatal(err)
			}
			hq := unhex(t, "219f7cc381c5a241725972988dcbe8de28af998a50b35dfddb09b5c816d08870")
			x, err := first.Exporter.Export("msl channel 1 share"+string(hq), 32)
			if err != nil {
				t.Fatal(err)
			}
			renewal, err := HPKE{}.Complete(t.Context(), offer(), keydata, Parties{})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				name string
				got  []byte
				want string
			}{
				{"ke", first.Keys.Encryption, v.ke}, {"kh", first.Keys.Signature, v.kh}, {"x", x, v.x},
				{"ke renewal", renewal.Keys.Encryption, v.keRenewal}, {"kh renewal", renewal.Keys.Signature, v.khRenewal},
			} {
				if hex.EncodeToString(c.got) != c.want {
					t.Errorf("%s = %x, want %s", c.name, c.got, c.want)
				}
			}
		})
	}
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func TestHPKEExchange(t *testing.T) {
	for _, id := range []uint16{KEMMLKEM768X25519, KEMX25519} {
		t.Run(fmt.Sprint(id), func(t *testing.T) {
			h := HPKE{KEMs: []uint16{id}}
			a, r := exchange(t, Schemes{h}, Schemes{HPKE{}}, setup)
			if a.Scheme != "HPKE" {
				t.Errorf("answered with %q", a.Scheme)
			}
			x, err := a.Exporter.Export("context", 32)
			if err != nil {
				t.Fatal(err)
			}
			y, err := r.Exporter.Export("context", 32)
			if err != nil || !bytes.Equal(x, y) {
				t.Errorf("exports %x and %x, %v", x, y, err)
			}
			if z, err := r.Exporter.Export("other", 32); err != nil || bytes.Equal(x, z) {
				t.Errorf("another context gives the same secret (%v)", err)
			}
			a.Exporter.Erase()
			_, err = a.Exporter.Export("context", 32)
			wantCode(t, err, mslerr.InternalException)
			if s := fmt.Sprintf("%v %+v %#v", r.Exporter, r.Exporter, r.Keys); strings.Count(s, "[redacted]") < 3 {
				t.Errorf("printed as %s", s)
			}
		})
	}
}

// Re-signed data of one party under another name gives other keys (X15).
func TestHPKENamesEnterKeys(t *testing.T) {
	offers, err := HPKE{}.Offer(t.Context(), Parties{})
	if err != nil {
		t.Fatal(err)
	}
	request, err := HPKE{}.ParseRequest(offers[0].KeyData())
	if err != nil {
		t.Fatal(err)
	}
	other := setup
	other.Requester.Scheme = "NONE"
	a, err := HPKE{}.Answer(t.Context(), request, other)
	if err != nil {
		t.Fatal(err)
	}
	r, err := HPKE{}.Complete(t.Context(), offers[0], a.KeyData, setup)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(a.Keys.Encryption, r.Keys.Encryption) || bytes.Equal(a.Keys.Signature, r.Keys.Signature) {
		t.Error("same keys under different names")
	}
}

func TestHPKERequestErrors(t *testing.T) {
	key := rising(1, 32)
	for _, c := range []struct {
		name    string
		keydata framing.Object
		parse   mslerr.Code
		answer  mslerr.Code
	}{
		{"no kem", framing.Object{"publickey": key}, mslerr.ParseError, -1},
		{"kem is text", framing.Object{"kem": "32", "publickey": key}, mslerr.ParseError, -1},
		{"kem negative", framing.Object{"kem": -1, "publickey": key}, mslerr.ParseError, -1},
		{"kem too large", framing.Object{"kem": 65536, "publickey": key}, mslerr.ParseError, -1},
		{"no key", framing.Object{"kem": 32}, mslerr.ParseError, -1},
		{"key is a number", framing.Object{"kem": 32, "publickey": 5}, mslerr.ParseError, -1},
		{"unknown kem", framing.Object{"kem": 65535, "publickey": key}, -1, mslerr.UnsupportedKeyxMechanism},
		{"kem not enabled", framing.Object{"kem": 16, "publickey": key}, -1, mslerr.UnsupportedKeyxMechanism},
		{"short key", framing.Object{"kem": 32, "publickey": key[:31]}, -1, mslerr.KeyxInvalidPublicKey},
		{"empty key", framing.Object{"kem": 32, "publickey": ""}, -1, mslerr.KeyxInvalidPublicKey},
		{"key of low order", framing.Object{"kem": 32, "publickey": make([]byte, 32)}, -1, mslerr.KeyxInvalidPublicKey},
		{"key of another kem", framing.Object{"kem": 25722, "publickey": key}, -1, mslerr.KeyxInvalidPublicKey},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := HPKE{}.ParseRequest(c.keydata)
			if c.parse >= 0 {
				wantCode(t, err, c.parse)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_, err = HPKE{}.Answer(t.Context(), r, setup)
			wantCode(t, err, c.answer)
		})
	}
}

func TestHPKEResponseErrors(t *testing.T) {
	h := HPKE{KEMs: []uint16{KEMX25519}}
	for _, c := range []struct {
		name    string
		keydata framing.Object
		want    mslerr.Code
	}{
		{"no kem", framing.Object{"enc": rising(1, 32)}, mslerr.ParseError},
		{"no enc", framing.Object{"kem": 32}, mslerr.ParseError},
		{"another kem", framing.Object{"kem": 25722, "enc": rising(1, 32)}, mslerr.KeyxResponseRequestMismatch},
		{"short enc", framing.Object{"kem": 32, "enc": rising(1, 31)}, mslerr.KeyxInvalidPublicKey},
		{"enc of low order", framing.Object{"kem": 32, "enc": make([]byte, 32)}, mslerr.KeyxInvalidPublicKey},
	} {
		t.Run(c.name, func(t *testing.T) {
			offers, err := h.Offer(t.Context(), setup)
			if err != nil {
				t.Fatal(err)
			}
			_, err = h.Complete(t.Context(), offers[0], c.keydata, setup)
			wantCode(t, err, c.want)
		})
	}
}

func TestHPKEOneResponsePerKey(t *testing.T) {
	h := HPKE{KEMs: []uint16{KEMX25519}}
	offers, err := h.Offer(t.Context(), setup)
	if err != nil {
		t.Fatal(err)
	}
	keydata := framing.Object{"kem": 32, "enc": rising(1, 32)}
	if _, err := h.Complete(t.Context(), offers[0], keydata, setup); err != nil {
		t.Fatal(err)
	}
	_, err = h.Complete(t.Context(), offers[0], keydata, setup)
	wantCode(t, err, mslerr.KeyxPrivateKeyMissing)

	if offers, err = h.Offer(t.Context(), setup); err != nil {
		t.Fatal(err)
	}
	Erase(offers)
	_, err = h.Complete(t.Context(), offers[0], keydata, setup)
	wantCode(t, err, mslerr.KeyxPrivateKeyMissing)
}

// An unknown KEM never spoils a known one beside it, and our own order of KEMs
// counts, not that of the message.
func TestHPKEPrefersOwnOrder(t *testing.T) {
	var requests framing.Array
	requests = append(requests, framing.Object{"scheme": "HPKE", "keydata": framing.Object{"kem": 999, "publickey": rising(0, 32)}})
	for _, id := range []uint16{KEMX25519, KEMMLKEM768X25519} {
		offers, err := HPKE{KEMs: []uint16{id}}.Offer(t.Context(), setup)
		if err != nil {
			t.Fatal(err)
		}
		requests = append(requests, RequestObject(offers[0]))
	}
	parsed, err := Schemes{HPKE{}}.ParseRequests(requests)
	if err != nil {
		t.Fatal(err)
	}
	for _, kems := range [][]uint16{{KEMX25519, KEMMLKEM768X25519}, {KEMMLKEM768X25519, KEMX25519}} {
		a, err := Schemes{HPKE{KEMs: kems}}.Answer(t.Context(), parsed, setup, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a.KeyData["kem"] != int64(kems[0]) {
			t.Errorf("answered KEM %v, want %d", a.KeyData["kem"], kems[0])
		}
	}
	_, err = Schemes{HPKE{}}.Answer(t.Context(), parsed[:1], setup, nil)
	wantCode(t, err, mslerr.UnsupportedKeyxMechanism)
}

func BenchmarkHPKE(b *testing.B) {
	for _, id := range defaultKEMs {
		b.Run(fmt.Sprint(id), func(b *testing.B) {
			h := HPKE{KEMs: []uint16{id}}
			b.ReportAllocs()
			for b.Loop() {
				offers, err := h.Offer(b.Context(), setup)
				if err != nil {
					b.Fatal(err)
				}
				o := offers[0].(*hpkeOffer)
				a, err := h.Answer(b.Context(), hpkeRequest{o.kem, o.public}, setup)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := h.Complete(b.Context(), o, a.KeyData, setup); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
