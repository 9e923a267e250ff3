package conformance

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/token"
)

// vectorsTime is "now" in the files that have tokens of their time: any clock
// between 2002 and 2095 gives the same.
var vectorsTime = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)

// through encodes an object and decodes it again.
func through(o framing.Object) (framing.Object, error) {
	raw, err := framing.JSON.Append(nil, o)
	if err != nil {
		return nil, err
	}
	return framing.Decode(raw)
}

// plain is an object, or anything that can be encoded, as encoding/json has it.
func plain(t testing.TB, v any) any {
	t.Helper()
	var raw []byte
	var err error
	if o, ok := v.(framing.Object); ok {
		raw, err = framing.JSON.Append(nil, o)
	} else {
		raw, err = json.Marshal(v)
	}
	if err != nil {
		t.Fatal(err)
	}
	p, err := parsePlain(raw)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func parsePlain(raw []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

// sets are the members whose order means nothing.
var sets = []string{"servicetokens", "peerservicetokens", "keyrequestdata", "compressionalgos", "encoderformats"}

// normal puts a value into one form, whatever it was made of: numbers as text,
// sets sorted.
func normal(name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = normal(k, e)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = normal("", e)
		}
		if slices.Contains(sets, name) {
			slices.SortFunc(list, func(a, b any) int { return strings.Compare(encoded(a), encoded(b)) })
		}
		return list
	case json.Number:
		return v.String()
	case float64, int64, int:
		return strings.TrimSuffix(fmt.Sprintf("%.0f", toFloat(v)), ".0")
	}
	return v
}

func toFloat(v any) float64 {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case int:
		return float64(v)
	}
	return v.(float64)
}

func encoded(v any) string {
	raw, _ := json.Marshal(v) // of strings, booleans, maps and lists: cannot fail
	return string(raw)
}

// same compares two values deeply and says where they differ.
func same(got, want any) error { return differ("", normal("", got), normal("", want)) }

func differ(at string, got, want any) error {
	g, ok1 := got.(map[string]any)
	w, ok2 := want.(map[string]any)
	if !ok1 || !ok2 {
		if !reflect.DeepEqual(got, want) {
			return fmt.Errorf("%s is %.200s, want %.200s", at, encoded(got), encoded(want))
		}
		return nil
	}
	for name, e := range w {
		have, ok := g[name]
		if !ok {
			return fmt.Errorf("%s.%s is missing", at, name)
		}
		if err := differ(at+"."+name, have, e); err != nil {
			return err
		}
	}
	for name := range g {
		if _, ok := w[name]; !ok {
			return fmt.Errorf("%s.%s is there, and should not be", at, name)
		}
	}
	return nil
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// clock is the time for the rule about expiry: a token of others is judged with
// the issuer's time unknown.
func clock(verified bool, now time.Time) time.Time {
	if verified {
		return now
	}
	return time.Time{}
}

// viewMasterToken is a master token as the vectors describe it.
func viewMasterToken(t testing.TB, mt *token.MasterToken, now time.Time) any {
	t.Helper()
	now = clock(mt.Verified(), now)
	v := map[string]any{
		"verified": mt.Verified(), "decrypted": mt.Verified(),
		"renewalwindow": mt.RenewalWindow.Unix(), "expiration": mt.Expiration.Unix(),
		"sequencenumber": mt.Sequence, "serialnumber": mt.Serial,
		"expired_now": mt.Expired(now), "renewable_now": mt.Renewable(now),
	}
	if mt.Verified() {
		v["identity"] = mt.Identity()
		v["encryptionkey"] = base64Of(mt.SessionKeys().Encryption)
		v["signaturekey"] = base64Of(mt.SessionKeys().Signature)
	}
	addIssuerData(t, v, mt.IssuerData())
	return v
}

// viewUserIDToken is a user ID token as the vectors describe it.
func viewUserIDToken(t testing.TB, u *token.UserIDToken) any {
	t.Helper()
	v := map[string]any{
		"verified": u.Verified(), "decrypted": u.Verified(),
		"renewalwindow": u.RenewalWindow.Unix(), "expiration": u.Expiration.Unix(),
		"mtserialnumber": u.MasterTokenSerial, "serialnumber": u.Serial,
	}
	if u.Verified() {
		v["identity"] = string(u.User())
	}
	addIssuerData(t, v, u.IssuerData())
	return v
}

// addIssuerData adds issuer data, which the vectors have as the text of JSON.
func addIssuerData(t testing.TB, v map[string]any, o framing.Object) {
	t.Helper()
	if o != nil {
		v["issuerdata"] = plain(t, o)
	}
}

// parseIssuerData parses that text, so that it can be compared.
func parseIssuerData(t testing.TB, want map[string]any) map[string]any {
	t.Helper()
	text, ok := want["issuerdata"].(string)
	if !ok {
		return want
	}
	p, err := parsePlain([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want["issuerdata"] = p
	return want
}

// viewServiceToken is a service token as the vectors describe it.
func viewServiceToken(t testing.TB, s *token.ServiceToken) any {
	t.Helper()
	data, known := s.Data()
	v := map[string]any{
		"name": s.Name, "verified": s.Verified(), "decrypted": known, "encrypted": s.Encrypted,
		"deleted": s.Deleted(), "mtserialnumber": s.MasterTokenSerial, "uitserialnumber": s.UserIDTokenSerial,
		"compressionalgo": nil, "data": nil,
	}
	if known {
		v["data"] = base64Of(data)
	}
	raw, err := framing.Get[[]byte](s.Object(), "tokendata")
	if err != nil {
		t.Fatal(err)
	}
	o, err := framing.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	if name, ok := o["compressionalgo"]; ok {
		v["compressionalgo"] = name
	}
	return v
}
