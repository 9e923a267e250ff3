package session

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/mlkem"
	"crypto/mlkem/mlkemtest"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

// The vectors of the channel set-up, section 6.

const (
	vectorRequest  = `{"headerdata":"cmVx","mastertoken":{},"signature":""}`
	vectorResponse = `{"headerdata":"cmVzcA==","mastertoken":{},"signature":""}`
)

func span(from byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = from + byte(i)
	}
	return b
}

func wantHex(t *testing.T, name, want string, got []byte) {
	t.Helper()
	if h := hex.EncodeToString(got); h != want {
		t.Errorf("%s = %s, want %s", name, h, want)
	}
}

func vectorHashes() (hq, hp digest) {
	return headerHash([]byte(vectorRequest)), headerHash([]byte(vectorResponse))
}

func vectorKeys() mslcrypto.SessionKeys {
	return mslcrypto.SessionKeys{Encryption: span(0x00, 16), Signature: span(0x40, 32)}
}

// generation is 4.4.5, written down once more from the text.
func generation(t *testing.T, d []byte) (key, iv, next []byte) {
	t.Helper()
	for _, o := range []struct {
		out   *[]byte
		label string
		n     int
	}{{&key, "key", 16}, {&iv, "iv", 12}, {&next, "update", 32}} {
		var err error
		if *o.out, err = hkdf.Expand(sha256.New, d, o.label, o.n); err != nil {
			t.Fatal(err)
		}
	}
	return key, iv, next
}

func sealed(t *testing.T, first byte, d, plain []byte) []byte {
	t.Helper()
	key, iv, _ := generation(t, d)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	head := []byte{first, 0, 0, byte(len(plain) + 16)}
	return aead.Seal(head, iv, plain, head) // record 0: the nonce is iv
}

func TestScheduleVectors(t *testing.T) {
	hq, hp := vectorHashes()
	wantHex(t, "hq", "219f7cc381c5a241725972988dcbe8de28af998a50b35dfddb09b5c816d08870", hq[:])
	wantHex(t, "hp", "72725dd0b20f5e44721b31ac2aec9ca62bbd39930b5bf9badb40cd08de0be77d", hp[:])

	x := mslcrypto.Key(span(0x80, 32))
	e, exporter := firstEpoch(hq, hp, vectorKeys(), x)
	if !bytes.Equal(x, make([]byte, 32)) {
		t.Error("x is not erased")
	}
	wantHex(t, "th_0", "ec954d15b796d761781979ea01d99e748c45974dca4a1595e89f57e1da2b7230", e.th[:])
	wantHex(t, "i2r_0", "b8d39681424cc4f3c7fdc8813af56bf06ab0a250b007c87cf4f0e26cdecbd22d", e.i2r)
	wantHex(t, "r2i_0", "36710a22b7e80a53c76c9902fd869aefef3bc84472d556bbb0fe748f4b0bcfc0", e.r2i)
	wantHex(t, "attach_0", "948609944a5afc1dc0be980ba57e074c6c232a21d25829c3a35eb793257d52cd", e.attach)
	wantHex(t, "rekey_0", "aa7f8d20b4a434cca24ac0e32510ae0dd89a3e01c5208856ce5941bfcb2e7644", e.rekey)
	wantHex(t, "exporter", "71284a8558b6563813a2a1987ccb3ba51ea3b60253a05c0135f84ff37b0986ce", exporter)
	key, iv, next := generation(t, e.i2r)
	wantHex(t, "i2r key", "f6a8cfb8f724bf0bc13e2eb3b7c3a75d", key)
	wantHex(t, "i2r iv", "2cbf1d669b0d21586058a867", iv)
	wantHex(t, "i2r next", "3aca514a9617cc9bfe3593da5df65e85701944a13c8b1119497b0b4f419305c5", next)

	early := earlySecret(hq, vectorKeys())
	wantHex(t, "early i2r", "101364159e2932f72a59918256de89d539f49d894a6b3063e40da41661657cbb", early)
	wantHex(t, "early rec 0", "12000013b19ec18859c80b2749abdcb929bbb83a1f85c3", sealed(t, 0x12, early, make([]byte, 3)))

	id := channelID(bytes.Repeat([]byte{0x31}, 16))
	wantHex(t, "proof i2r", "95b6810da44bdb329e0f9f5490c6b301b4064a9fcb26ee55079119647335db5d", e.attachProof(id, 1, 5, 3, 7))
	wantHex(t, "proof r2i", "b09d1d5d647333cf2cc9b4d8a826d86e4d6a1882d5c7aa44c690f99240ad16e7", e.attachAnswer(hq, id, 1, 9))
	wantHex(t, "proof closed", "be6de2eb9df619f3c5a54cbc18022363f38031f3d29e3e57446298a676368648", e.attachClosed(hq, id, 1, 256))

	share, enc := bytes.Repeat([]byte{0x21}, 32), bytes.Repeat([]byte{0x22}, 32)
	offer := e.rekeyOffer(keyx.KEMX25519, share)
	wantHex(t, "rk offer", "69f7acb9edc4ecddc7043c3c33b90e5c0c3436a4f82202f15c5353ea94e5d4f2", offer[:])
	e1 := e.next(keyx.KEMX25519, share, enc, bytes.Repeat([]byte{0x23}, 32))
	if !bytes.Equal(e.rekey, make([]byte, 32)) {
		t.Error("the old rekey secret is not erased")
	}
	wantHex(t, "th_1", "ef0edf4acf1d3ce9ceca6fdd3ca8519c7e9e8ba0850210490bb9b9f3de2a5f93", e1.th[:])
	wantHex(t, "i2r_1", "1ba4d6b3fa0c2f353eda533d00c1a043d013e3dc9a2ca346bc062428a6b742da", e1.i2r)
	wantHex(t, "r2i_1", "8321dc5f562ef446eb772e6f90875945f408a1c88c5efad8658c9cbd033aa2e0", e1.r2i)
	wantHex(t, "attach_1", "e061c266f8546da300cffa35892673ad03d842395df51b1093b9dac6eeccbddc", e1.attach)
	wantHex(t, "rekey_1", "62c8130ea7fbbbb1f3e818d1e958de72e69e8c28d3db035c0587f9c88e70ce96", e1.rekey)
	if e1.number != 1 {
		t.Errorf("epoch %d after the first rekey", e1.number)
	}
	e1.erase()
	for _, k := range []mslcrypto.Key{e1.i2r, e1.r2i, e1.attach, e1.rekey} {
		if !bytes.Equal(k, make([]byte, 32)) {
			t.Error("an epoch's secret survives its erasure")
		}
	}
}

