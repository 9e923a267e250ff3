package keyx

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"math/big"
	"os"
	"testing"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

type vectors struct {
	TokenKeys symmetricKeys `json:"token_keys"`
	Exchanges []struct {
		Case     string
		Scheme   string
		Identity string
		Secrets  struct {
			PSKIdentity   string `json:"psk_identity"`
			KPE, KPH, KPW []byte
			P             string `json:"dh_p_hex"`
			G             string `json:"dh_g_hex"`
			Private       string `json:"client_dh_private_hex"`
			Public        string `json:"client_dh_public_hex"`
			PKCS8         []byte `json:"client_privatekey_pkcs8"`
			SPKI          []byte `json:"client_publickey_spki"`
		}
		Request  []byte `json:"keyrequestdata_bytes"`
		Response []byte `json:"keyresponsedata_bytes"`
		PriorKey []byte `json:"prior_wrapping_key"`
		Derived  symmetricKeys
		Check    struct {
			Plaintext  []byte
			Ciphertext []byte `json:"ciphertext_envelope"`
			Signature  []byte
		}
		MasterToken struct {
			SequenceNumber int64
			Identity       string
		}
	}
	Rejected []struct {
		Case     string
		Identity string
		Serial   int64  `json:"mastertoken_serialnumber"`
		Request  string `json:"keyrequestdata_text"`
		Result   struct {
			Error struct {
				Name         string
				InternalCode int
			}
		}
	}
}

type symmetricKeys struct{ EncryptionKey, HMACKey, WrappingKey []byte }

