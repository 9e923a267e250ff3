package token

import (
	"bytes"
	"maps"
	"testing"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/compress"
)

func TestServiceTokens(t *testing.T) {
	keys := newKeys(t, 1)
	contexts := ServiceContexts{"": newContext(t, 2), "com.example.own": newContext(t, 3)}
	mt := mintMaster(t, keys)
	uit, err := MintUserIDToken(UserIDTokenSpec{RenewalWindow: window, Expiration: expires, Serial: 42, User: "u"}, mt, keys, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("service data "), 20)
	for _, name := range []string{"com.example.own", "com.example.other", ""} {
		for _, encrypt := range []bool{false, true} {
			for _, compression := range []string{"", "GZIP", "LZW"} {
				s := ServiceTokenSpec{Name: name, Data: data, MasterToken: mt, UserIDToken: uit, Encrypt: encrypt, Compression: compression}
				minted, err := MintServiceToken(s, contexts, framing.JSON)
				if err != nil {
					t.Fatal(err)
				}
				o := decode(t, minted.tokendata)
				if got, _ := o["compressionalgo"].(string); got != compression {
					t.Errorf("compressed with %q, not %q", got, compression)
				}
				st, err := ParseServiceToken(decode(t, encode(t, minted.Object())), mt, uit, contexts)
				if err != nil {
					t.Fatal(err)
				}
				if got, known := st.Data(); !known || !bytes.Equal(got, data) || !st.Verified() || st.Deleted() || st.Encrypted != encrypt || !st.Equal(minted) {
					t.Errorf("%v %v %q: not what was minted", st, encrypt, compression)
				}
				st, err = ParseServiceToken(minted.Object(), mt, uit, nil)
				if err != nil {
					t.Fatal(err)
				}
				if got, known := st.Data(); known || got != nil || st.Verified() || st.Deleted() {
					t.Error("data of a token that is not verified")
				}
			}
		}
	}
}

