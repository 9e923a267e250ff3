package hub

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/mslgo/msl/cmd/mslchat/internal/pair"
	"github.com/mslgo/msl/cmd/mslchat/internal/transfer"
	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testHub is a hub and what serves its sessions.
type testHub struct {
	*Hub
	t   *testing.T
	ctx context.Context
}

func newHub(t *testing.T, dir string) *testHub {
	t.Helper()
	h, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &testHub{h, t, t.Context()}
}

// dial returns a session of the identity; it ends with the test.
func (h *testHub) dial(identity string) wire.Session {
	ctx, cancel := context.WithCancel(h.ctx)
	ours, theirs := pair.Sessions(ctx, "hub", identity)
	theirs, ours = ours, theirs
	var serving sync.WaitGroup
	serving.Go(func() { h.Serve(ctx, theirs) })
	h.t.Cleanup(func() { cancel(); serving.Wait() })
	return ours
}

// in is somebody in a room.
type in struct {
	t  *testing.T
	st wire.Stream
	*wire.Reader
}

func (h *testHub) open(s wire.Session, label string, meta ...string) *in {
	h.t.Helper()
	m := make(map[string]string)
	for i := 0; i < len(meta); i += 2 {
		m[meta[i]] = meta[i+1]
	}
	st, err := s.Open(h.ctx, label, m)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { st.Close() })
	return &in{h.t, st, wire.NewReader(st)}
}

func (h *testHub) join(identity, nick, room string) *in {
	h.t.Helper()
	m := h.open(h.dial(identity), wire.LabelRoom, wire.MetaNick, nick, wire.MetaRoom, room)
	m.want(wire.Welcome, nick, "")
	return m
}

// want reads the next event.
func (m *in) want(typ wire.Type, nick, text string) wire.Event {
	m.t.Helper()
	e, err := m.Next()
	if err != nil || e.Type != typ || e.Nick != nick || !strings.Contains(e.Text, text) {
		m.t.Fatalf("got %+v, %v; want %s of %q with %q", e, err, typ, nick, text)
	}
	return e
}

func (m *in) say(text string) {
	m.t.Helper()
	if err := wire.Write(m.st, wire.Event{Type: wire.Say, Text: text}); err != nil {
		m.t.Fatal(err)
	}
}

func TestLinesGoBothWays(t *testing.T) {
	h := newHub(t, "")
	ann := h.join("A", "ann", "lobby")
	bob := h.join("B", "bob", "Lobby") // the same room
	ann.want(wire.Joined, "bob", "")
	other := h.join("C", "cid", "elsewhere")
	ann.say("hello")
	if e := ann.want(wire.Message, "ann", "hello"); !e.Own || e.Seq != 1 || e.Time.IsZero() {
		t.Errorf("ann's own: %+v", e)
	}
	if e := bob.want(wire.Message, "ann", "hello"); e.Own {
		t.Errorf("not bob's own: %+v", e)
	}
	bob.say("hi\x1b[2J")
	ann.want(wire.Message, "bob", "hi[2J")
	bob.want(wire.Message, "bob", "hi[2J")
	bob.say("bye")
	bob.st.CloseWrite()
	bob.want(wire.Message, "bob", "bye") // said before leaving, so it comes
	if e, err := bob.Next(); err != io.EOF {
		t.Errorf("after leaving: %+v, %v", e, err)
	}
	ann.want(wire.Message, "bob", "bye")
	ann.want(wire.Left, "bob", "")
	other.say("x")
	other.want(wire.Message, "cid", "x") // and nothing of the lobby
}

func TestHistoryReachesNewcomersAndOutlivesTheHub(t *testing.T) {
	synctest.Test(t, testHistory) // the pace of a room takes no time
}

