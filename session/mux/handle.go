package mux

import (
	"runtime"
	"slices"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/session/frame"
)

// HandleFrame handles the first frame of b, whose type has been read and cut
// off, and returns what follows it in the record. b lies in buf, which is
// retained for data that is not copied. Frames from 40 on that nobody knows are
// skipped. An error is a *frame.Error: the channel is to be closed with its
// code. Called by who reads the connection; it waits for nothing.
func (m *Mux) HandleFrame(typ uint64, b []byte, buf *framing.Buffer) (rest []byte, err error) {
	switch {
	case frame.IsStream(typ):
		return m.handleStream(typ, b, buf)
	case typ == frame.TypeStreamOpen:
		return m.handleOpen(b)
	case typ == frame.TypeMaxStreamData:
		id, limit, rest, err := frame.ParseMaxStreamData(b)
		if err != nil {
			return nil, err
		}
		return rest, m.handleMaxStreamData(id, limit)
	case typ == frame.TypeMaxData:
		limit, rest, err := frame.ParseMaxData(b)
		if err != nil {
			return nil, err
		}
		m.handleMaxData(limit)
		return rest, nil
	case typ == frame.TypeMaxStreams:
		n, rest, err := frame.ParseMaxStreams(b)
		if err != nil {
			return nil, err
		}
		m.handleMaxStreams(n)
		return rest, nil
	case typ == frame.TypeResetStream:
		id, code, rest, err := frame.ParseStreamCode(b)
		if err != nil {
			return nil, err
		}
		return rest, m.handleReset(id, code)
	case typ == frame.TypeStopSending:
		id, code, rest, err := frame.ParseStreamCode(b)
		if err != nil {
			return nil, err
		}
		return rest, m.handleStop(id, code)
	case typ == frame.TypeGoaway:
		n, rest, err := frame.ParseGoaway(b)
		if err != nil {
			return nil, err
		}
		return rest, m.handleGoaway(n)
	}
	return frame.Skip(typ, b)
}

// BatchEnd is called by who reads the connection when all that has arrived is
// handled: readers of bulk are woken, once, and what the frames let wait goes out.
// It reports whether a reader was served that will come back.
func (m *Mux) BatchEnd() (served bool) {
	m.mu.Lock()
	for _, s := range m.bulk {
		s.recv.woken = false
		s.feed()
	}
	clear(m.bulk)
	m.bulk = m.bulk[:0]
	served = m.fed != nil && m.fed.recv.state == recvOpen
	m.unlockAndWake()
	return served
}

// find returns the stream of an ID in a frame, nil if it has ended both ways.
func (m *Mux) find(id uint64) (*Stream, error) {
	if s := m.streams[id]; s != nil {
		return s, nil
	}
	count := m.opened
	if id&1 == m.ownBit() {
		count = m.numbered
	}
	if id>>1 >= count {
		return nil, frame.Violation(frame.CodeStreamState, "frame for stream %d, which is not open", id)
	}
	return nil, nil
}

// findOpen is find for frames that the peer must not send after the end of its
// direction.
func (m *Mux) findOpen(id uint64) (*Stream, error) {
	s, err := m.find(id)
	if err != nil {
		return nil, err
	}
	if s == nil || s.recv.state.ended() {
		return nil, frame.Violation(frame.CodeStreamState, "frame after the end of stream %d", id)
	}
	return s, nil
}

func (m *Mux) handleOpen(b []byte) (rest []byte, err error) {
	o, rest, err := frame.ParseStreamOpen(b)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case o.ID&1 == m.ownBit() || o.ID>>1 != m.opened:
		return nil, frame.Violation(frame.CodeStreamState, "STREAM_OPEN for stream %d is not the next one", o.ID)
	case m.opened >= m.limit:
		return nil, frame.Violation(frame.CodeStreamLimit, "stream %d above the limit of %d streams", o.ID, m.limit)
	case m.err != nil:
		return rest, nil
	}
	m.opened++
	s := newStream(m, false, Priority{o.Urgency, o.Incremental})
	s.id, s.left = o.ID, true
	m.streams[o.ID] = s
	m.config.Recorder.StreamOpened(o.ID, false)
	if m.goingAway {
		s.accepted = true
		s.reset(frame.CodeRefused)
		return rest, nil
	}
	if len(o.Metadata) <= 1 { // the number 0
		o.Metadata = nil
	}
	s.title = newTitle(slices.Clone(o.Label), slices.Clone(o.Metadata))
	m.accept = append(m.accept, s)
	m.signalAccept()
	return rest, nil
}

