package classic

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/stream"
	"github.com/mslgo/msl/transport"
)

// A body is the application's data on its way out. It is read once, by a
// goroutine of its own and only when a chunk is wanted, and kept until the
// message is answered, so that it can be sent again in the same chunks (spec 09
// section 15 and checklist 9).
type body struct {
	src   io.Reader
	limit int // of what is kept, in bytes
	size  int // of a chunk

	wanted chan struct{} // asks the reading goroutine for the next chunk
	quit   chan struct{} // ends it
	once   sync.Once

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when a chunk was read
	chunks  [][]byte
	base    int // the number of chunks[0]: those before it were not kept
	kept    int // bytes, with what a chunk costs besides
	keeping bool
	err     error // what comes behind the chunks: io.EOF, or the source's
}

// chunkCost is what keeping a chunk costs besides its data, in bytes, so that very
// small ones do not escape the limit.
const chunkCost = 64

func newBody(src io.Reader, l Limits, repeat int) *body {
	if src == nil {
		return nil
	}
	if repeat != 0 {
		l.Repeat = repeat
	}
	b := &body{
		src: src, limit: l.repeat(), size: l.chunk(), keeping: true,
		wanted: make(chan struct{}, 1), quit: make(chan struct{}), changed: make(chan struct{}),
	}
	go b.run()
	return b
}

// run reads one chunk each time one is wanted.
func (b *body) run() {
	buf := framing.GetBuffer(b.size)
	p := buf.B[:b.size]
	defer func() {
		clear(p) // it is the application's, in the clear
		buf.Release()
	}()
	for {
		select {
		case <-b.quit:
			return
		case <-b.wanted:
		}
		n, err := b.src.Read(p)
		b.mu.Lock()
		if n > 0 {
			b.chunks = append(b.chunks, bytes.Clone(p[:n]))
			b.kept += n + chunkCost
			b.keeping = b.keeping && b.kept <= b.limit
		}
		b.err = err
		close(b.changed)
		b.changed = make(chan struct{})
		b.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// chunk waits for chunk i; the error is io.EOF behind the last one.
func (b *body) chunk(ctx context.Context, i int) ([]byte, error) {
	for {
		b.mu.Lock()
		changed := b.changed
		switch {
		case i < b.base:
			b.mu.Unlock()
			return nil, b.tooLong()
		case i < b.base+len(b.chunks):
			defer b.mu.Unlock()
			return b.chunks[i-b.base], nil
		case b.err != nil:
			defer b.mu.Unlock()
			return nil, b.err
		}
		b.mu.Unlock()
		select {
		case b.wanted <- struct{}{}:
		default: // it is asked already
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// empty waits for the first chunk and says whether there is none.
func (b *body) empty(ctx context.Context) (bool, error) {
	if b == nil {
		return true, nil
	}
	_, err := b.chunk(ctx, 0)
	if err == io.EOF {
		return true, nil
	}
	return false, err
}

// sent forgets what was sent up to chunk i, if nothing is kept any more.
func (b *body) sent(i int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.keeping {
		return
	}
	clear(b.chunks[:i+1-b.base])
	b.chunks, b.base = b.chunks[i+1-b.base:], i+1
}

// answered ends the keeping: nothing will be sent again.
func (b *body) answered() {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.keeping = false
	b.mu.Unlock()
}

// repeatable is nil if all that was sent can be sent again.
func (b *body) repeatable() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.base > 0 {
		return b.tooLong()
	}
	return nil
}

func (b *body) tooLong() error {
	return &framing.LimitError{Limit: "data kept to be sent again", Max: b.limit}
}

// close ends the reading.
func (b *body) close() {
	if b == nil {
		return
	}
	b.once.Do(func() {
		close(b.quit)
		if c, ok := b.src.(io.Closer); ok {
			c.Close()
		}
	})
}

// A bodyError is a failure of the application's own reader.
type bodyError struct{ error }

func (e bodyError) Unwrap() error { return e.error }

// copyTo writes the whole body behind a header, chunk by chunk.
func (b *body) copyTo(ctx context.Context, w *stream.ChunkWriter) error {
	for i := 0; b != nil; i++ {
		data, err := b.chunk(ctx, i)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return bodyError{err}
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
		b.sent(i)
	}
	return w.Close()
}

// A pump sends a body while its message's answer is awaited.
type pump struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // read after done is closed
}

// start begins to send b behind the header that w belongs to, and ends the message.
// If the application's reader fails, there is no use in waiting for an answer.
func start(ctx context.Context, b *body, w *stream.ChunkWriter, to transport.Exchange) *pump {
	ctx, cancel := context.WithCancel(ctx)
	p := &pump{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		defer cancel()
		p.err = b.copyTo(ctx, w)
		if p.err == nil {
			p.err = to.CloseWrite()
		} else if _, ok := errors.AsType[bodyError](p.err); ok {
			to.Close()
		}
	}()
	return p
}

// wait waits for the end of the body.
func (p *pump) wait() error {
	if p == nil {
		return nil
	}
	<-p.done
	return p.err
}

// stop ends the sending, where the connection is closed or cannot block.
func (p *pump) stop() {
	if p != nil {
		p.cancel()
		<-p.done
	}
}
