package http

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/mslgo/msl/transport"
)

// DefaultTimeout is how long a client may keep a [Handler] waiting.
const DefaultTimeout = time.Minute

// lingering is how long what is left of a request is read over behind its answer,
// so that the client sees that and no broken connection.
const lingering = time.Second

// A Handler answers POST requests; others get status 405. Its fields are not
// changed while it is in use.
type Handler struct {
	// Serve is called with each request, which it reads, and to which it writes
	// the answer; each Write leaves at once. The answer ends when Serve returns,
	// and the exchange with it. ctx ends when the client is gone. An error before
	// anything was written becomes status 400. Required.
	Serve func(ctx context.Context, e transport.Exchange) error

	// MaxBody is how long a request's body may be, in bytes. Default
	// [DefaultMaxBody]; negative: any length. More is a *[LimitError].
	MaxBody int64
	// Timeout is how long one Read or Write waits for the client, which then
	// fails with an error that is an os.ErrDeadlineExceeded. The timeouts of the
	// web server do not apply to bodies. Default [DefaultTimeout]; negative:
	// for ever.
	Timeout time.Duration
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	e := &incoming{
		w: w, control: http.NewResponseController(w), body: newLimited(r.Body, h.MaxBody), timeout: h.Timeout,
	}
	if e.timeout == 0 {
		e.timeout = DefaultTimeout
	}
	if r.ProtoMajor == 1 {
		_ = e.control.EnableFullDuplex() // without it one goes after the other
	}
	w.Header().Set("Content-Type", contentType)
	err := h.Serve(r.Context(), e)
	e.Close()
	e.running.Wait()
	if r.ProtoMajor == 1 && !e.ended {
		_ = e.control.SetReadDeadline(time.Now().Add(lingering))
	}
	if err != nil && !e.answered {
		w.WriteHeader(http.StatusBadRequest)
	}
}

// incoming is an exchange from its server's side. What it was made of may not be
// touched after ServeHTTP has returned, which therefore waits for those who do.
type incoming struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration // negative: none

	mu               sync.Mutex // guards what follows, and the deadlines
	closed           bool
	reading, writing bool
	running          sync.WaitGroup // reads and writes; Add under mu

	body     *limited // its user is the one who reads
	ended    bool     // the body has been read to its end; set by who reads
	answered bool     // set by who writes
}

// begin notes that a read or a write runs, and until when it may.
func (e *incoming) begin(running *bool, deadline func(time.Time) error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return net.ErrClosed
	}
	*running = true
	e.running.Add(1)
	if e.timeout > 0 {
		_ = deadline(time.Now().Add(e.timeout)) // or the web server's own
	}
	return nil
}

// finish ends what begin began. A deadline that is left could end the request
// although nobody waits for it.
func (e *incoming) finish(running *bool, deadline func(time.Time) error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	*running = false
	if !e.closed && e.timeout > 0 {
		_ = deadline(time.Time{})
	}
	e.running.Done()
}

// Read reads the request's body.
func (e *incoming) Read(p []byte) (n int, err error) {
	if e.ended { // behind it a deadline would be that of the next request
		return 0, io.EOF
	}
	if err := e.begin(&e.reading, e.control.SetReadDeadline); err != nil {
		return 0, err
	}
	defer e.finish(&e.reading, e.control.SetReadDeadline)
	n, err = e.body.Read(p)
	e.ended = err == io.EOF
	return n, err
}

// Write writes a part of the answer, which leaves at once.
func (e *incoming) Write(p []byte) (n int, err error) {
	if err := e.begin(&e.writing, e.control.SetWriteDeadline); err != nil {
		return 0, err
	}
	defer e.finish(&e.writing, e.control.SetWriteDeadline)
	e.answered = true
	begun := time.Now()
	if n, err = e.w.Write(p); err == nil {
		err = e.control.Flush()
	}
	if err != nil && e.timeout > 0 && time.Since(begun) >= e.timeout {
		err = fmt.Errorf("transport/http: %w: %w", os.ErrDeadlineExceeded, err) // HTTP/2 has its own word for it
	}
	return n, err
}

// CloseWrite does nothing: another message may follow in the same answer, which
// ends with the return of [Handler].Serve.
func (*incoming) CloseWrite() error { return nil }

// Close ends a Read and a Write that wait, and all that follow.
func (e *incoming) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	past := time.Unix(1, 0)
	if e.reading {
		_ = e.control.SetReadDeadline(past)
	}
	if e.writing {
		_ = e.control.SetWriteDeadline(past)
	}
	return nil
}
