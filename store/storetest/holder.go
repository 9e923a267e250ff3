package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/token"
)

// TestHolder tests holders of tokens. open is called once per test, for an empty
// store.
func TestHolder(t *testing.T, open func(t *testing.T) token.Holders) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *material, token.Holder)
	}{
		{"MasterTokens", holdMasterTokens},
		{"Newest", holdNewest},
		{"RemoveTakesBound", holdRemove},
		{"NonReplayable", holdNonReplayable},
		{"UserIDTokens", holdUserIDTokens},
		{"ServiceTokens", holdServiceTokens},
		{"PutServiceTokensIsAtomic", holdAllOrNone},
		{"RemoveServiceTokens", holdRemoveServiceTokens},
		{"Context", holdContext},
		{"Concurrency", holdConcurrently},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(t, newMaterial(t), open(t).Holder("service"))
		})
	}
	t.Run("Remotes", func(t *testing.T) { holdRemotes(t, newMaterial(t), open(t)) })
}

func put(t *testing.T, h token.Holder, held *token.Held) *token.MasterToken {
	t.Helper()
	check(t, h.Put(t.Context(), held))
	return held.Token
}

// same says whether two held tokens are the same in all that matters to a holder.
func same(a, b *token.Held) bool {
	return a.Token.Equal(b.Token) && sameObject(a.Token.Object(), b.Token.Object()) &&
		bytes.Equal(a.Keys.Encryption, b.Keys.Encryption) && bytes.Equal(a.Keys.Signature, b.Keys.Signature) &&
		a.Keys.SignatureAlgorithm == b.Keys.SignatureAlgorithm && a.Self == b.Self && a.From == b.From
}

