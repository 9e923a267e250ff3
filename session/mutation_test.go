package session

import (
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/transport"
)

// A mutation changes one byte of a direction's stream.
type mutation struct {
	kind   string
	r2i    bool
	offset int
}

// mutator passes bytes on and makes its mutation when it comes to it.
type mutator struct {
	mutation
	at   int
	held []byte // of a swap
}

func (m *mutator) pass(p []byte) []byte {
	var out []byte
	for _, c := range p {
		switch {
		case m.at == m.offset && m.kind == "flip":
			out = append(out, c^1<<(m.offset%8))
		case m.at == m.offset && m.kind == "drop":
		case m.at == m.offset && m.kind == "repeat":
			out = append(out, c, c)
		case m.at == m.offset && m.kind == "swap":
			m.held = []byte{c}
		default:
			out = append(append(out, c), m.held...)
			m.held = nil
		}
		m.at++
	}
	return out
}

// mutated is a path on which m happens; count tells how long the streams were.
func mutated(m mutation, count *[2]int) (a, b transport.Conn, wait func()) {
	a, x := transport.Pipe()
	y, b := transport.Pipe()
	var pumps sync.WaitGroup
	pump := func(from, to transport.Conn, r2i int) {
		mine := mutator{mutation: m}
		if m.r2i != (r2i == 1) {
			mine.offset = -1
		}
		buf := make([]byte, 16<<10)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				count[r2i] += n
				if _, err := to.Write(mine.pass(buf[:n])); err != nil {
					break
				}
			}
			if err != nil {
				break
			}
		}
		to.Close()
		from.Close()
	}
	pumps.Go(func() { pump(x, y, 0) })
	pumps.Go(func() { pump(y, x, 1) })
	return a, b, pumps.Wait
}

// named says which of the errors that a caller can match err is; "" for none.
func named(err error) string {
	var h *message.ErrorHeader
	var p *mslerr.Error
	var s *framing.SyntaxError
	var l *framing.LimitError
	var e *Error
	switch {
	case err == nil:
		return "none"
	case errors.As(err, &h):
		return "error header"
	case errors.Is(err, ErrChannelLost):
		return "channel lost"
	case errors.Is(err, ErrNoChannel):
		return "no channel"
	case errors.Is(err, ErrUntrusted):
		return "untrusted"
	case errors.Is(err, ErrAuth):
		return "AUTH"
	case errors.As(err, &e):
		return "closed"
	case errors.As(err, &p):
		return "protocol"
	case errors.As(err, &s), errors.As(err, &l):
		return "syntax"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return "connection"
	}
	return ""
}

// transfer sends a little over the session and reports what came out.
func transfer(ctx context.Context, client, server *Session) (string, error) {
	st, err := client.OpenStream(ctx)
	if err != nil {
		return "", err
	}
	defer st.Close()
	if _, err := io.WriteString(st, "right bytes"); err != nil {
		return "", err
	}
	if err := st.CloseWrite(); err != nil {
		return "", err
	}
	other, err := server.AcceptStream(ctx)
	if err != nil {
		return "", err
	}
	defer other.Close()
	b, err := io.ReadAll(other)
	return string(b), err
}

// run makes one set-up with one mutation.
func (w *world) run(t *testing.T, m mutation, outcomes map[string]int) (size [2]int) {
	held := w.holder.held
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		a, b, wait := mutated(m, &size)
		client, server, dialErr, acceptErr := w.connect(ctx, a, b)
		var err error
		got := "right bytes"
		if dialErr == nil && acceptErr == nil {
			got, err = transfer(ctx, client, server)
		}
		for _, e := range []error{dialErr, acceptErr, err} {
			if named(e) == "" {
				t.Errorf("%+v: an error without name: %v", m, e)
			}
		}
		if err == nil && got != "right bytes" {
			outcomes["wrong data"]++
			t.Errorf("%+v: wrong bytes %q", m, got)
		}
		switch {
		case dialErr == nil && acceptErr == nil:
			outcomes["set up, then "+named(err)]++
		default:
			outcomes["Dial: "+named(dialErr)+", Accept: "+named(acceptErr)]++
		}
		end(client, server)
		a.Close()
		b.Close()
		wait()
	})
	w.holder.held = held
	return size
}

// headerSizes is how long the two headers are at least: numbers in them vary by
// a digit or two.
func (w *world) headerSizes(t *testing.T) (size [2]int) {
	held := w.holder.held
	count := func(direction int) rewrite {
		return func(n int, unit []byte) [][]byte {
			if n == 0 {
				size[direction] = len(unit) - 16
			}
			return pass(n, unit)
		}
	}
	a, b := middle(t, count(0), count(1))
	if err := errors.Join(w.attempt(t, a, b)); err != nil {
		t.Fatal(err)
	}
	w.holder.held = held
	return size
}

// By default every byte is flipped once, and every 11th dropped, repeated and
// swapped with the next; with -every that is done to each.
var every = flag.Bool("every", false, "drop, repeat and swap every byte of a set-up, not one in 11")

func TestEveryMutation(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of set-ups")
	}
	for _, resumed := range []bool{false, true} {
		name := map[bool]string{false: "first contact", true: "resumed"}[resumed]
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.initiator.Algorithms.KEMs = []uint16{keyx.KEMX25519} // short headers
			if resumed {
				w.firstContact(t)
			} else {
				w.holder.held = []*token.Held{}
			}
			outcomes := map[string]int{}
			size := w.run(t, mutation{offset: -1}, outcomes)
			if outcomes["set up, then none"] != 1 {
				t.Fatalf("without a mutation: %v", outcomes)
			}
			clear(outcomes)
			headers := w.headerSizes(t)
			stride := 11
			if *every {
				stride = 1
			}
			for _, kind := range []struct {
				name   string
				stride int
			}{{"flip", 1}, {"drop", stride}, {"repeat", stride}, {"swap", stride}} {
				for direction := range 2 {
					for offset := 0; offset < size[direction]; offset += kind.stride {
						m := mutation{kind.name, direction == 1, offset}
						before := outcomes["set up, then none"]
						w.run(t, m, outcomes)
						// Two equal bytes may have been swapped.
						if offset < headers[direction] && kind.name != "swap" && outcomes["set up, then none"] != before {
							t.Errorf("%+v: a changed header made a session", m)
						}
					}
				}
			}
			total := 0
			for o, n := range outcomes {
				total += n
				t.Logf("%5d %s", n, o)
			}
			t.Logf("%5d wrong data", outcomes["wrong data"])
			t.Logf("%5d set-ups of %d and %d bytes", total, size[0], size[1])
		})
	}
}
