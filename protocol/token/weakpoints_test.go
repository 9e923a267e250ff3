package token

import (
	"testing"

	"github.com/mslgo/msl/framing"
)

// Somebody who has no key for it makes a service token.
func TestW21ForgedServiceToken(t *testing.T) {
	contexts := ServiceContexts{"": newContext(t, 2)}
	forged, err := MintServiceToken(ServiceTokenSpec{Name: "role", Data: []byte("administrator")}, ServiceContexts{"": newContext(t, 66)}, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	o := decode(t, encode(t, forged.Object()))
	// Naive: the data is there to be read, whoever made it.
	tokendata, err := framing.Get[[]byte](o, "tokendata")
	if err != nil {
		t.Fatal(err)
	}
	if data, err := framing.Get[[]byte](decode(t, tokendata), "servicedata"); err != nil || string(data) != "administrator" {
		t.Fatalf("the attack does not work: %q, %v", data, err)
	}
	st, err := ParseServiceToken(o, nil, nil, contexts)
	if err != nil {
		t.Fatal(err)
	}
	if data, known := st.Data(); known || data != nil || st.Verified() || st.Deleted() {
		t.Errorf("data %q of a token that nobody verified", data)
	}
}