func fingerprint(public []byte) string {
	h := sha256.Sum256(public)
	return "ed25519:" + base64.RawURLEncoding.EncodeToString(h[:])
}

func TestAuthVectors(t *testing.T) {
	hq, hp := vectorHashes()
	e, _ := firstEpoch(hq, hp, vectorKeys(), span(0x80, 32))
	for _, v := range []struct {
		seed            byte
		label           string
		name, signature string
	}{
		{0x00, labelAuthI2R, "ed25519:Vkdap1RjR0wChd9dvyvKtz2mUTWIOem3dIGy6rEHcIw", "860c81d9befb140542cd0513c976e2ece498f372fdea61153cb0a75ea7ca5ae76dbd250797fb123af074e68347916b7efc7c00f74f4feb44c3b768ac753dc008"},
		{0x20, labelAuthR2I, "ed25519:JPbtasv-EAnAMNfKVnwzykgwkRSYI2tVYabIKr7F3ig", "ba38b1c17e655a163abc991338dc183c86fd349118612f91cc3427fda2e292cf4bf4cd02c96cad66fd57e49c43519852550f442941e6f2a2d01984ccc35fec07"},
	} {
		k := ed25519.NewKeyFromSeed(span(v.seed, 32))
		if got := fingerprint(k.Public().(ed25519.PublicKey)); got != v.name {
			t.Errorf("identity %s, want %s", got, v.name)
		}
		wantHex(t, v.label, v.signature, ed25519.Sign(k, authText(v.label, e.th)))
	}
}

