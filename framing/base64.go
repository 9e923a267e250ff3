package framing

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
)

// Base64 of spec 01 section 6. Reading skips SP, TAB, CR and LF, wants padding,
// and ignores discarded bits that are not zero; package encoding/base64 agrees
// but for SP and TAB.

const badBase64 = "invalid Base64"

// DecodeBase64 decodes standard padded Base64, the form of every binary member
// in JSON. The empty string is empty binary, not an error.
func DecodeBase64(s string) ([]byte, error) { return appendBase64([]byte{}, []byte(s)) }

// appendBase64 appends what s stands for to dst.
func appendBase64(dst, s []byte) ([]byte, error) {
	if bytes.IndexByte(s, ' ') >= 0 || bytes.IndexByte(s, '\t') >= 0 {
		s = bytes.ReplaceAll(bytes.ReplaceAll(s, []byte(" "), nil), []byte("\t"), nil)
	}
	dst, err := base64.StdEncoding.AppendDecode(dst, s)
	if err != nil {
		return nil, syntaxErrorOf(err)
	}
	return dst, nil
}

// DecodeBase64URL decodes the alphabet of JSON Web Key and JSON Web Encryption.
// As the other stacks do, it takes either alphabet, with or without padding.
func DecodeBase64URL(s string) ([]byte, error) {
	s = base64URLAlphabet.Replace(s)
	if n := len(s) % 4; n != 0 {
		s += "===="[n:]
	}
	return DecodeBase64(s)
}

var base64URLAlphabet = strings.NewReplacer("-", "+", "_", "/")

// EncodeBase64URL encodes for JSON Web Key and JSON Web Encryption, without padding.
func EncodeBase64URL(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func syntaxErrorOf(err error) error {
	e := &SyntaxError{Reason: badBase64}
	if at, ok := errors.AsType[base64.CorruptInputError](err); ok {
		e.Offset = int(at)
	}
	return e
}
