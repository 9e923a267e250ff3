package mux

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"github.com/mslgo/msl/session/frame"
)

func TestConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		w := newWire(t, Config{}, Config{})
		a, b := w.open(t, nil)
		return a, b, func() {
			a.Close()
			b.Close()
			w.close()
		}, nil
	})
}

func TestLabelAndMetadata(t *testing.T) {
	w := manual(Config{}, Config{})
	meta := map[string]string{"lang": "en", "a": ""}
	a, b := w.open(t, &StreamOptions{Priority: &Priority{Urgency: 1}, Label: "chat", Metadata: meta})
	for _, s := range []*Stream{a, b} {
		i := s.Info()
		if i.Label != "chat" || len(i.Metadata) != 2 || i.Metadata["lang"] != "en" || i.Priority != (Priority{1, false}) || !i.HasID || i.ID != 0 || i.Local != (s == a) {
			t.Errorf("%+v", i)
		}
	}
	if a.LocalAddr().Network() != "msl" || a.RemoteAddr().String() == "" {
		t.Error(a.LocalAddr(), a.RemoteAddr())
	}
	if _, err := w.a.OpenStream(t.Context(), &StreamOptions{Priority: &Priority{Urgency: 8}}); err == nil {
		t.Error("urgency 8 was taken")
	}
	if _, err := w.a.OpenStream(t.Context(), &StreamOptions{Metadata: map[string]string{"": ""}}); err == nil {
		t.Error("an empty key was taken")
	}
}

func TestHalfClose(t *testing.T) {
	noBuffers(t)
	w := newWire(t, Config{}, Config{})
	a, b := w.open(t, nil)
	data := make([]byte, 3<<20)
	rand.Read(data)
	go func() {
		a.Write(data[:100])
		a.Write(data[100:])
		a.CloseWrite()
	}()
	got, err := io.ReadAll(b)
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if _, err := a.Write([]byte("x")); err != net.ErrClosed {
		t.Error(err)
	}
	if _, err := b.Write([]byte("answer")); err != nil {
		t.Error(err)
	}
	b.Close()
	if got, err := io.ReadAll(a); err != nil || string(got) != "answer" {
		t.Error(string(got), err)
	}
	a.Close()
	if _, err := a.Read(make([]byte, 1)); err != net.ErrClosed && err != io.EOF {
		t.Error(err)
	}
}

func TestCopyWithoutRead(t *testing.T) {
	noBuffers(t)
	w := newWire(t, Config{}, Config{})
	a, b := w.open(t, nil)
	data := make([]byte, 5<<20+17)
	rand.Read(data)
	go func() {
		if n, err := a.ReadFrom(bytes.NewReader(data)); n != int64(len(data)) || err != nil {
			t.Error(n, err)
		}
		a.Close()
	}()
	var got bytes.Buffer
	if n, err := b.WriteTo(&got); n != int64(len(data)) || err != nil || !bytes.Equal(got.Bytes(), data) {
		t.Error(n, err)
	}
	b.Close()
}

func TestStopSending(t *testing.T) {
	noBuffers(t)
	w := newWire(t, Config{}, Config{})
	a, b := w.open(t, nil)
	done := make(chan error)
	go func() {
		_, err := a.Write(make([]byte, 10<<20)) // blocks for credit
		done <- err
	}()
	if _, err := io.ReadFull(b, make([]byte, 100<<10)); err != nil {
		t.Fatal(err)
	}
	b.CloseRead()
	if err := <-done; !errors.Is(err, &StreamError{frame.CodeCancelled, true}) {
		t.Error(err)
	}
	if _, err := b.Read(make([]byte, 1)); err != net.ErrClosed {
		t.Error(err)
	}
	if err := a.Delivered(t.Context()); !errors.Is(err, &StreamError{frame.CodeCancelled, true}) {
		t.Error(err)
	}
	b.Write([]byte("still open"))
	b.Close()
	if got, err := io.ReadAll(a); string(got) != "still open" || err != nil {
		t.Error(string(got), err)
	}
}

func TestReset(t *testing.T) {
	noBuffers(t)
	w := newWire(t, Config{}, Config{})
	a, b := w.open(t, nil)
	if _, err := a.Write(make([]byte, 50<<10)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := b.Write(make([]byte, 10<<20))
		done <- err
	}()
	io.ReadFull(a, make([]byte, 100))
	a.Reset(42)
	want := &StreamError{frame.Application(42), true}
	if err := <-done; !errors.Is(err, want) {
		t.Error(err)
	}
	if _, err := io.ReadAll(b); !errors.Is(err, want) { // unread data is dropped
		t.Error(err)
	}
	for _, err := range []error{second(a.Read(make([]byte, 1))), second(a.Write(make([]byte, 1)))} {
		if e, ok := errors.AsType[*StreamError](err); !ok || e.Remote || e.Code != frame.Application(42) {
			t.Error(err)
		}
	}
	for w.a.Streams() > 0 || w.b.Streams() > 0 { // when RESET_STREAM has been answered
		time.Sleep(time.Millisecond)
	}
}

