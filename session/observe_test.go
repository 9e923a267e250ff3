package session

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/observe"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/stream"
	"github.com/mslgo/msl/transport"
)

// tap keeps what is written to a connection.
type tap struct {
	transport.Conn
	mu      sync.Mutex
	written bytes.Buffer
}

func (t *tap) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err := t.Conn.Write(p)
	t.written.Write(p[:n])
	return n, err
}

// capture is what was written until now.
func (t *tap) capture() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Clone(t.written.Bytes())
}

// figures sums what metrics are told.
type figures struct {
	mu  sync.Mutex
	sum map[string]float64
}

func (f *figures) Record(m observe.Metric, label string, value float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sum == nil {
		f.sum = make(map[string]float64)
	}
	if m.Kind() == observe.Histogram {
		value = 1
	}
	f.sum[strings.TrimSuffix(m.Name()+" "+label, " ")] += value
}

func (f *figures) check(t *testing.T, want map[string]float64) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, v := range want {
		if f.sum[name] != v {
			t.Errorf("%s is %v, want %v", name, f.sum[name], v)
		}
	}
	if t.Failed() {
		t.Log(f.sum)
	}
}

// trail keeps events.
type trail struct {
	mu     sync.Mutex
	events []observe.Event
}

func (l *trail) Event(e observe.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

// names are those of the events, with their first datum.
func (l *trail) names() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for _, e := range l.events {
		n := e.Name
		if len(e.Data) > 0 {
			n += " " + e.Data[0].Value.String()
		}
		names = append(names, n)
	}
	return names
}

const plaintext = "what nobody but the two may read"

// converse says plaintext both ways on one stream.
func converse(t *testing.T, client, server *Session) {
	t.Helper()
	st, err := client.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(st, plaintext)
	_ = st.CloseWrite()
	other, err := server.AcceptStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(other, other); err != nil {
		t.Fatal(err)
	}
	_ = other.Close()
	if b, err := io.ReadAll(st); err != nil || string(b) != plaintext {
		t.Fatalf("%q, %v", b, err)
	}
	_ = st.Close()
}

func TestObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var ours, theirs figures
		var log trail
		w.initiator.Observe = observe.Observer{Metrics: &ours, Events: &log}
		w.responder.Observe = observe.Observer{Metrics: &theirs}
		client, server := w.sessions(t)
		converse(t, client, server)
		reset, err := client.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = reset.Write([]byte("x"))
		if _, err := server.AcceptStream(t.Context()); err != nil {
			t.Fatal(err)
		}
		_ = reset.Reset(3)
		synctest.Wait()
		open, err := client.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = open.Write([]byte("x"))
		time.Sleep(lookInterval + time.Second) // in the bubble
		synctest.Wait()
		ours.check(t, map[string]float64{
			"msl.sessions.opened first_contact": 1, "msl.sessions.open": 1, "msl.setup.duration first_contact": 1,
			"msl.streams.opened local": 3, "msl.streams.open": 1,
			"msl.retained": 0,
		})
		theirs.check(t, map[string]float64{"msl.round_trip": 1})
		stats := client.link.Stats()
		ours.check(t, map[string]float64{"msl.sent": float64(stats.BytesSent), "msl.records.received": float64(stats.RecordsReceived)})
		if err := client.CloseWithError(7, "enough"); err != nil {
			t.Fatal(err)
		}
		<-server.Done()
		for _, f := range []*figures{&ours, &theirs} {
			f.check(t, map[string]float64{
				"msl.sessions.open": 0, "msl.streams.open": 0, "msl.retained": 0, "msl.sessions.closed application": 1,
			})
		}
		theirs.check(t, map[string]float64{"msl.streams.opened remote": 3, "msl.streams.reset remote": 2}) // both directions

		got := log.names()
		got = slices.DeleteFunc(got, func(n string) bool {
			return strings.HasPrefix(n, observe.EventSessionTraffic) || strings.HasPrefix(n, observe.EventSessionState)
		})
		want := []string{
			"setup:begun", "setup:step request sent", "setup:step response opened", "setup:step keys derived",
			"setup:step confirmed", "session:opened first_contact",
			"stream:opened 0", "stream:closed 0", "stream:opened 2", "stream:reset 2", "stream:reset 2", "stream:closed 2",
			"stream:opened 4", "session:closed application",
		}
		got = slices.Compact(got)
		want = slices.Compact(want)
		if !slices.Equal(got, want) {
			t.Errorf("events\n%q, want\n%q", got, want)
		}
		first, last := log.events[0], log.events[len(log.events)-1]
		if first.Trace == "" || first.Trace != last.Trace || last.Channel != hex.EncodeToString(client.id[:]) {
			t.Errorf("trace %q and %q, channel %q", first.Trace, last.Trace, last.Channel)
		}
	})
}