func x25519(t *testing.T, from byte) *ecdh.PrivateKey {
	t.Helper()
	k, err := ecdh.X25519().NewPrivateKey(span(from, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func vectorNames() []byte {
	var b []byte
	for _, id := range []string{"ed25519:Vkdap1RjR0wChd9dvyvKtz2mUTWIOem3dIGy6rEHcIw", "ed25519:JPbtasv-EAnAMNfKVnwzykgwkRSYI2tVYabIKr7F3ig"} {
		b = appendL(appendL(b, []byte("ED25519")), []byte(id))
	}
	return b
}

func TestHPKEVectors(t *testing.T) {
	hq, hp := vectorHashes()
	private, err := hpke.NewDHKEMPrivateKey(x25519(t, 0xa0))
	if err != nil {
		t.Fatal(err)
	}
	seed, err := hpke.MLKEM768X25519().NewPrivateKey(span(0x60, 32))
	if err != nil {
		t.Fatal(err)
	}
	wantHex(t, "publickey", "605a725d2a4adfeeb1a29e17edd621c1b7593ee8cdbc44ac6c4ab6e2f805d23c", private.PublicKey().Bytes())
	ephemeral := x25519(t, 0xc0).PublicKey().Bytes()

	// enc of the hybrid KEM: ML-KEM ciphertext || X25519 public key.
	public := seed.PublicKey().Bytes()
	h := sha256.Sum256(public)
	wantHex(t, "H(publickey)", "d13209d86547a31ae86a67d9a26c90e5efc1310514195ab06e9b9e12bf328b6a", h[:])
	ek, err := mlkem.NewEncapsulationKey768(public[:mlkem.EncapsulationKeySize768])
	if err != nil {
		t.Fatal(err)
	}
	_, ciphertext, err := mlkemtest.Encapsulate768(ek, span(0xe0, 32))
	if err != nil {
		t.Fatal(err)
	}
	hybrid := append(ciphertext, ephemeral...)
	h = sha256.Sum256(hybrid)
	wantHex(t, "H(enc)", "3bbcfa33abed07b9883f6e29878be11bd658ddd116cbc28e6b16bcf669434ded", h[:])

	for _, v := range []struct {
		name              string
		key               hpke.PrivateKey
		enc               []byte
		ke, kh, ren, renh string
		x, record         string
	}{
		{"X25519", private, ephemeral,
			"93ab60e3db876e53cd798e516810c2e0", "87b85e67d94ec376e120ed0f6d816b5705813ca6c45e136166e9170950d247f4",
			"1a0364c8ac759e07d70bafb0384f5b99", "35ae0a9ae931b5f6fc1b67ab996c6357b4e78a735a42ece1365ccb2988b6946d",
			"b5bc1591ef10e5a4fc996226f5484016bcb76e29b566740d6cc2382983c14ffa", "10000013dce21ecfe2f8d269eb08ca9becfff5fbd35ef0"},
		{"MLKEM768-X25519", seed, hybrid,
			"5d110ff60be857b59ed4eccce666353c", "2d9409f8d610cebca6f3b286ea6d613f4f68449ef1e1794bb5ed8c56b71d2b94",
			"311568dee4273d585d023e03cef4dd1d", "ee499ed6768afeec3ddb1ef5d00acd6b00def641fb38d6a4ebb215197b74f320",
			"5156f04f8f37d74b1012574ee383487244a16675e1f22170a568ac7db1c47495", "1000001318e175ce3bbbe847f98b1612f1705179fa9212"},
	} {
		t.Run(v.name, func(t *testing.T) {
			r, err := hpke.NewRecipient(v.enc, v.key, hpke.HKDFSHA256(), hpke.ExportOnly(), []byte("msl hpke 1"))
			if err != nil {
				t.Fatal(err)
			}
			export := func(context string, n int) []byte {
				b, err := r.Export(context, n)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			names, renewal := string(vectorNames()), string(make([]byte, 8))
			ke, kh := export("msl hpke 1 encryption key"+names, 16), export("msl hpke 1 hmac key"+names, 32)
			wantHex(t, "ke", v.ke, ke)
			wantHex(t, "kh", v.kh, kh)
			wantHex(t, "ke renewal", v.ren, export("msl hpke 1 encryption key"+renewal, 16))
			wantHex(t, "kh renewal", v.renh, export("msl hpke 1 hmac key"+renewal, 32))
			x := export(string(shareInfo(hq)), xSize)
			wantHex(t, "x", v.x, x)
			e, _ := firstEpoch(hq, hp, mslcrypto.SessionKeys{Encryption: ke, Signature: kh}, x)
			wantHex(t, "r2i rec 0", v.record, sealed(t, 0x10, e.r2i, make([]byte, 3)))
		})
	}

	// 6.4: x by share and x' by rekey.
	s := share{kem: keyx.KEMX25519, private: private}
	x, err := s.decapsulate(ephemeral, shareInfo(hq))
	if err != nil {
		t.Fatal(err)
	}
	wantHex(t, "x by share", "61328643eedcbd9cda07b735dcc6de1794f2a3744c43e430ebb0fb2bafcdd6c5", x)
	e, _ := firstEpoch(hq, hp, vectorKeys(), span(0x80, 32))
	if x, err = s.decapsulate(ephemeral, e.rekeyInfo()); err != nil {
		t.Fatal(err)
	}
	wantHex(t, "x' by rekey", "7b8d9a8a803a58bb4768796e078840a07fa1c45853991e05c646a2a01f9d674a", x)
}

func TestShares(t *testing.T) {
	hq, _ := vectorHashes()
	for _, kem := range []uint16{keyx.KEMX25519, keyx.KEMMLKEM768X25519} {
		t.Run(fmt.Sprint(kem), func(t *testing.T) {
			s, err := newShare(kem)
			if err != nil {
				t.Fatal(err)
			}
			enc, x, err := encapsulate(kem, s.public, shareInfo(hq))
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.decapsulate(enc, shareInfo(hq))
			if err != nil || !bytes.Equal(x, got) {
				t.Fatalf("both ends differ: %v", err)
			}
			if got, err = s.decapsulate(enc, shareInfo(digest{})); err != nil || bytes.Equal(x, got) {
				t.Fatalf("another request gives the same secret, or %v", err)
			}
			if _, _, err = encapsulate(kem, s.public[1:], nil); err == nil {
				t.Error("a short share is accepted")
			}
			if _, err = s.decapsulate(enc[1:], nil); err == nil {
				t.Error("a short enc is accepted")
			}
		})
	}
}

func TestEraseRecordKeys(t *testing.T) {
	e := newEpoch(0, digest{}, expander(span(1, sha256.Size)))
	i2r, r2i, zero := e.i2r, e.r2i, make([]byte, sha256.Size)
	e.eraseRecordKeys()
	if !bytes.Equal(i2r, zero) || !bytes.Equal(r2i, zero) || e.i2r != nil || e.r2i != nil {
		t.Error("a direction's secret is kept")
	}
	if bytes.Equal(e.attach, zero) || bytes.Equal(e.rekey, zero) {
		t.Error("the secrets for attach and rekey went too")
	}
}