func second(_ int, err error) error { return err }

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, Config{}, Config{})
		a, b := w.open(t, nil)
		start := time.Now()
		b.SetReadDeadline(start.Add(time.Hour))
		_, err := b.Read(make([]byte, 1))
		var timeout net.Error
		if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(start) != time.Hour {
			t.Error(err, time.Since(start))
		}
		// A write that timed out counts what it sent, and writing goes on there.
		data := make([]byte, 1<<20)
		rand.Read(data)
		a.SetWriteDeadline(time.Now().Add(time.Minute))
		n, err := a.Write(data)
		if !errors.Is(err, os.ErrDeadlineExceeded) || n != 256<<10 {
			t.Error(n, err)
		}
		for err == nil { // fill the queue, too
			var c int
			c, err = a.Write(data[n : n+1000])
			n += c
		}
		a.SetWriteDeadline(time.Time{})
		b.SetReadDeadline(time.Time{})
		go func() {
			a.Write(data[n:])
			a.Close()
		}()
		if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, data) {
			t.Error(len(got), err)
		}
		// A deadline that is moved while a call waits.
		c, d := w.open(t, nil)
		go func() {
			time.Sleep(time.Second)
			d.SetReadDeadline(time.Now().Add(time.Minute))
			time.Sleep(time.Second)
			d.SetReadDeadline(time.Now().Add(time.Hour))
		}()
		start = time.Now()
		if _, err := d.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Hour+2*time.Second {
			t.Error(err, time.Since(start))
		}
		c.Close()
		d.Close()
		b.Close()
		w.close()
	})
}

func TestOpenLeavesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, Config{}, Config{})
		s, _ := w.a.OpenStream(t.Context(), nil)
		start := time.Now()
		if s.Info().HasID {
			t.Error("it left at once")
		}
		if _, err := w.b.AcceptStream(t.Context()); err != nil || time.Since(start) != time.Millisecond {
			t.Error(err, time.Since(start))
		}
		// Numbered as they leave.
		first, _ := w.a.OpenStream(t.Context(), nil)
		second, _ := w.a.OpenStream(t.Context(), nil)
		second.Write([]byte("2"))
		first.Write([]byte("1"))
		synctest.Wait()
		if first.Info().ID != 4 || second.Info().ID != 2 {
			t.Error(first.Info().ID, second.Info().ID)
		}
		// Reset before it left: the peer never sees it, and the next takes its place.
		gone, _ := w.a.OpenStream(t.Context(), nil)
		gone.Reset(1)
		third, _ := w.a.OpenStream(t.Context(), nil)
		third.Close()
		synctest.Wait()
		if third.Info().ID != 6 {
			t.Error(third.Info().ID)
		}
		// The timer stood still, as nothing waited any more.
		time.Sleep(time.Millisecond / 2)
		fourth, _ := w.a.OpenStream(t.Context(), nil)
		time.Sleep(time.Millisecond - time.Nanosecond)
		if synctest.Wait(); fourth.Info().HasID {
			t.Error("it left before its time")
		}
		time.Sleep(time.Nanosecond)
		if synctest.Wait(); !fourth.Info().HasID {
			t.Error("it did not leave")
		}
		fourth.Reset(1)
		w.close()
	})
}

func TestOpenBlocksAtLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, Config{PeerMaxStreams: 16}, Config{MaxStreams: 16})
		var pairs [16][2]*Stream
		for i := range pairs {
			pairs[i][0], pairs[i][1] = w.open(t, nil)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := w.a.OpenStream(ctx, nil); err != context.DeadlineExceeded {
			t.Fatal(err)
		}
		opened := make(chan error, 1)
		go func() {
			s, err := w.a.OpenStream(t.Context(), nil)
			if err == nil {
				err = s.Close()
			}
			opened <- err
		}()
		synctest.Wait()
		pairs[3][0].CloseWrite()
		synctest.Wait()
		if len(opened) > 0 {
			t.Error("it was open one way still")
		}
		pairs[3][1].Close()
		if err := <-opened; err != nil {
			t.Error(err)
		}
		go func() { // not any more after the peer's GOAWAY
			time.Sleep(time.Second)
			w.b.Shutdown(ctx)
		}()
		for _, p := range pairs {
			p[0].Close()
			p[1].Close()
		}
		for {
			s, err := w.a.OpenStream(t.Context(), nil)
			if err == ErrGoingAway {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			s.Write([]byte("x"))
		}
		w.close()
	})
}

func TestDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		w := manual(Config{RequestAck: func() { asked++ }}, Config{})
		s, _ := w.a.OpenStream(t.Context(), nil)
		if err := s.Delivered(t.Context()); err != nil {
			t.Error(err)
		}
		s.Write([]byte("hello"))
		done := make(chan error, 1)
		go func() { done <- s.Delivered(t.Context()) }()
		synctest.Wait()
		buf := make([]byte, 0, testRecord)
		w.a.Acked(7) // of earlier records
		if asked != 0 {
			t.Error("asked for an ACK before it left")
		}
		w.a.AppendFrames(buf, testRecord, frame.Data, 7)
		synctest.Wait()
		if asked != 1 || len(done) != 0 {
			t.Error(asked, len(done))
		}
		s.Write([]byte("later")) // does not count
		w.a.Acked(8)
		if err := <-done; err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Delivered(ctx); err != context.DeadlineExceeded {
			t.Error(err)
		}
		w.a.AppendFrames(buf, testRecord, frame.Data, 8)
		// A stream that the peer stops meanwhile is not delivered.
		o, _ := w.a.OpenStream(t.Context(), nil)
		o.Write([]byte("other"))
		go func() { done <- o.Delivered(t.Context()) }()
		w.a.AppendFrames(buf, testRecord, frame.Data, 9)
		synctest.Wait()
		if err := handleFrames(w.a, frame.AppendStopSending(nil, 2, 256)); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, &StreamError{frame.Application(0), true}) {
			t.Error(err)
		}
		go func() { done <- s.Delivered(t.Context()) }()
		synctest.Wait()
		lost := errors.New("lost")
		w.a.Fail(lost)
		if err := <-done; !errors.Is(err, lost) {
			t.Error(err)
		}
		if len(w.a.deliveries) != 0 {
			t.Error("deliveries are kept")
		}
	})
}

func TestChannelEnd(t *testing.T) {
	noBuffers(t)
	w := newWire(t, Config{}, Config{})
	a, b := w.open(t, nil)
	c, d := w.open(t, nil)
	a.Write([]byte("whole"))
	a.CloseWrite()
	c.Write([]byte("cut"))
	io.ReadFull(d, make([]byte, 2))
	for b.Info().Received < 5 {
		time.Sleep(time.Millisecond)
	}
	lost := errors.New("lost")
	calls := make(chan error)
	go func() { calls <- second(a.Read(make([]byte, 1))) }()
	go func() { calls <- second(d.Write(make([]byte, 1<<20))) }()
	go func() { _, err := w.b.AcceptStream(context.Background()); calls <- err }()
	go func() { calls <- w.b.Shutdown(context.Background()) }()
	time.Sleep(5 * time.Millisecond)
	w.b.Fail(lost)
	w.a.Fail(lost)
	for range 4 {
		if err := <-calls; !errors.Is(err, lost) {
			t.Error(err)
		}
	}
	if got, err := io.ReadAll(b); string(got) != "whole" || err != nil {
		t.Error(string(got), err)
	}
	if got, err := io.ReadAll(d); string(got) != "t" || !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, lost) {
		t.Error(string(got), err)
	}
	if _, err := d.Write([]byte("x")); !errors.Is(err, lost) || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	for _, s := range []*Stream{a, b, c, d} {
		s.Close()
	}
	if _, err := w.a.OpenStream(t.Context(), nil); !errors.Is(err, lost) {
		t.Error(err)
	}
}

func TestShutdown(t *testing.T) {
	w := manual(Config{}, Config{})
	a, b := w.open(t, nil)
	late, _ := w.a.OpenStream(t.Context(), nil)
	late.Write([]byte("late"))
	done := make(chan error, 1)
	go func() { done <- w.b.Shutdown(t.Context()) }()
	for w.b.Waiting() == frame.None {
		time.Sleep(time.Millisecond)
	}
	if _, err := w.b.OpenStream(t.Context(), nil); err != ErrGoingAway {
		t.Error(err)
	}
	w.ab.step() // STREAM_OPEN crosses GOAWAY
	w.settle(t)
	if _, err := late.Read(make([]byte, 1)); !errors.Is(err, &StreamError{frame.CodeRefused, true}) {
		t.Error(err)
	}
	if _, err := late.Write(make([]byte, 1)); !errors.Is(err, &StreamError{frame.CodeRefused, true}) {
		t.Error(err)
	}
	if _, err := w.a.OpenStream(t.Context(), nil); err != ErrGoingAway {
		t.Error(err)
	}
	a.Write([]byte("goes on"))
	a.CloseWrite() // Close would tell b to stop, and end it so
	w.settle(t)
	if got, err := io.ReadAll(b); string(got) != "goes on" || err != nil {
		t.Error(string(got), err)
	}
	select {
	case err := <-done:
		t.Fatal("a stream is open", err)
	default:
	}
	b.Close()
	w.settle(t)
	if err := <-done; err != nil {
		t.Error(err)
	}
	a.Close()
}