func TestFailureObserved(t *testing.T) {
	w := newWorld(t)
	var ours, theirs figures
	w.initiator.Observe.Metrics, w.responder.Observe.Metrics = &ours, &theirs
	w.responder.Admit = func(context.Context, Info) error { return errors.New("not today") }
	a, b := transport.Pipe()
	_, _, err1, err2 := w.connect(t.Context(), a, b)
	if err1 == nil || err2 == nil {
		t.Fatal("admitted")
	}
	for name, f := range map[string]*figures{"ours": &ours, "theirs": &theirs} {
		f.mu.Lock()
		var failures float64
		for label, v := range f.sum {
			if strings.HasPrefix(label, observe.SetUpFailures.Name()) && !strings.HasSuffix(label, " other") {
				failures += v
			}
		}
		if failures != 1 || f.sum["msl.setup.duration failed"] != 1 || f.sum["msl.sessions.open"] != 0 {
			t.Errorf("%s: %v", name, f.sum)
		}
		f.mu.Unlock()
	}
}

func TestLossObserved(t *testing.T) {
	w := newWorld(t)
	var ours figures
	w.initiator.Observe.Metrics = &ours
	a, b := transport.Pipe()
	client, server, err1, err2 := w.connect(t.Context(), a, b)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	defer end(client, server)
	b.Close()
	<-client.Done()
	ours.check(t, map[string]float64{"msl.connections.lost": 1, "msl.sessions.closed lost": 1, "msl.sessions.open": 0})
}

func TestReconnectObserved(t *testing.T) {
	w := newWorld(t)
	w.quickly()
	var ours, theirs figures
	var log trail
	w.initiator.Observe = observe.Observer{Metrics: &ours, Events: &log}
	w.responder.Observe.Metrics = &theirs
	accepted := make(chan error, 10)
	tries := 0
	w.initiator.Connect = func(ctx context.Context, _ []string, _ int) (transport.Conn, error) {
		if tries++; tries == 1 {
			return nil, errors.New("not this time")
		}
		a, b := transport.Pipe()
		go func() {
			_, err := Accept(context.WithoutCancel(ctx), b, w.responder)
			accepted <- err
		}()
		return a, nil
	}
	a, b := transport.Pipe()
	client, server, err1, err2 := w.connect(t.Context(), a, b)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	defer end(client, server)
	b.Close()
	for err := range accepted { // an attempt that takes too long is given up
		if err == ErrAttached {
			break
		}
	}
	converse(t, client, server)
	if err := client.Rekey(t.Context()); err != nil {
		t.Fatal(err)
	}
	end(client, server)
	ours.check(t, map[string]float64{
		"msl.connections.lost": 1, "msl.reconnects attached": 1, "msl.key.changes rekey": 1,
		"msl.sessions.open": 0, "msl.sessions.closed NO_ERROR": 1,
	})
	theirs.check(t, map[string]float64{
		"msl.connections.lost": 1, "msl.reconnects attached": 1, "msl.key.changes rekey": 1,
		"msl.sessions.opened first_contact": 1, "msl.sessions.open": 0, "msl.retained": 0, "msl.sessions.closed NO_ERROR": 1,
	})
	names := log.names()
	for _, want := range []string{"connection:attach_failed not this time", "connection:attached 1", "key:rekeyed 1"} {
		if !slices.Contains(names, want) {
			t.Errorf("%q is not among %q", want, names)
		}
	}
}