func sameObject(a, b framing.Object) bool {
	x, err := framing.JSON.Append(nil, a)
	y, err2 := framing.JSON.Append(nil, b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

func holdMasterTokens(t *testing.T, m *material, h token.Holder) {
	ctx := t.Context()
	first, second := m.held(t, 1, 1), m.held(t, 1, 2)
	if got, err := h.Newest(ctx); got != nil || err != nil {
		t.Fatalf("an empty store has %v, %v", got, err)
	}
	if got, err := h.Find(ctx, first.Token); got != nil || err != nil {
		t.Fatalf("an empty store finds %v, %v", got, err)
	}
	put(t, h, first)
	put(t, h, second)
	for _, want := range []*token.Held{first, second} {
		got, err := h.Find(ctx, want.Token)
		check(t, err)
		if got == nil || !same(got, want) {
			t.Fatalf("%v is not as it was put", want.Token)
		}
		got.Keys.Encryption.Erase() // what is given out is the caller's
		if again, err := h.Find(ctx, want.Token); err != nil || !same(again, want) {
			t.Fatalf("%v changes with what was given out: %v", want.Token, err)
		}
	}
	changed := *first
	changed.From.Sentinel = false
	put(t, h, &changed)
	got, err := h.Find(ctx, first.Token)
	check(t, err)
	if got == nil || !same(got, &changed) {
		t.Fatal("Put does not replace the equal token")
	}
	check(t, h.Remove(ctx, second.Token))
	if got, err := h.Newest(ctx); err != nil || got == nil || !got.Token.Equal(first.Token) {
		t.Fatalf("newest is %v, %v", got, err)
	}
	check(t, h.Remove(ctx, second.Token)) // again does nothing
	check(t, h.Remove(ctx, first.Token))
	if got, err := h.Newest(ctx); got != nil || err != nil {
		t.Fatalf("an emptied store has %v, %v", got, err)
	}
}

func holdNewest(t *testing.T, m *material, h token.Holder) {
	for i, v := range []struct {
		put, newest int64
	}{
		{5, 5}, {7, 7}, {6, 7}, {token.MaxNumber, 7}, {token.MaxNumber - 100, 7},
	} {
		put(t, h, m.held(t, int64(i), v.put))
		got, err := h.Newest(t.Context())
		check(t, err)
		if got == nil || got.Token.Sequence != v.newest {
			t.Fatalf("after %d the newest is %v, not %d", v.put, got.Token, v.newest)
		}
	}
}

func holdRemove(t *testing.T, m *material, h token.Holder) {
	ctx := t.Context()
	old, renewed := put(t, h, m.held(t, 1, 1)), put(t, h, m.held(t, 1, 2))
	other := put(t, h, m.held(t, 2, 1))
	uit, otherUIT := m.user(t, old, 10), m.user(t, other, 10) // numbers of different issuers' making may be the same
	check(t, h.PutUserIDToken(ctx, "a", uit))
	check(t, h.PutUserIDToken(ctx, "b", otherUIT))
	check(t, h.PutServiceTokens(ctx, []*token.ServiceToken{
		m.service(t, "free", nil, nil, "x"),
		m.service(t, "entity", old, nil, "x"),
		m.service(t, "user", old, uit, "x"),
		m.service(t, "entity", other, nil, "x"),
		m.service(t, "user", other, otherUIT, "x"),
	}))
	for range 3 {
		_, err := h.NextNonReplayable(ctx, old)
		check(t, err)
	}

	check(t, h.Remove(ctx, old)) // its renewal is still there
	wantServices(t, h, renewed, uit, "entity free user")
	if id, err := h.NextNonReplayable(ctx, renewed); err != nil || id != 4 {
		t.Fatalf("the counter of a renewed token gives %d, %v", id, err)
	}

	check(t, h.Remove(ctx, renewed))
	if got, err := h.UserIDToken(ctx, "a"); got != nil || err != nil {
		t.Fatalf("%v outlives its master token, %v", got, err)
	}
	wantServices(t, h, renewed, uit, "free")
	wantServices(t, h, other, otherUIT, "entity free user")
	put(t, h, m.held(t, 1, 3))
	if id, err := h.NextNonReplayable(ctx, renewed); err != nil || id != 1 {
		t.Fatalf("a removed counter goes on with %d, %v", id, err)
	}
}

// wantServices checks which service tokens apply to mt and uit, by their names.
func wantServices(t *testing.T, h token.Holder, mt *token.MasterToken, uit *token.UserIDToken, want string) {
	t.Helper()
	list, err := h.ServiceTokens(t.Context(), mt, uit)
	check(t, err)
	var names []string
	for _, st := range list {
		names = append(names, st.Name)
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != want {
		t.Fatalf("service tokens %q, want %q", got, want)
	}
}

func holdNonReplayable(t *testing.T, m *material, h token.Holder) {
	a, renewed, b := put(t, h, m.held(t, 1, 1)), put(t, h, m.held(t, 1, 2)), put(t, h, m.held(t, 2, 1))
	for _, v := range []struct {
		mt   *token.MasterToken
		want int64
	}{{a, 1}, {a, 2}, {b, 1}, {renewed, 3}, {a, 4}, {b, 2}} {
		id, err := h.NextNonReplayable(t.Context(), v.mt)
		check(t, err)
		if id != v.want {
			t.Fatalf("ID %d under %v, want %d", id, v.mt, v.want)
		}
	}
}

func holdUserIDTokens(t *testing.T, m *material, h token.Holder) {
	ctx := t.Context()
	held := m.held(t, 1, 1)
	uit := m.user(t, held.Token, 10)
	wantCode(t, h.PutUserIDToken(ctx, "a", uit), mslerr.UserIDTokenMasterTokenNotFound)
	mt := put(t, h, held)
	if got, err := h.UserIDToken(ctx, "a"); got != nil || err != nil {
		t.Fatalf("a user without a token has %v, %v", got, err)
	}
	check(t, h.PutUserIDToken(ctx, "a", uit))
	got, err := h.UserIDToken(ctx, "a")
	check(t, err)
	if !got.Equal(uit) || !sameObject(got.Object(), uit.Object()) || !got.BoundTo(mt) {
		t.Fatalf("%v is not as it was put", got)
	}
	check(t, h.PutServiceTokens(ctx, []*token.ServiceToken{m.service(t, "s", mt, uit, "x"), m.service(t, "e", mt, nil, "x")}))
	check(t, h.PutUserIDToken(ctx, "a", m.user(t, mt, 10))) // renewed: the number stays
	wantServices(t, h, mt, uit, "e s")
	next := m.user(t, mt, 11)
	check(t, h.PutUserIDToken(ctx, "a", next)) // another login: what was bound goes
	wantServices(t, h, mt, uit, "e")
	if got, err := h.UserIDToken(ctx, "a"); err != nil || !got.Equal(next) {
		t.Fatalf("the user has %v, %v", got, err)
	}
	check(t, h.PutServiceTokens(ctx, []*token.ServiceToken{m.service(t, "s", mt, next, "x")}))
	check(t, h.RemoveUserIDToken(ctx, next))
	if got, err := h.UserIDToken(ctx, "a"); got != nil || err != nil {
		t.Fatalf("%v is still there, %v", got, err)
	}
	wantServices(t, h, mt, next, "e")
	check(t, h.RemoveUserIDToken(ctx, next)) // again does nothing
}

func holdServiceTokens(t *testing.T, m *material, h token.Holder) {
	ctx := t.Context()
	mt, other := put(t, h, m.held(t, 1, 1)), put(t, h, m.held(t, 2, 1))
	uit := m.user(t, mt, 10)
	check(t, h.PutUserIDToken(ctx, "a", uit))
	check(t, h.PutServiceTokens(ctx, []*token.ServiceToken{
		m.service(t, "free", nil, nil, "x"),
		m.service(t, "entity", mt, nil, "x"),
		m.service(t, "user", mt, uit, "x"),
		m.service(t, "only user", nil, uit, "x"),
		m.service(t, "other", other, nil, "x"),
	}))
	wantServices(t, h, nil, nil, "free")
	wantServices(t, h, mt, nil, "entity free")
	wantServices(t, h, mt, uit, "entity free only user user")
	wantServices(t, h, other, nil, "free other")
	_, err := h.ServiceTokens(ctx, nil, uit)
	wantCode(t, err, mslerr.UserIDTokenMasterTokenNull)
	_, err = h.ServiceTokens(ctx, other, uit)
	wantCode(t, err, mslerr.UserIDTokenMasterTokenMismatch)

	replacement := m.service(t, "free", nil, nil, "y")
	check(t, h.PutServiceTokens(ctx, []*token.ServiceToken{replacement}))
	list, err := h.ServiceTokens(ctx, nil, nil)
	check(t, err)
	if len(list) != 1 || !sameObject(list[0].Object(), replacement.Object()) {
		t.Fatal("a service token of the same name and binding is not replaced")
	}
	check(t, h.PutServiceTokens(ctx, []*token.ServiceToken{m.service(t, "free", mt, nil, "z")}))
	wantServices(t, h, mt, nil, "entity free free")
}

func holdAllOrNone(t *testing.T, m *material, h token.Holder) {
	ctx := t.Context()
	mt := put(t, h, m.held(t, 1, 1))
	unknown := m.held(t, 2, 1).Token
	uit := m.user(t, mt, 10)
	good := m.service(t, "good", mt, nil, "x")
	wantCode(t, h.PutServiceTokens(ctx, []*token.ServiceToken{good, m.service(t, "bad", unknown, nil, "x")}), mslerr.ServiceTokenMasterTokenNotFound)
	wantCode(t, h.PutServiceTokens(ctx, []*token.ServiceToken{good, m.service(t, "bad", mt, uit, "x")}), mslerr.ServiceTokenUserIDTokenNotFound)
	wantServices(t, h, mt, nil, "")

	var many []*token.ServiceToken // more than any store needs to keep of one remote
	for i := range 5000 {
		many = append(many, m.service(t, fmt.Sprint(i), nil, nil, ""))
	}
	if err := h.PutServiceTokens(ctx, many); err == nil {
		t.Fatal("no bound on what a remote can make us keep")
	}
	wantServices(t, h, mt, nil, "")
}

func holdRemoveServiceTokens(t *testing.T, m *material, h token.Holder) {
	ctx := t.Context()
	mt, other := put(t, h, m.held(t, 1, 1)), put(t, h, m.held(t, 2, 1))
	uit := m.user(t, mt, 10)
	all := []*token.ServiceToken{
		m.service(t, "a", nil, nil, "x"), m.service(t, "b", nil, nil, "x"),
		m.service(t, "a", mt, nil, "x"), m.service(t, "c", mt, nil, "x"),
		m.service(t, "a", mt, uit, "x"), m.service(t, "d", mt, uit, "x"),
	}
	for _, v := range []struct {
		name string
		mt   *token.MasterToken
		uit  *token.UserIDToken
		left string
	}{
		{"", nil, nil, "a a a b c d"},
		{"a", nil, nil, "a a b c d"},
		{"c", nil, nil, "a a a b c d"},
		{"", mt, nil, "a a b d"},
		{"a", mt, nil, "a a b c d"},
		{"", nil, uit, "a a b c"},
		{"d", nil, uit, "a a a b c"},
		{"", mt, uit, "a a b c"},
		{"a", mt, uit, "a a b c d"},
		{"", other, nil, "a a a b c d"},
	} {
		check(t, h.PutUserIDToken(ctx, "u", uit))
		check(t, h.PutServiceTokens(ctx, all))
		check(t, h.RemoveServiceTokens(ctx, v.name, v.mt, v.uit))
		wantServices(t, h, mt, uit, v.left)
	}
	wantCode(t, h.RemoveServiceTokens(ctx, "", other, uit), mslerr.UserIDTokenMasterTokenMismatch)
}

// Serial numbers are the remote's choice: two of them share nothing (W-28).
func holdRemotes(t *testing.T, m *material, holders token.Holders) {
	ctx := t.Context()
	a, b := holders.Holder("a"), holders.Holder("b")
	mt := put(t, a, m.held(t, 1, 1))
	check(t, a.PutUserIDToken(ctx, "u", m.user(t, mt, 10)))
	check(t, a.PutServiceTokens(ctx, []*token.ServiceToken{m.service(t, "free", nil, nil, "x")}))
	if id, err := a.NextNonReplayable(ctx, mt); id != 1 || err != nil {
		t.Fatal(id, err)
	}
	if got, err := b.Newest(ctx); got != nil || err != nil {
		t.Fatalf("another remote's holder has %v, %v", got, err)
	}
	wantServices(t, b, nil, nil, "")
	put(t, b, m.held(t, 1, 1))
	if got, err := b.UserIDToken(ctx, "u"); got != nil || err != nil {
		t.Fatalf("another remote's holder has %v, %v", got, err)
	}
	if id, err := b.NextNonReplayable(ctx, mt); id != 1 || err != nil {
		t.Fatal(id, err)
	}
	check(t, b.Remove(ctx, mt))
	if got, err := holders.Holder("a").Newest(ctx); err != nil || got == nil {
		t.Fatalf("a remote's tokens go with another's: %v", err)
	}
}

func holdContext(t *testing.T, m *material, h token.Holder) {
	mt := put(t, h, m.held(t, 1, 1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.NextNonReplayable(ctx, mt); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if err := h.Put(ctx, m.held(t, 2, 2)); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if got, err := h.Newest(t.Context()); err != nil || !got.Token.Equal(mt) {
		t.Fatal("a refused call had an effect", err)
	}
	if id, err := h.NextNonReplayable(t.Context(), mt); err != nil || id != 1 {
		t.Fatal("a refused call had an effect", id, err)
	}
}

func holdConcurrently(t *testing.T, m *material, h token.Holder) {
	const workers, rounds = 8, 12
	ctx := t.Context()
	mt := put(t, h, m.held(t, 1, 1))
	var mu sync.Mutex
	seen := make(map[int64]bool)
	var done sync.WaitGroup
	for w := range workers {
		held := m.held(t, int64(100+w), 1)
		uit := m.user(t, held.Token, 10)
		bound := []*token.ServiceToken{m.service(t, "s", held.Token, nil, "x")}
		done.Go(func() {
			for range rounds {
				id, err := h.NextNonReplayable(ctx, mt)
				mu.Lock()
				if err != nil || seen[id] {
					t.Errorf("ID %d twice, or %v", id, err)
				}
				seen[id] = true
				mu.Unlock()
				err = errors.Join(
					h.Put(ctx, held),
					h.PutUserIDToken(ctx, fmt.Sprint(w), uit),
					h.PutServiceTokens(ctx, bound),
				)
				list, err2 := h.ServiceTokens(ctx, held.Token, uit)
				if err != nil || err2 != nil || len(list) != 1 {
					t.Errorf("%d service tokens, %v, %v", len(list), err, err2)
				}
				if err := h.Remove(ctx, held.Token); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done.Wait()
	for id := range int64(workers * rounds) {
		if !seen[id+1] {
			t.Errorf("ID %d was left out", id+1)
		}
	}
}
