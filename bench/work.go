package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"
)

// What runs on each stream, the same for every peer. The client writes a
// request:
//
//	operation 1 | flags 1 | where in the pattern to begin 2 | block 4 | limit 8 | duration 8
//
// and the server answers with one byte when it is ready. It then receives
// (opSink), sends (opSource) or returns messages of block bytes (opEcho) until
// the end, and waits for the next request. After opHold nothing follows. A stream of blocks ends with a block
// of the inverted pattern; the receiver of opSink answers with the number of
// bytes. Every byte that arrives is compared with the pattern.
type request struct {
	op       byte
	urgent   bool
	start    uint16
	block    int           // bytes of each write
	limit    int64         // bytes after which the sender ends; 0: none
	duration time.Duration // after which the sender ends; 0: none
}

const (
	opSink = 1 + iota
	opSource
	opEcho
	opHold

	requestSize = 24
	flagUrgent  = 1
	ready       = 0x5a
	mostBlock   = 1 << 20
	readSize    = 64 << 10
)

// period is a prime, so that whole blocks that are exchanged, lost or doubled
// do not fit.
const period = 65521

var pattern, inverted = func() (p, q []byte) {
	p = make([]byte, period+mostBlock)
	_, _ = rand.NewChaCha8([32]byte{}).Read(p[:period])
	for n := period; n < len(p); {
		n += copy(p[n:], p[:n])
	}
	q = make([]byte, len(p))
	for i := range p {
		q[i] = ^p[i]
	}
	return p, q
}()

func (r request) write(w io.Writer) error {
	b := make([]byte, 0, requestSize)
	b = append(b, r.op, 0)
	if r.urgent {
		b[1] |= flagUrgent
	}
	b = binary.BigEndian.AppendUint16(b, r.start)
	b = binary.BigEndian.AppendUint32(b, uint32(r.block))
	b = binary.BigEndian.AppendUint64(b, uint64(r.limit))
	b = binary.BigEndian.AppendUint64(b, uint64(r.duration))
	_, err := w.Write(b)
	return err
}

func readRequest(r io.Reader) (q request, err error) {
	b := make([]byte, requestSize)
	if _, err := io.ReadFull(r, b); err != nil {
		return q, err
	}
	q = request{
		op:       b[0],
		urgent:   b[1]&flagUrgent != 0,
		start:    binary.BigEndian.Uint16(b[2:]),
		block:    int(binary.BigEndian.Uint32(b[4:])),
		limit:    int64(binary.BigEndian.Uint64(b[8:])),
		duration: time.Duration(binary.BigEndian.Uint64(b[16:])),
	}
	if q.block < 1 || q.block > mostBlock || q.start >= period {
		return q, fmt.Errorf("bench: request for blocks of %d bytes from %d", q.block, q.start)
	}
	return q, nil
}

// held are the streams that a server keeps without a goroutine.
var held struct {
	mu      sync.Mutex
	streams []Stream
}

// handle serves one stream, and leaves it open without a goroutine after an
// opHold, if that can be (holds). The client closes first, so that no answer is lost.
func handle(s Stream, holds bool) {
	for {
		q, err := readRequest(s)
		if err != nil {
			break
		}
		if u, ok := s.(interface{ Urge() }); ok && q.urgent {
			u.Urge()
		}
		if _, err := s.Write([]byte{ready}); err != nil {
			break
		}
		switch q.op {
		case opSink:
			var n int64
			if n, err = receive(s, q); err == nil {
				_, err = s.Write(binary.BigEndian.AppendUint64(nil, uint64(n)))
			}
		case opSource:
			_, err = send(s, q)
		case opEcho:
			err = echo(s, q)
		case opHold:
			if holds {
				held.mu.Lock()
				held.streams = append(held.streams, s)
				held.mu.Unlock()
				return
			}
		}
		if err != nil {
			break
		}
	}
	s.Close()
}

// begin opens a stream, sends the request and waits until the server is ready.
func begin(ctx context.Context, s Session, q request) (Stream, error) {
	st, err := s.Open(ctx, q.urgent)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	if err := ask(st, q); err != nil {
		st.Close()
		return nil, err
	}
	return st, nil
}