func TestServiceTokenBinding(t *testing.T) {
	keys := newKeys(t, 1)
	contexts := ServiceContexts{"": newContext(t, 2)}
	mt, other := mintMaster(t, keys), &MasterToken{Serial: 1}
	uit := &UserIDToken{Serial: 42, MasterTokenSerial: mt.Serial}
	mint := func(mt *MasterToken, uit *UserIDToken) *ServiceToken {
		st, err := MintServiceToken(ServiceTokenSpec{Name: "n", Data: []byte("x"), MasterToken: mt, UserIDToken: uit}, contexts, framing.JSON)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	free := mint(nil, nil)
	if o := decode(t, free.tokendata); o["mtserialnumber"] != nil || o["uitserialnumber"] != nil || free.MasterTokenSerial != -1 || free.UserIDTokenSerial != -1 {
		t.Error("an unbound token names a token")
	}
	for _, v := range []struct {
		st   *ServiceToken
		mt   *MasterToken
		uit  *UserIDToken
		code mslerr.Code
	}{
		{free, nil, nil, -1},
		{free, mt, uit, -1},
		{mint(mt, nil), mt, nil, -1},
		{mint(mt, nil), nil, nil, mslerr.ServiceTokenMasterTokenMismatch},
		{mint(mt, nil), other, nil, mslerr.ServiceTokenMasterTokenMismatch},
		{mint(mt, uit), mt, uit, -1},
		{mint(mt, uit), mt, nil, mslerr.ServiceTokenUserIDTokenMismatch},
		{mint(mt, uit), mt, &UserIDToken{Serial: 43}, mslerr.ServiceTokenUserIDTokenMismatch},
		{mint(mt, uit), other, nil, mslerr.ServiceTokenMasterTokenMismatch},
		{mint(nil, uit), mt, uit, -1},
		{mint(nil, uit), nil, nil, mslerr.ServiceTokenUserIDTokenMismatch},
	} {
		_, err := ParseServiceToken(v.st.Object(), v.mt, v.uit, contexts)
		if v.code >= 0 {
			wantCode(t, err, v.code)
		} else if err != nil {
			t.Errorf("%v: %v", v.st, err)
		}
	}
	_, err := MintServiceToken(ServiceTokenSpec{Name: "n", Data: []byte("x"), MasterToken: other, UserIDToken: uit}, contexts, framing.JSON)
	wantCode(t, err, mslerr.InternalException)
}

func TestServiceTokenDeletion(t *testing.T) {
	mt := &MasterToken{Serial: 5}
	minted, err := MintServiceToken(ServiceTokenSpec{Name: "n", MasterToken: mt, Encrypt: true, Compression: "GZIP"}, nil, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	if len(minted.signature) != 0 || minted.Encrypted {
		t.Errorf("a deletion is signed or encrypted")
	}
	same(t, "token data", string(encode(t, decode(t, minted.tokendata))),
		`{"encrypted":false,"mtserialnumber":5,"name":"n","servicedata":""}`)
	for _, contexts := range []ServiceContexts{nil, {"": newContext(t, 2)}} {
		st, err := ParseServiceToken(decode(t, encode(t, minted.Object())), mt, nil, contexts)
		if err != nil || !st.Deleted() || st.Verified() {
			t.Error("a deletion is not recognised, or taken for verified", err)
		}
	}
}

func TestServiceTokenErrors(t *testing.T) {
	keys := newKeys(t, 2)
	contexts := ServiceContexts{"": keys.Primary()}
	for _, o := range []framing.Object{{}, {"signature": ""}, {"tokendata": "", "signature": ""}} {
		_, err := ParseServiceToken(o, nil, nil, contexts)
		wantCode(t, err, mslerr.ServiceTokenTokenDataMissing)
	}
	good := func() framing.Object {
		return framing.Object{"name": "n", "encrypted": false, "servicedata": []byte("x")}
	}
	for _, v := range []struct {
		change framing.Object
		code   mslerr.Code
	}{
		{framing.Object{"name": nil}, mslerr.ParseError},
		{framing.Object{"encrypted": "false"}, mslerr.ParseError},
		{framing.Object{"servicedata": nil}, mslerr.ParseError},
		{framing.Object{"mtserialnumber": "1"}, mslerr.ParseError},
		{framing.Object{"mtserialnumber": int64(-1)}, mslerr.ServiceTokenMasterTokenSerialNumberOutOfRange},
		{framing.Object{"uitserialnumber": MaxNumber + 1}, mslerr.ServiceTokenUserIDTokenSerialNumberOutOfRange},
		{framing.Object{"compressionalgo": "gzip"}, mslerr.UnidentifiedCompression},
		{framing.Object{"compressionalgo": "LZ4"}, mslerr.UnidentifiedCompression},
		{framing.Object{"compressionalgo": "GZIP"}, mslerr.UncompressionError},
		{framing.Object{"encrypted": true}, mslerr.CiphertextEnvelopeParseError},
	} {
		o := good()
		maps.Copy(o, v.change)
		_, err := ParseServiceToken(sealAs(t, keys, o), nil, nil, contexts)
		if err == nil {
			t.Errorf("%v is accepted", v.change)
			continue
		}
		wantCode(t, err, v.code)
	}
	_, err := MintServiceToken(ServiceTokenSpec{Name: "n", Data: []byte("x")}, nil, framing.JSON)
	wantCode(t, err, mslerr.InternalException)
	_, err = MintServiceToken(ServiceTokenSpec{Name: "n", Data: []byte("x"), Compression: "LZ4"}, contexts, framing.JSON)
	wantCode(t, err, mslerr.UnsupportedCompression)
}

// A token that inflates beyond 200 times its size is refused (W-18).
func TestServiceTokenBomb(t *testing.T) {
	keys := newKeys(t, 2)
	bomb, err := compress.GZIP.Compress(nil, make([]byte, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	o := sealAs(t, keys, framing.Object{"name": "n", "encrypted": false, "compressionalgo": "GZIP", "servicedata": bomb})
	_, err = ParseServiceToken(o, nil, nil, ServiceContexts{"": keys.Primary()})
	wantCode(t, err, mslerr.UncompressionError)
}