func testHistory(t *testing.T) {
	dir := t.TempDir()
	h := newHub(t, dir)
	ann := h.join("A", "ann", "lobby")
	for i := range 2*keep + 50 { // beyond a rewriting
		ann.say(fmt.Sprint("line ", i))
		ann.want(wire.Message, "ann", fmt.Sprint("line ", i))
	}
	check := func(h *testHub, what string) {
		bob := h.open(h.dial("B"), wire.LabelRoom, wire.MetaNick, "bob", wire.MetaRoom, "lobby")
		bob.want(wire.Welcome, "bob", "")
		for i := keep + 50; i < 2*keep+50; i++ {
			if e := bob.want(wire.History, "ann", fmt.Sprint("line ", i)); e.Seq != uint64(i+1) {
				t.Errorf("%s: %+v", what, e)
			}
		}
		bob = h.open(h.dial("B"), wire.LabelRoom, wire.MetaNick, "bob", wire.MetaRoom, "lobby", wire.MetaAfter, strconv.Itoa(2*keep+49))
		bob.want(wire.Welcome, "bob", "")
		bob.want(wire.History, "ann", fmt.Sprint("line ", 2*keep+49))
	}
	check(h, "same hub")
	path := historyPath(filepath.Join(dir, "history"), "lobby")
	data, err := os.ReadFile(path)
	if n := bytes.Count(data, []byte("\n")); err != nil || n > 2*keep {
		t.Errorf("%d lines in the file, %v", n, err)
	}
	// A crash cut the last line.
	if err := os.WriteFile(path, append(data, `{"type":"hist`...), 0o600); err != nil {
		t.Fatal(err)
	}
	check(newHub(t, dir), "next hub")
}

func TestNicksBelongToIdentities(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		h := newHub(t, dir)
		one := h.join("A", "ann", "lobby")
		h.join("A", "ann", "lobby") // the same identity may
		h.open(h.dial("B"), wire.LabelRoom, wire.MetaNick, "Ann", wire.MetaRoom, "lobby").want(wire.Error, "", "belongs to A")
		one.say("still here")
		one.want(wire.Message, "ann", "still here")
	}
}

func TestNickIsFreeAgainOnlyWithoutUsersFile(t *testing.T) {
	dir := t.TempDir()
	for _, dir := range []string{"", dir} {
		u, err := openUsers(dirFile(dir))
		if err != nil {
			t.Fatal(err)
		}
		release, err := u.claim("ann", "A")
		if err != nil || !u.online("ANN") {
			t.Fatal(err)
		}
		release()
		release()
		if u.online("ann") {
			t.Error("still online")
		}
		_, err = u.claim("ann", "B")
		if free := err == nil; free != (dir == "") {
			t.Errorf("dir %q: %v", dir, err)
		}
	}
	u, err := openUsers(dirFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.claim("ann", "B"); err == nil {
		t.Error("the next hub forgot who ann is")
	}
	if _, err := u.claim("ann", "A"); err != nil {
		t.Error(err)
	}
	for i := range maxNicksOfOne {
		_, err = u.claim(fmt.Sprint("ann", i), "A")
	}
	if r := (*wire.Refusal)(nil); !errors.As(err, &r) || r.Code != wire.CodeLimit {
		t.Errorf("nicks without end: %v", err)
	}
}

func dirFile(dir string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "users.json")
}

func TestRefusals(t *testing.T) {
	h := newHub(t, "")
	s := h.dial("A")
	for text, meta := range map[string][]string{
		"the nick is missing":            {wire.LabelRoom, wire.MetaRoom, "lobby"},
		"nick \"a b\" is not":            {wire.LabelRoom, wire.MetaRoom, "lobby", wire.MetaNick, "a b"},
		"the room is missing":            {wire.LabelRoom, wire.MetaNick, "ann"},
		"room \"../x\" is not":           {wire.LabelRoom, wire.MetaNick, "ann", wire.MetaRoom, "../x"},
		"not a number":                   {wire.LabelRoom, wire.MetaNick, "ann", wire.MetaRoom, "x", wire.MetaAfter, "-1"},
		"no streams of the kind \"odd\"": {"odd", wire.MetaNick, "ann"},
	} {
		m := h.open(s, meta[0], meta[1:]...)
		m.want(wire.Error, "", text)
		if e, err := m.Next(); err != io.EOF {
			t.Errorf("%s: %+v, %v", text, e, err)
		}
	}
	long := h.join("A", "ann", "lobby")
	long.say(strings.Repeat("x", wire.MaxText+1))
	long.want(wire.Error, "", "too long")
}

func TestSlowMemberIsDroppedAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, "")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		h.ctx = ctx
		ann := h.join("A", "ann", "lobby")
		slow := h.join("B", "bob", "lobby")
		ann.want(wire.Joined, "bob", "")
		text := strings.Repeat("x", 4000)
		for dropped := false; !dropped; {
			ann.say(text)
			for {
				e, err := ann.Next()
				if err != nil {
					t.Fatal(err)
				}
				if e.Type == wire.Left {
					if !strings.Contains(e.Text, "slow") {
						t.Errorf("%+v", e)
					}
					dropped = true
				}
				if e.Own {
					break
				}
			}
		}
		n := 0
		for {
			e, err := slow.Next()
			if err != nil {
				t.Fatalf("bob was not told: %v", err)
			}
			if e.Type == wire.Error {
				if !strings.Contains(e.Text, "dropped") {
					t.Errorf("%+v", e)
				}
				break
			}
			n++
		}
		if n < maxQueue {
			t.Errorf("only %d lines waited", n)
		}
	})
}

// receiveFiles registers a receiver that puts what comes into a directory.
func (h *testHub) receiveFiles(identity, nick, room string) string {
	h.t.Helper()
	dir := h.t.TempDir()
	s := h.dial(identity)
	h.open(s, wire.LabelReceive, wire.MetaNick, nick, wire.MetaRoom, room).want(wire.Welcome, nick, "")
	var receiving sync.WaitGroup
	receiving.Go(func() {
		for {
			st, err := s.Accept(h.ctx)
			if err != nil {
				return
			}
			receiving.Go(func() {
				if o, err := transfer.ReadOffer(st.Meta); err == nil {
					transfer.Receive(st, o, dir, io.Discard)
				}
			})
		}
	})
	h.t.Cleanup(receiving.Wait)
	return dir
}

func (h *testHub) sendFile(identity string, data []byte, meta ...string) ([]transfer.Result, error) {
	meta = append(meta, wire.MetaNick, "ann", wire.MetaName, "f", wire.MetaSize, strconv.Itoa(len(data)))
	st := h.open(h.dial(identity), wire.LabelFile, meta...)
	_, results, err := transfer.Send(st.st, bytes.NewReader(data), int64(len(data)), io.Discard)
	return results, err
}