func ask(st Stream, q request) error {
	if err := q.write(st); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	b := make([]byte, 1)
	if _, err := io.ReadFull(st, b); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if b[0] != ready {
		return fmt.Errorf("bench: answer %#x to a request", b[0])
	}
	return nil
}

// upload sends and has the server confirm how much has arrived.
func upload(st Stream, q request) (int64, error) {
	n, err := send(st, q)
	if err != nil {
		return n, err
	}
	b := make([]byte, 8)
	if _, err := io.ReadFull(st, b); err != nil {
		return n, fmt.Errorf("confirmation: %w", err)
	}
	if got := int64(binary.BigEndian.Uint64(b)); got != n {
		return n, fmt.Errorf("bench: %d bytes of %d have arrived", got, n)
	}
	return n, nil
}

// send writes blocks until the request's end, and the last one.
func send(w io.Writer, q request) (int64, error) {
	var end time.Time
	if q.duration > 0 {
		end = time.Now().Add(q.duration)
	}
	pos, sent := int(q.start), int64(0)
	for last := false; !last; {
		last = q.limit > 0 && sent+int64(q.block) >= q.limit || !end.IsZero() && !time.Now().Before(end)
		from := pattern
		if last {
			from = inverted
		}
		if _, err := w.Write(from[pos : pos+q.block]); err != nil {
			return sent, fmt.Errorf("write after %d bytes: %w", sent, err)
		}
		pos = (pos + q.block) % period
		sent += int64(q.block)
	}
	return sent, nil
}

// receive reads blocks and compares them until the last one has come.
func receive(r io.Reader, q request) (int64, error) {
	buf := make([]byte, readSize)
	pos, got, last := int(q.start), int64(0), -1 // last: what is left of the last block
	for last != 0 {
		n, err := r.Read(buf)
		for p := buf[:n]; len(p) > 0; {
			if last == 0 {
				return got, fmt.Errorf("bench: %d bytes behind the last block", len(p))
			}
			same := len(p)
			if last < 0 && !bytes.Equal(p, pattern[pos:pos+len(p)]) {
				for same = 0; p[same] == pattern[pos+same]; {
					same++
				}
				if (got+int64(same))%int64(q.block) != 0 {
					return got, fmt.Errorf("bench: byte %d is wrong", got+int64(same))
				}
				last = q.block
			} else if last > 0 {
				if !bytes.Equal(p, inverted[pos:pos+len(p)]) {
					return got, fmt.Errorf("bench: a byte from %d is wrong", got)
				}
				last -= len(p)
				if last < 0 {
					return got, fmt.Errorf("bench: %d bytes behind the last block", -last)
				}
			}
			p = p[same:]
			pos = (pos + same) % period
			got += int64(same)
		}
		if err != nil && last != 0 {
			return got, fmt.Errorf("read after %d bytes: %w", got, err)
		}
	}
	return got, nil
}

// echo returns messages as they are until one of the inverted pattern.
func echo(s Stream, q request) error {
	b := make([]byte, q.block)
	for {
		if _, err := io.ReadFull(s, b); err != nil {
			return err
		}
		last := bytes.Equal(b, inverted[q.start:][:q.block])
		if !last && !bytes.Equal(b, pattern[q.start:][:q.block]) {
			return fmt.Errorf("bench: a message of %d bytes is wrong", q.block)
		}
		if _, err := s.Write(b); err != nil || last {
			return err
		}
	}
}

// trip is one round trip of an opEcho; b has room for the answer.
func trip(s Stream, q request, b []byte, last bool) error {
	from := pattern
	if last {
		from = inverted
	}
	message := from[q.start:][:q.block]
	if _, err := s.Write(message); err != nil {
		return err
	}
	if _, err := io.ReadFull(s, b); err != nil {
		return err
	}
	if !bytes.Equal(b, message) {
		return fmt.Errorf("bench: the answer of %d bytes is wrong", len(b))
	}
	return nil
}
