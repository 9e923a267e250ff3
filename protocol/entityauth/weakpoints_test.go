package entityauth

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"testing"

	"github.com/mslgo/msl/mslerr"
)

// The owner of one registered key signs with it under another's name.
func TestW27AnothersName(t *testing.T) {
	k := loadKeys(t)
	client, public := pair[*rsa.PrivateKey, *rsa.PublicKey](t, k.RSA["rsa-client-key-1"])
	claim := NewRSAData("RSA-SERVER-1", "rsa-client-key-1")

	// Naive: the key is looked up by its ID alone.
	byID := map[string]*rsa.PublicKey{"rsa-client-key-1": public}
	digest := sha256.Sum256([]byte("I am RSA-SERVER-1"))
	signature, err := rsa.SignPKCS1v15(rand.Reader, client, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	if err := rsa.VerifyPKCS1v15(byID["rsa-client-key-1"], crypto.SHA256, digest[:], signature); err != nil {
		t.Fatal("the attack does not work", err)
	}

	scheme, _ := allSchemes(t, k).ByName("RSA")
	_, err = scheme.Context(t.Context(), claim, Policy{})
	wantCode(t, err, mslerr.RSAPublicKeyNotFound)
}