// The key log has the secrets of every epoch, the same at both sides.
func TestKeyLogOfRekeys(t *testing.T) {
	w := newWorld(t)
	var ours, theirs bytes.Buffer
	w.initiator.KeyLog, w.responder.KeyLog = &ours, &theirs
	client, server := w.sessions(t)
	for range 2 {
		if err := client.Rekey(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	end(client, server)
	labels := make(map[string]bool)
	for line := range strings.Lines(ours.String()) {
		labels[strings.Fields(line)[0]] = true
		if strings.HasSuffix(line, strings.Repeat("0", 64)+"\n") {
			t.Errorf("erased before it was written: %s", line)
		}
	}
	if ours.String() != theirs.String() || len(labels) != 6 || !labels["MSL_R2I_SECRET_2"] {
		t.Errorf("ours\n%stheirs\n%s", ours.String(), theirs.String())
	}
}

// A capture of both directions is read with the key log and nothing else.
func TestKeyLog(t *testing.T) {
	w := newWorld(t)
	var log bytes.Buffer
	w.initiator.KeyLog = &log
	for _, resumed := range []bool{false, true} {
		log.Reset()
		a, b := transport.Pipe()
		i2r, r2i := &tap{Conn: a}, &tap{Conn: b}
		client, server, err1, err2 := w.connect(t.Context(), i2r, r2i)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if client.Info().Resumed != resumed {
			t.Fatal("resumed:", !resumed)
		}
		converse(t, client, server)
		end(client, server)
		secrets := make(map[string][]byte)
		for line := range strings.Lines(log.String()) {
			var label, id, secret string
			if _, err := fmt.Sscanf(line, "%s %s %s", &label, &id, &secret); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if id != hex.EncodeToString(client.id[:]) {
				t.Errorf("channel %s", id)
			}
			secrets[label], _ = hex.DecodeString(secret)
		}
		for label, dir := range map[string]*tap{"MSL_I2R_SECRET_0": i2r, "MSL_R2I_SECRET_0": r2i} {
			if text := decrypt(t, dir.capture(), secrets[label]); !bytes.Contains(text, []byte(plaintext)) {
				t.Errorf("%s: the stream is not in the %d bytes that were opened", label, len(text))
			}
		}
	}
}

// decrypt opens the records behind the header of one direction; the suite is
// the one that opens the first.
func decrypt(t *testing.T, capture, secret []byte) (text []byte) {
	t.Helper()
	suite := stream.AES128GCM
	for ; suite.Valid(); suite++ {
		text = nil
		r := framing.NewReader(bytes.NewReader(capture), framing.Limits{Object: maxHeader})
		if _, _, err := r.Object(); err != nil {
			t.Fatal(err)
		}
		o, err := stream.NewOpener(suite, secret, 0)
		if err != nil {
			t.Fatal(err)
		}
		for {
			record, err := r.Record(1 << 20)
			if err == io.EOF && text != nil {
				r.Close()
				return text
			}
			if err != nil {
				t.Fatal(err)
			}
			b, err := o.Open(record.B)
			if err != nil {
				record.Release()
				break
			}
			text = append(text, b...)
			record.Release()
		}
		r.Close()
	}
	t.Fatal("no suite opens the records")
	return nil
}

// What the log, the events and the metrics say of whole sessions, set up both
// ways, used, refused and closed, holds no secret.
func TestObserversLearnNothing(t *testing.T) {
	w := newWorld(t)
	var said, keys bytes.Buffer
	var mu sync.Mutex
	locked := writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return said.Write(p)
	})
	events := observe.NewEventLog(locked)
	log := slog.New(slog.NewJSONHandler(locked, &slog.HandlerOptions{Level: slog.LevelDebug - 8, AddSource: true}))
	w.initiator.Observe.Events, w.responder.Observe.Events = events, events
	w.initiator.Log, w.responder.Log = log, log
	w.initiator.KeyLog, w.responder.KeyLog = &keys, &keys

	var secrets [][]byte
	for range 2 {
		a, b := transport.Pipe()
		i2r, r2i := &tap{Conn: a}, &tap{Conn: b}
		client, server, err1, err2 := w.connect(t.Context(), i2r, r2i)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		for _, s := range []*Session{client, server} {
			secrets = append(secrets, bytes.Clone(s.exporter), bytes.Clone(s.epochs.newest.attach), bytes.Clone(s.epochs.newest.rekey))
		}
		converse(t, client, server)
		if err := client.Rekey(t.Context()); err != nil {
			t.Fatal(err)
		}
		end(client, server)
		held, err := w.holder.Newest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, held.Keys.Encryption, held.Keys.Signature, tokenBody(t, held.Token))
		// All that travelled, in pieces: none of it is worth writing down either.
		for _, c := range [][]byte{i2r.capture(), r2i.capture()} {
			for piece := range slices.Chunk(c, 24) {
				if len(piece) == 24 {
					secrets = append(secrets, piece)
				}
			}
		}
	}
	w.responder.Admit = func(context.Context, Info) error { return errors.New("not today") }
	a, b := transport.Pipe()
	if _, _, err, _ := w.connect(t.Context(), a, b); err == nil {
		t.Fatal("admitted")
	}
	for line := range strings.Lines(keys.String()) {
		secret, err := hex.DecodeString(strings.Fields(line)[2])
		if err != nil || len(secret) != 32 {
			t.Fatalf("%q: %v", line, err)
		}
		secrets = append(secrets, secret)
	}
	for _, seed := range []byte{0x00, 0x20} {
		secrets = append(secrets, span(seed, 32), ed25519.NewKeyFromSeed(span(seed, 32)))
	}
	secrets = append(secrets, span(1, 16), span(1, 32), []byte(plaintext))

	if err := events.Flush(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{observe.EventSessionOpened, observe.EventStreamClosed, observe.EventSessionClosed, observe.EventSetUpFailed, "msl channel: state", "not today"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("nothing is said of %q: the test would find nothing", want)
		}
	}
	text := said.Bytes()
	lower := bytes.ToLower(text)
	for _, s := range secrets {
		for form, b := range map[string][]byte{
			"as it is": s,
			"quoted":   []byte(strings.Trim(fmt.Sprintf("%q", s), `"`)),
			"a list":   []byte(strings.Trim(fmt.Sprintf("%d", s), "[]")),
			"hex":      []byte(hex.EncodeToString(s)),
			"Base64":   []byte(base64.RawStdEncoding.EncodeToString(s[:len(s)/3*3])),
			"URL":      []byte(base64.RawURLEncoding.EncodeToString(s[:len(s)/3*3])),
		} {
			if bytes.Contains(text, b) || bytes.Contains(lower, b) {
				t.Errorf("a secret of %d bytes was written down, %s", len(s), form)
			}
		}
	}
}

// tokenBody is what the token's issuer encrypted and signed.
func tokenBody(t *testing.T, m *token.MasterToken) []byte {
	t.Helper()
	body, err := framing.Get[[]byte](m.Object(), "tokendata")
	if err != nil {
		t.Fatal(err)
	}
	return body
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
