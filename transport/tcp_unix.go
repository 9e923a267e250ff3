//go:build unix

package transport

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// A socket makes system calls that package net has no method for. The
// functions that RawConn calls back are made once: a call allocates nothing.
type socket struct {
	conn net.Conn
	raw  syscall.RawConn

	writeMu  sync.Mutex // guards what follows
	tryWrite func(fd uintptr) bool
	pieces   [2][]byte
	n        int
	writeErr error

	tryReadMu  sync.Mutex // guards what follows
	tryRead    func(fd uintptr)
	into       []byte
	got        int
	tryReadErr error

	readMu  sync.Mutex // guards what follows
	peek    func(fd uintptr) bool
	first   bool
	one     [1]byte
	readErr error
}

func (s *socket) init(c *net.TCPConn) (err error) {
	s.conn = c
	s.raw, err = c.SyscallConn()
	s.tryWrite = s.writeOnce
	s.tryRead = s.readOnce
	s.peek = s.peekOnce
	return err
}

// TryWrite implements [TryWriter].
func (s *socket) TryWrite(p []byte) (int, error) { return s.tryWritev(nil, p) }

// tryWritev is TryWrite of two pieces in one call.
func (s *socket) tryWritev(head, p []byte) (int, error) {
	if len(head)+len(p) == 0 {
		return 0, nil
	}
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	s.pieces, s.n, s.writeErr = [2][]byte{head, p}, 0, nil
	err := s.raw.Write(s.tryWrite)
	s.pieces = [2][]byte{}
	if err != nil {
		return 0, err
	}
	if s.writeErr != nil {
		return 0, s.opError("write", s.writeErr)
	}
	return s.n, nil
}

func (s *socket) writeOnce(fd uintptr) bool {
	for {
		n, err := writev(int(fd), &s.pieces)
		switch err {
		case nil:
			s.n = n
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
		default:
			s.writeErr = err
		}
		return true // never wait
	}
}

// TryRead implements [TryReader].
func (s *socket) TryRead(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.tryReadMu.Lock()
	defer s.tryReadMu.Unlock()
	s.into, s.got, s.tryReadErr = p, 0, nil
	err := s.raw.Control(s.tryRead) // not Read, which WaitRead may be in
	s.into = nil
	switch {
	case err != nil:
		return 0, err
	case s.tryReadErr == io.EOF:
		return 0, io.EOF
	case s.tryReadErr != nil:
		return 0, s.opError("read", s.tryReadErr)
	}
	return s.got, nil
}

func (s *socket) readOnce(fd uintptr) {
	for {
		n, err := syscall.Read(int(fd), s.into)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
		case err != nil:
			s.tryReadErr = err
		case n == 0:
			s.tryReadErr = io.EOF
		default:
			s.got = n
		}
		return
	}
}

// WaitRead implements [WaitReader].
func (s *socket) WaitRead() error {
	s.readMu.Lock()
	defer s.readMu.Unlock()
	s.first, s.readErr = true, nil
	if err := s.raw.Read(s.peek); err != nil {
		return err
	}
	if s.readErr != nil {
		return s.opError("read", s.readErr)
	}
	return nil
}

// peekOnce asks the kernel the first time, because the poller tells only of
// bytes that come after it was asked. The second time the poller has told.
func (s *socket) peekOnce(fd uintptr) bool {
	if !s.first {
		return true
	}
	s.first = false
	for {
		_, _, err := syscall.Recvfrom(int(fd), s.one[:], syscall.MSG_PEEK)
		switch err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		case nil:
		default:
			s.readErr = err // the kernel tells it only once
		}
		return true
	}
}

func (s *socket) opError(op string, err error) error {
	return &net.OpError{
		Op: op, Net: "tcp", Source: s.conn.LocalAddr(), Addr: s.conn.RemoteAddr(),
		Err: os.NewSyscallError(op, err),
	}
}