func (m *Mux) handleStream(typ uint64, b []byte, buf *framing.Buffer) (rest []byte, err error) {
	f, rest, err := frame.ParseStream(typ, b)
	if err != nil {
		return nil, err
	}
	if f.Compressed && !m.failed() {
		if buf, err = m.decompress(&f); err != nil {
			return nil, err
		}
		defer buf.Release()
	}
	m.mu.Lock()
	if m.err != nil {
		m.mu.Unlock()
		return rest, nil
	}
	yield, err := m.receive(&f, buf)
	m.mu.Unlock()
	if yield {
		// The reader of a small frame runs before more frames are opened: with
		// bulk behind it, it would otherwise wait for all of that.
		runtime.Gosched()
	}
	return rest, err
}

// receive handles a STREAM frame. It reports whether it woke the reader: what is
// small is waited for, of bulk there is more to come.
func (m *Mux) receive(f *frame.Stream, buf *framing.Buffer) (woke bool, err error) {
	s, err := m.findOpen(f.ID)
	if err != nil {
		return false, err
	}
	if err := m.checkCredit(s, uint64(len(f.Data))); err != nil {
		return false, err
	}
	h := &s.recv
	s.send.said = 0
	h.window.receive(len(f.Data))
	m.window.receive(len(f.Data))
	if f.Fin {
		h.state, _ = h.state.next(recvGotFin)
		defer m.settle(s)
	}
	if !h.state.readable() {
		m.freed(len(f.Data))
		return false, nil
	}
	woke = h.into != nil
	small := h.deliver(f.Data, buf)
	tail := h.bulk // of a large write, cut off by the record's end
	if h.bulk = !small; h.bulk || tail {
		if !h.woken {
			h.woken = true
			m.bulk = append(m.bulk, s)
		}
		return false, nil
	}
	s.feed()
	return woke && !h.leads, nil
}

// checkCredit reports whether the peer may send n more bytes on s.
func (m *Mux) checkCredit(s *Stream, n uint64) error {
	if w := &s.recv.window; n > w.left() {
		return frame.Violation(frame.CodeFlowControl, "%d bytes above the limit %d of stream %d", n, w.limit, s.id)
	}
	if n > m.window.left() {
		return frame.Violation(frame.CodeFlowControl, "%d bytes above the limit %d of the channel", n, m.window.limit)
	}
	return nil
}

// freed gives n bytes of the channel's credit back.
func (m *Mux) freed(n int) {
	if need := m.window.free(n); need > needNone && m.err == nil {
		m.maxData = true
		m.creditDue = m.creditDue || need == needNow
	}
}

func (m *Mux) handleReset(id uint64, code frame.Code) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.findOpen(id)
	if err != nil {
		return err
	}
	h := &s.recv
	if h.state, _ = h.state.next(recvGotReset); h.state == recvReset {
		h.err = &StreamError{code, true}
		m.config.Recorder.StreamReset(id, code, true)
		m.freed(h.drop())
		h.cond.Signal()
	}
	m.settle(s)
	return nil
}

func (m *Mux) handleStop(id uint64, code frame.Code) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.find(id)
	if s != nil {
		s.abort(code, &StreamError{code, true})
	}
	return err
}

func (m *Mux) handleMaxStreamData(id, limit uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.find(id)
	if s != nil && limit > s.send.limit {
		s.send.limit = limit
		m.schedule(s)
	}
	return err
}

func (m *Mux) handleMaxData(limit uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if limit <= m.sendLimit {
		return
	}
	m.sendLimit = limit
	for m.starved.head != nil {
		m.schedule(m.starved.head)
	}
}

func (m *Mux) handleMaxStreams(n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n > m.allowed {
		m.allowed = n
		m.releaseOpeners()
	}
}

// handleGoaway ends the streams that the peer will not serve: those above the
// first n, and those that have not left.
func (m *Mux) handleGoaway(n uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.goneAway {
		return frame.Violation(frame.CodeProtocol, "second GOAWAY")
	}
	m.goneAway = true
	m.releaseOpeners()
	refused := &StreamError{frame.CodeRefused, true}
	for _, s := range m.streams {
		if s.local && s.id>>1 >= n {
			s.abort(frame.CodeRefused, refused) // the peer resets its direction
		}
	}
	for s := range m.unopened {
		s.stopReading(frame.CodeRefused, refused)
		s.abort(frame.CodeRefused, refused)
	}
	return nil
}
