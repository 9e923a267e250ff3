package mslcrypto

import (
	"crypto/hmac"
	"crypto/sha256"
)

// Constants of the wrapping key derivation (spec 02 section 9).
var (
	wrappingSalt = []byte{0x02, 0x76, 0x17, 0x98, 0x4f, 0x62, 0x27, 0x53, 0x9a, 0x63, 0x0b, 0x89, 0x7c, 0x01, 0x7d, 0x69}
	wrappingInfo = []byte{0x80, 0x9f, 0x82, 0xa7, 0xad, 0xdf, 0x54, 0x8d, 0x3e, 0xa9, 0xdd, 0x06, 0x7f, 0xf9, 0xbb, 0x91}
)

// DeriveWrappingKey derives the AES-128 wrapping key of a set of pre-shared keys
// from its encryption key and its HMAC key:
//
//	first 16 bytes of HMAC-SHA256(HMAC-SHA256(salt, encryption || signature), info)
func DeriveWrappingKey(encryption, signature Key) Key {
	extract := hmac.New(sha256.New, wrappingSalt)
	extract.Write(encryption)
	extract.Write(signature)
	expand := hmac.New(sha256.New, extract.Sum(nil))
	expand.Write(wrappingInfo)
	return expand.Sum(nil)[:EncryptionKeySize]
}