func TestFilesGoToANickOrARoom(t *testing.T) {
	h := newHub(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	h.ctx = ctx
	bob, cid := h.receiveFiles("B", "bob", "files"), h.receiveFiles("C", "cid", "Files")
	room := h.join("D", "dan", "files")
	data := make([]byte, 3<<20)
	rand.Read(data)
	has := func(dir, name string) bool {
		got, err := os.ReadFile(filepath.Join(dir, name))
		return err == nil && bytes.Equal(got, data)
	}
	results, err := h.sendFile("A", data, wire.MetaTo, "BOB")
	if err != nil || len(results) != 1 || results[0] != (transfer.Result{Nick: "bob"}) || !has(bob, "f") || has(cid, "f") {
		t.Errorf("to bob: %+v, %v", results, err)
	}
	results, err = h.sendFile("A", data, wire.MetaRoom, "files")
	if err != nil || len(results) != 2 || errors.Join(results[0].Err, results[1].Err) != nil || !has(bob, "f (1)") || !has(cid, "f") {
		t.Errorf("to the room: %+v, %v", results, err)
	}
	room.want(wire.Notice, "", `ann sends "f"`)
	for text, to := range map[string][2]string{
		"nobody by the name \"eve\"": {wire.MetaTo, "eve"},
		"dan is here, but receives":  {wire.MetaTo, "dan"},
		"nobody in the room":         {wire.MetaRoom, "lobby"},
	} {
		_, err := h.sendFile("A", data, to[0], to[1])
		if r := (*wire.Refusal)(nil); !errors.As(err, &r) || r.Code != wire.CodeNobody || !strings.Contains(r.Text, text) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Each receiver gets what it has not, and the sender sends what one of them has not.
func TestFilesGoOn(t *testing.T) {
	h := newHub(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	h.ctx = ctx
	data := make([]byte, 3<<20)
	rand.Read(data)
	sum := sha256.Sum256(data)
	dirs := []string{h.receiveFiles("B", "bob", "files"), h.receiveFiles("C", "cid", "files")}
	for i, has := range []int{1 << 20, 1<<20 + 54321} {
		part := filepath.Join(dirs[i], ".mslchat-"+hex.EncodeToString(sum[:])+".part")
		if err := os.WriteFile(part, data[:has], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	st := h.open(h.dial("A"), wire.LabelFile, wire.MetaNick, "ann", wire.MetaRoom, "files", wire.MetaName, "f",
		wire.MetaSize, strconv.Itoa(len(data)), wire.MetaSHA256, hex.EncodeToString(sum[:]))
	sent := &counting{Stream: st.st}
	_, results, err := transfer.Send(sent, bytes.NewReader(data), int64(len(data)), io.Discard)
	if err != nil || len(results) != 2 || errors.Join(results[0].Err, results[1].Err) != nil {
		t.Errorf("%+v, %v", results, err)
	}
	if sent.n < 2<<20 || sent.n > 2<<20+1<<10 {
		t.Errorf("%d bytes were sent", sent.n)
	}
	for _, dir := range dirs {
		if got, err := os.ReadFile(filepath.Join(dir, "f")); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes arrived, %v", len(got), err)
		}
	}
}

// counting counts what is written.
type counting struct {
	wire.Stream
	n int
}

func (c *counting) Write(p []byte) (int, error) { c.n += len(p); return c.Stream.Write(p) }

func TestFailingReceiverDoesNotHinderOthers(t *testing.T) {
	h := newHub(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	h.ctx = ctx
	bob := h.receiveFiles("B", "bob", "files")
	s := h.dial("C")
	h.open(s, wire.LabelReceive, wire.MetaNick, "cid", wire.MetaRoom, "files").want(wire.Welcome, "cid", "")
	go func() {
		st, err := s.Accept(ctx)
		if err != nil {
			return
		}
		wire.Write(st, wire.Event{Type: wire.Accepted})
		io.CopyN(io.Discard, st, 100)
		wire.Write(st, wire.Failed.Of(errors.New("disk full")))
		st.CloseRead()
		st.CloseWrite()
	}()
	results, err := h.sendFile("A", make([]byte, 4<<20), wire.MetaRoom, "files")
	if err != nil || len(results) != 2 {
		t.Fatalf("%+v, %v", results, err)
	}
	for _, r := range results {
		if r.Nick == "bob" && r.Err != nil || r.Nick == "cid" && (r.Err == nil || r.Err.Error() != "disk full") {
			t.Errorf("%+v", r)
		}
	}
	if info, err := os.Stat(filepath.Join(bob, "f")); err != nil || info.Size() != 4<<20 {
		t.Errorf("bob: %v", err)
	}
}

func TestSenderThatGivesUpLeavesNothing(t *testing.T) {
	h := newHub(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	h.ctx = ctx
	s := h.dial("B")
	h.open(s, wire.LabelReceive, wire.MetaNick, "bob").want(wire.Welcome, "bob", "")
	st := h.open(h.dial("A"), wire.LabelFile, wire.MetaNick, "ann", wire.MetaTo, "bob", wire.MetaName, "f", wire.MetaSize, "1000000")
	got, err := s.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	done := make(chan error, 1)
	go func() {
		_, _, err := transfer.Receive(got, transfer.Offer{Name: "f", Size: 1000000}, dir, io.Discard)
		done <- err
	}()
	st.want(wire.Accepted, "", "")
	io.WriteString(st.st, "some")
	st.st.Reset(wire.ResetAborted)
	select {
	case err := <-done:
		if err == nil {
			t.Error("kept")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the receiver waits")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}