func (k symmetricKeys) context(t testing.TB, keyID string) mslcrypto.Context {
	t.Helper()
	c, err := mslcrypto.NewSymmetric(keyID, mslcrypto.SymmetricKeys{Encryption: k.EncryptionKey, Signature: k.HMACKey, Wrapping: k.WrappingKey})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func loadVectors(t testing.TB) *vectors {
	t.Helper()
	b, err := os.ReadFile("testdata/keyx.json")
	if err != nil {
		t.Fatal(err)
	}
	v := new(vectors)
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
	return v
}

// testPSK is what entity authentication scheme PSK does.
func testPSK(t testing.TB, identity string, keys symmetricKeys) PSKContext {
	c := keys.context(t, identity)
	return func(_ context.Context, asked string) (mslcrypto.Context, error) {
		if asked != identity {
			return nil, mslerr.New(mslerr.EntityNotFound, "no keys")
		}
		return c, nil
	}
}

// server has all schemes.
func server(psk PSKContext, keys *token.Keys) Schemes {
	return Schemes{
		HPKE{},
		SymmetricWrapped{PSK: psk},
		AsymmetricWrapped{InsecurePKCS1: true},
		DiffieHellman{Parameters: []DHParameters{MODP2048("group14")}},
		JWELadder{PSK: psk, TokenKeys: keys},
		JWKLadder{PSK: psk, TokenKeys: keys},
	}
}

func bigHex(t *testing.T, s string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(s, 16)
	if !ok {
		t.Fatalf("%q is no number", s)
	}
	return n
}

func TestExchangeVectors(t *testing.T) {
	all := loadVectors(t)
	keys := token.NewKeys(all.TokenKeys.context(t, "msl.server"))
	for _, v := range all.Exchanges {
		t.Run(v.Case, func(t *testing.T) {
			var psk PSKContext
			if v.Secrets.PSKIdentity != "" {
				psk = testPSK(t, v.Secrets.PSKIdentity, symmetricKeys{v.Secrets.KPE, v.Secrets.KPH, v.Secrets.KPW})
			}
			repository := new(MemoryRepository)
			client := Schemes{
				SymmetricWrapped{PSK: psk}, AsymmetricWrapped{InsecurePKCS1: true}, DiffieHellman{},
				JWELadder{PSK: psk, Repository: repository}, JWKLadder{PSK: psk, Repository: repository},
			}
			o, err := framing.Decode(v.Request)
			if err != nil {
				t.Fatal(err)
			}
			request, err := server(psk, keys).ParseRequest(o)
			if err != nil {
				t.Fatal(err)
			}

			// The offer as the peer's client had it.
			makeOffer := func() Offer {
				switch r := request.(type) {
				case symmetricRequest:
					return r
				case ladderRequest:
					if r.mechanism == ladderWrap {
						if err := repository.Add(t.Context(), []byte(r.wrapdata), v.PriorKey); err != nil {
							t.Fatal(err)
						}
					}
					return r
				case dhRequest:
					return &dhOffer{
						parameters: DHParameters{ID: r.parametersID, P: bigHex(t, v.Secrets.P), G: bigHex(t, v.Secrets.G)},
						public:     bigHex(t, v.Secrets.Public), private: bigHex(t, v.Secrets.Private),
					}
				case asymmetricRequest:
					private, err := x509.ParsePKCS8PrivateKey(v.Secrets.PKCS8)
					if err != nil {
						t.Fatal(err)
					}
					return &asymmetricOffer{keyPairID: r.keyPairID, mechanism: r.mechanism, public: v.Secrets.SPKI, private: private.(*rsa.PrivateKey)}
				}
				t.Fatalf("request %T", request)
				return nil
			}
			offer := makeOffer()
			if again, err := server(psk, keys).ParseRequest(throughWire(t, RequestObject(offer))); err != nil {
				t.Error(err)
			} else if a, ok := again.(asymmetricRequest); ok {
				if b := request.(asymmetricRequest); !a.public.Equal(b.public) || a.mechanism != b.mechanism || a.keyPairID != b.keyPairID {
					t.Error("the request changes when written again")
				}
			} else if d, ok := again.(dhRequest); ok {
				if b := request.(dhRequest); !bytes.Equal(d.public, b.public) || d.parametersID != b.parametersID {
					t.Error("the request changes when written again")
				}
			} else if again != request {
				t.Errorf("the request becomes %v", again)
			}

			// Our client evaluates the peer's response.
			if o, err = framing.Decode(v.Response); err != nil {
				t.Fatal(err)
			}
			response, err := client.ParseResponse(o, nil)
			if err != nil {
				t.Fatal(err)
			}
			if response.Token.Sequence != v.MasterToken.SequenceNumber {
				t.Errorf("sequence number %d", response.Token.Sequence)
			}
			p := Parties{Identity: v.Identity}
			result, err := client.Complete(t.Context(), []Offer{offer}, response, p)
			if err != nil {
				t.Fatal(err)
			}
			if !v.Derived.equal(result.Keys.Encryption, result.Keys.Signature) {
				t.Error("other keys than derived")
			}
			session, err := mslcrypto.NewSession(result.Keys, mslcrypto.SessionKeyID(v.Identity, response.Token.Sequence))
			if err != nil {
				t.Fatal(err)
			}
			if ok, err := session.Verify(v.Check.Ciphertext, v.Check.Signature); err != nil || !ok {
				t.Errorf("the peer's signature does not verify: %v", err)
			}
			if plain, err := session.Decrypt(v.Check.Ciphertext); err != nil || !bytes.Equal(plain, v.Check.Plaintext) {
				t.Errorf("decrypted %q, %v", plain, err)
			}
			if len(v.Derived.WrappingKey) > 0 {
				newest, _ := repository.Newest(t.Context())
				kw, _ := repository.Find(t.Context(), newest)
				if !bytes.Equal(kw, v.Derived.WrappingKey) || len(repository.rungs) != 1 {
					t.Errorf("another wrapping key, or one of %d", len(repository.rungs))
				}
			}

			// The issuer itself takes the keys out of the token.
			if response, err = client.ParseResponse(o, keys); err != nil {
				t.Fatal(err)
			}
			if result, err = client.Complete(t.Context(), nil, response, p); err != nil {
				t.Fatal(err)
			}
			if !v.Derived.equal(result.Keys.Encryption, result.Keys.Signature) {
				t.Error("other keys than derived")
			}
			// But not of a token that names somebody else.
			_, err = client.Complete(t.Context(), nil, response, Parties{Identity: "other"})
			wantCode(t, err, mslerr.KeyxResponseRequestMismatch)

			// Our server answers the peer's request, and our client completes that.
			if psk != nil || v.Scheme == "DIFFIE_HELLMAN" || v.Scheme == "ASYMMETRIC_WRAPPED" {
				exchangeOffers(t, client, server(psk, keys), []Offer{makeOffer()}, p)
			}
		})
	}
}

func (v symmetricKeys) equal(encryption, hmac []byte) bool {
	return bytes.Equal(v.EncryptionKey, encryption) && bytes.Equal(v.HMACKey, hmac)
}

func TestRejectedVectors(t *testing.T) {
	all := loadVectors(t)
	keys := token.NewKeys(all.TokenKeys.context(t, "msl.server"))
	first := all.Exchanges[0].Secrets
	ss := server(testPSK(t, first.PSKIdentity, symmetricKeys{first.KPE, first.KPH, first.KPW}), keys)
	for _, v := range all.Rejected {
		t.Run(v.Case, func(t *testing.T) {
			o, err := framing.Decode([]byte(v.Request))
			if err != nil {
				t.Fatal(err)
			}
			p := Parties{Identity: v.Identity}
			if v.Serial != 0 {
				p = renewalParties(t, keys, v.Serial)
			}
			var requests []Request
			if requests, err = ss.ParseRequests(framing.Array{o}); err == nil {
				_, err = ss.Answer(t.Context(), requests, p, nil)
			}
			want := mslerr.Code(v.Result.Error.InternalCode - mslerr.WireOffset)
			if v.Result.Error.Name == "" { // the peer failed in an unplanned way
				want = mslerr.KeyxInvalidPublicKey
			} else if want.String() != v.Result.Error.Name {
				t.Fatalf("code %d is not %s", want, v.Result.Error.Name)
			}
			wantCode(t, err, want)
		})
	}
}

// renewalParties is a request under a token of our own.
func renewalParties(t *testing.T, keys *token.Keys, serial int64) Parties {
	t.Helper()
	session := newSessionKeys()
	mt, err := token.MintMasterToken(token.MasterTokenSpec{Serial: serial, Sequence: 5, Identity: "PSK-CLIENT-1", Keys: session}, keys, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	c, err := mslcrypto.NewSession(session, mslcrypto.SessionKeyID("PSK-CLIENT-1", 5))
	if err != nil {
		t.Fatal(err)
	}
	return Parties{Identity: "PSK-CLIENT-1", Token: mt, TokenContext: c}
}
