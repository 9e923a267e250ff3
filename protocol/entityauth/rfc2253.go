package entityauth

import (
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

// relativeNameSET is one RDN; encoding/asn1 takes a type of this name as a SET.
type relativeNameSET []struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// keywords are the attribute types of RFC 2253 section 2.3; all others are
// written as numbers.
var keywords = map[string]string{
	"2.5.4.3":                    "CN",
	"2.5.4.6":                    "C",
	"2.5.4.7":                    "L",
	"2.5.4.8":                    "ST",
	"2.5.4.9":                    "STREET",
	"2.5.4.10":                   "O",
	"2.5.4.11":                   "OU",
	"0.9.2342.19200300.100.1.25": "DC",
	"0.9.2342.19200300.100.1.1":  "UID",
}

// The string types whose contents are shown; others show their DER in hex.
var stringTags = []int{
	asn1.TagPrintableString, asn1.TagUTF8String, asn1.TagT61String,
	asn1.TagIA5String, asn1.TagGeneralString, asn1.TagBMPString,
}

// rfc2253 writes a distinguished name, given in DER, as Java's X500Principal does,
// since the text is the entity's identity (spec 05 section 5): relative names in
// reverse order, ",=+<>#;" and quotes and backslashes escaped anywhere, space and
// carriage return at both ends, and NUL as \00. The contents of all string types
// are taken for UTF-8. Where Java would put replacement characters, so that
// different names became one, it is an error.
func rfc2253(der []byte) (string, error) {
	var rdns []relativeNameSET
	rest, err := asn1.Unmarshal(der, &rdns)
	if err != nil {
		return "", err
	}
	if len(rest) > 0 {
		return "", errors.New("data after the distinguished name")
	}
	var b strings.Builder
	for i, rdn := range slices.Backward(rdns) {
		if i < len(rdns)-1 {
			b.WriteByte(',')
		}
		for j, attribute := range rdn {
			if j > 0 {
				b.WriteByte('+')
			}
			oid := attribute.Type.String()
			keyword, known := keywords[oid]
			v := attribute.Value
			if !known || v.Class != asn1.ClassUniversal || v.IsCompound || !slices.Contains(stringTags, v.Tag) {
				if !known {
					keyword = oid
				}
				b.WriteString(keyword + "=#" + hex.EncodeToString(v.FullBytes))
				continue
			}
			if !utf8.Valid(v.Bytes) {
				return "", errors.New("attribute " + keyword + " of the distinguished name is not UTF-8")
			}
			b.WriteString(keyword + "=" + escape2253(string(v.Bytes)))
		}
	}
	return b.String(), nil
}

func escape2253(s string) string {
	const space = " \r"
	lead := len(s) - len(strings.TrimLeft(s, space))
	trail := len(strings.TrimRight(s, space))
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == 0:
			b.WriteString(`\00`)
			continue
		case i < lead, i >= trail, strings.IndexByte(`,=+<>#;"\`, c) >= 0:
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
